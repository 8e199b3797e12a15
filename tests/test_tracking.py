import errno
import math
import os
import pickle
import shutil
import socket
import sqlite3
import subprocess
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import TEMPORARILY_UNAVAILABLE

from leigh_mlops.errors import LeighError, StoppedError
from leigh_mlops.models import ModelPackage, build_model, load_package, save_package
from leigh_mlops.tracking import Run, Store, StoreUnavailableError, run_origin, source_revision
from leigh_mlops.tracking import store as store_module
from leigh_mlops.tracking.secrets import redact_secrets


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(f"sqlite:///{tmp_path}/store/mlflow.db")


def status(run: Run) -> str:
    return str(run.client.get_run(run.id).info.status)


def test_the_embedded_store_is_a_file_and_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = Store.open()
    with store.run("a") as run:
        run.log_text("hello", "note.txt")
    assert (tmp_path / "mlruns" / "mlflow.db").exists()
    (note,) = (tmp_path / "mlruns" / "artifacts").rglob("note.txt")
    assert note.read_text() == "hello"


def test_a_hint_opens_the_same_store_without_its_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Store.open().typed_options(None) == []
    assert Store.open("other").typed_options("other") == ["--store", "other"]
    given = Store.open("other")
    given.uri = "postgresql://ada:secret@host/runs"
    assert given.typed_options(given.uri) == ["--store", "postgresql://…@host/runs"]


def test_what_is_logged_is_there(store: Store) -> None:
    with store.run("a", model="resnext") as run:
        run.log_params({"learning_rate": 0.001, "layers": [1, 2]})
        for step in (1, 2):
            run.log_metrics({"val/loss": 1 / step, "val/nothing": math.nan}, step)
    found = store.client.get_run(run.id)
    assert found.data.params == {"learning_rate": "0.001", "layers": "[1, 2]"}
    assert found.data.metrics == {"val/loss": 0.5}
    assert [m.step for m in store.client.get_metric_history(run.id, "val/loss")] == [1, 2]
    assert found.data.tags["model"] == "resnext"
    assert status(run) == "FINISHED"


def test_a_run_says_who_and_what_made_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/somewhere/leigh_mlops/tune.py", "--store", "http://me:secret@host"])
    monkeypatch.setattr("getpass.getuser", lambda: "ada")
    monkeypatch.setattr(run_origin, "commit", lambda: "")
    with store.run("a", note="What it is.", model="resnext", git="unknown", error="") as run:
        run.set_tags({"stopped": None, "error": "it burst"})
        run.remove_tag("error")
        run.remove_tag("error")
    tags = run.tags()
    assert tags.pop("mlflow.runName") == "a"
    assert tags == {
        "mlflow.user": "ada",
        "mlflow.source.name": "leigh_mlops.tune",
        "mlflow.source.type": "LOCAL",
        "mlflow.note.content": "What it is.",
        "model": "resnext",
    }
    monkeypatch.setattr(run_origin, "commit", lambda: "abc")
    monkeypatch.setattr("getpass.getuser", lambda: {}["nobody"])
    tags = store.start("b").tags()
    assert tags["mlflow.source.git.commit"] == "abc"
    assert "mlflow.user" not in tags


def test_the_commit_is_that_of_the_package_and_of_no_folder_above(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "installed" / "source_revision.py"
    file.parent.mkdir()
    file.touch()
    monkeypatch.setattr(source_revision, "__file__", str(file))
    monkeypatch.setattr(source_revision, "commit", source_revision.commit.__wrapped__)
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "--message", "a"], check=True)
    assert (source_revision.commit(), source_revision.revision()) == ("", "unknown")
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "--quiet", "--message", "b"], check=True)
    assert len(source_revision.commit()) == 40
    assert source_revision.revision() == source_revision.commit()[:12]


@pytest.mark.parametrize(
    ("error", "ended"), [(ValueError("broke"), "FAILED"), (KeyboardInterrupt(), "KILLED"), (StoppedError(15), "KILLED")]
)
def test_a_run_never_stays_running(store: Store, error: BaseException, ended: str) -> None:
    seen = {}

    def work() -> None:
        with store.run("a") as run:
            seen[run] = status(run)
            raise error

    with pytest.raises(type(error)):
        work()
    assert [(before, status(run)) for run, before in seen.items()] == [("RUNNING", ended)]


def test_children_know_their_parent(store: Store) -> None:
    with store.run("parent") as parent, store.run("child", parent=parent) as child:
        pass
    assert store.client.get_run(child.id).data.tags["mlflow.parentRunId"] == parent.id


def test_an_unknown_version_names_what_there_is(store: Store) -> None:
    store.client.create_registered_model("leigh-resnext")
    assert store.champion("leigh-resnext") is None
    with pytest.raises(LeighError, match="registered models are: leigh-resnext"):
        store.version("models:/leigh-iresnet@champion")


@pytest.mark.parametrize("uri", ["leigh-resnext", "models:/a", "models:/../x/1", "models:/a@", "runs:/1/model"])
def test_other_addresses_are_refused(store: Store, uri: str) -> None:
    with pytest.raises(LeighError, match=r"is not the address of a registered model|The store has no"):
        store.version(uri)


def _open(uri: str) -> str:
    return Store.open(uri).experiment_id


def test_processes_that_open_a_new_store_at_once_share_it(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/new/mlflow.db"
    with ProcessPoolExecutor(3) as pool:
        assert len(set(pool.map(_open, [uri] * 3))) == 1


@pytest.mark.parametrize(
    "uri", ["postgresql://user:se@cret@host/db", "postgresql://user:se/cret@host/db", "http://user:secret@host"]
)
def test_passwords_are_not_repeated(uri: str) -> None:
    assert "cret" in uri
    assert "cret" not in redact_secrets(uri)
    assert "host" in redact_secrets(uri)


def test_a_file_that_is_no_store_is_said(tmp_path: Path) -> None:
    (tmp_path / "garbage.db").write_text("this is no database " * 100)
    with pytest.raises(LeighError, match="can't be reached"):
        Store.open(f"sqlite:///{tmp_path}/garbage.db")


def test_a_store_of_another_schema_is_left_as_it_is(tmp_path: Path) -> None:
    Store.open(str(tmp_path / "new"))
    # MLflow checks a store of one address once in a process.
    (tmp_path / "old").mkdir()
    file = Path(shutil.copy(tmp_path / "new" / "mlflow.db", tmp_path / "old"))
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("UPDATE alembic_version SET version_num = '400f98739977'")
    before = file.read_bytes()
    with pytest.raises(LeighError, match=r"nothing in it was changed; copy it, then run: mlflow db upgrade sqlite:///"):
        Store.open(str(tmp_path / "old"))
    assert file.read_bytes() == before


def test_a_server_that_never_answers_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "_ANSWER_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(LeighError, match=r"can't be reached \(no answer within 0.2 s"):
            Store.open(address)
    assert store_module._ANSWER_SECONDS < 20


def test_class_names_with_any_letters_can_be_logged(store: Store) -> None:
    with store.run("a") as run:
        run.log_metrics({"val/z_prime/DS+FCCP_WT (ctrl)": 0.5})
    assert store.client.get_run(run.id).data.metrics == {"val/z_prime/DS-FCCP_WT -ctrl-": 0.5}


def test_runs_of_the_first_version_keep_their_z_prime_under_its_present_name(store: Store) -> None:
    parent = store.start("search", kind="search")
    old, new = {"val/wells/z_prime": 0.19}, {"val/wells/z_prime": 0.81, "val/wells/z_prime_log_odds": 0.2}
    for name, metrics in (("old", old), ("new", new)):
        with store.run(name, parent=parent) as run:
            run.log_metrics(metrics)
    found = {record["name"]: record["metrics"] for record in store.child_records(parent)}
    assert found == {"old": {"val/wells/z_prime_log_odds": 0.19}, "new": new}
    assert store.children(parent)["old"].metrics() == {"val/wells/z_prime_log_odds": 0.19}


def test_a_booby_trapped_version_runs_nothing(store: Store, tmp_path: Path) -> None:
    trap, sprung = tmp_path / "package", tmp_path / "sprung"

    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, (f"touch {sprung}",)

    trap.mkdir()
    payload = pickle.dumps(Trap())
    model = build_model("resnext", classes=["DS", "TT"], image_size=32, layers=(1, 1, 1, 1), groups=1)
    save_package(ModelPackage(model, ("a", "b", "c"), {}, None, {}, {}), trap)
    for name in ("weights.pt", "model.pkl", "python_model.pkl"):
        (trap / name).write_bytes(payload)
    with store.run("a") as run:
        run.log_file(trap, "model/artifacts/package")
        version = store.register("trap", f"runs:/{run.id}/model", run, {})
    folder = store.download(version, tmp_path / "fetched")
    assert (folder / "weights.pt").read_bytes() == payload
    assert load_package(folder).model.spec == model.spec
    (folder / "weights.safetensors").write_bytes(payload)
    with pytest.raises(LeighError):
        load_package(folder)
    assert not sprung.exists()
    pickle.loads(payload)
    assert sprung.exists(), "the trap works"


def test_a_store_that_stumbles_is_not_one_without_a_champion(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    assert store.champion("leigh-resnext") is None

    def locked(*args: object) -> None:
        raise MlflowException("database is locked at sqlite://name:secret@host", error_code=TEMPORARILY_UNAVAILABLE)

    monkeypatch.setattr(store.client, "get_model_version_by_alias", locked)
    with pytest.raises(StoreUnavailableError, match="does not answer") as said:
        store.champion("leigh-resnext")
    assert "secret" not in str(said.value)


def missing_package() -> MlflowException:
    """An error as MLflow raises it where the code of a model can't be imported."""
    error = MlflowException("Failed to import code model from loader.py.")
    error.__cause__ = ModuleNotFoundError("No module named 'safetensors'")
    return error


@pytest.mark.parametrize(("error", "kind", "said"), [
    (missing_package(), LeighError, "can't be imported .No module named 'safetensors'.; install it"),
    (ModuleNotFoundError("No module named 'boto3'"), LeighError, "No module named 'boto3'"),
    (MlflowException("(sqlite3.OperationalError) database or disk is full"), StoreUnavailableError, "free space on"),
    (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), StoreUnavailableError, "free space on"),
])  # fmt: skip
def test_neither_a_missing_package_nor_a_full_disk_is_a_silent_store(
    store: Store, error: Exception, kind: type[LeighError], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise error

    monkeypatch.setattr(store.client, "get_model_version_by_alias", fail)
    with pytest.raises(LeighError, match=said) as raised:
        store.champion("leigh-resnext")
    assert type(raised.value) is kind  # a silent store is asked again, and a full one, but no package appears
    assert "does not answer" not in str(raised.value)


def test_a_missing_driver_of_a_database_is_no_server_that_is_down() -> None:
    with pytest.raises(LeighError, match=r"No module named 'MySQLdb'.*install it") as raised:
        Store.open("mysql://user:word@127.0.0.1:1/runs")
    assert "start the server" not in str(raised.value)


def test_passwords_in_queries_are_hidden() -> None:
    assert redact_secrets("at postgresql://host/db?user=u&password=p now") == "at postgresql://host/db?… now"
