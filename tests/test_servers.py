"""The main job on real servers: MLflow on PostgreSQL and S3 behind a password, and a Ray cluster of two nodes."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg
import pytest
from mlflow.tracking import MlflowClient

from leigh_mlops.errors import LeighError
from leigh_mlops.models import load_package
from leigh_mlops.tracking import Store
from tests.conftest import write_class_folders
from tests.deploy import services

pytestmark = [pytest.mark.ray, pytest.mark.server]

TUNE = [
    "leigh_mlops.tune", "tuning/autoencoder.yaml", "--data", "plate", "--preset", "quick", "--trials", "2",
    "--epochs", "1", "--image-size", "32",
]  # fmt: skip


@dataclass(frozen=True)
class Servers:
    """All servers, and how a driver finds them."""

    passwords: services.Passwords
    database_port: int
    objects: str
    tracking_port: int
    cluster: services.Cluster
    state: Path

    @property
    def uri(self) -> str:
        """The most careless way to give a password."""
        return f"http://leigh:{self.passwords.MLFLOW_PASSWORD}@127.0.0.1:{self.tracking_port}"

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(self.uri, self.uri)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    folder = tmp_path_factory.mktemp("servers")
    passwords, state = services.Passwords(), folder / "state"
    with ExitStack() as stack:
        try:
            database = stack.enter_context(services.postgres(passwords.POSTGRES_PASSWORD))
            objects = stack.enter_context(services.object_store(passwords, folder / "s3.log"))
            port = stack.enter_context(services.tracking_server(passwords, database, objects, folder))
            caches = (folder / "cache-head", folder / "cache-worker")
            cluster = stack.enter_context(services.ray_cluster(passwords, state, caches))
        except services.UnavailableError as error:
            pytest.skip(str(error))
        yield Servers(passwords, database, objects, port, cluster, state)


@dataclass
class Searched:
    """What a search said, and what was seen of it in the list of processes."""

    said: str
    commands: set[str]
    workers: dict[int, set[str]]


def command_lines(parent: psutil.Process) -> list[str]:
    """The command lines of all children; those that end while they are read, the parent too, are left out."""
    lines = []
    with suppress(psutil.NoSuchProcess):
        for child in parent.children(recursive=True):
            with suppress(psutil.Error):
                lines.append(" ".join(child.cmdline()))
    return lines


def watch(servers: Servers, seen: Searched, own: psutil.Process, over: threading.Event) -> None:
    """Take down the command lines of the driver's processes and of both nodes."""
    nodes = dict(enumerate(servers.cluster.nodes))
    while not over.is_set():
        for number, process in {-1: own, **nodes}.items():
            for line in command_lines(process):
                seen.commands.add(line)
                if line.startswith("ray::") and not line.startswith("ray::IDLE"):
                    seen.workers.setdefault(number, set()).add(line)
        time.sleep(0.2)


@pytest.fixture(scope="module")
def searched(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Searched:
    folder = tmp_path_factory.mktemp("shop")
    write_class_folders(folder / "plate", wells=10, size=32)
    environment = servers.cluster.environment | {"MLFLOW_TRACKING_URI": servers.uri}
    del environment["MLFLOW_TRACKING_USERNAME"], environment["MLFLOW_TRACKING_PASSWORD"]
    seen, over = Searched("", set(), {}), threading.Event()
    command = [sys.executable, "-m", *TUNE, "--ray-address", servers.cluster.address, "--verbose"]
    with (folder / "said").open("wb") as said:
        driver = subprocess.Popen(command, cwd=folder, env=environment, stdout=said, stderr=subprocess.STDOUT)
    watcher = threading.Thread(target=watch, args=(servers, seen, psutil.Process(driver.pid), over))
    watcher.start()
    try:
        code = driver.wait(300)
    finally:
        driver.kill()
        over.set()
        watcher.join()
    seen.said = (folder / "said").read_text()
    assert code == 0, seen.said
    return seen


def test_runs_metrics_and_a_version_are_on_the_server(servers: Servers, searched: Searched) -> None:
    client = servers.client
    experiment = client.get_experiment_by_name("leigh")
    trials = client.search_runs([experiment.experiment_id], "tags.model LIKE 'autoencoder%'")
    assert [run.info.status for run in trials] == ["FINISHED", "FINISHED"]
    for run in trials:
        assert len(client.get_metric_history(run.info.run_id, "epoch/train/loss")) == 1
    (version,) = client.search_model_versions("name = 'leigh-autoencoder'")
    assert client.get_model_version_by_alias("leigh-autoencoder", "champion").version == version.version


def test_the_rows_are_in_postgresql_and_the_files_in_s3(servers: Servers, searched: Searched) -> None:
    with psycopg.connect(
        host="127.0.0.1",
        port=servers.database_port,
        user="leigh",
        password=servers.passwords.POSTGRES_PASSWORD,
        dbname="leigh",
    ) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT count(*) FROM metrics WHERE key = 'epoch/train/loss'")
        assert cursor.fetchone() == (2,)
    connection.close()
    listed = services.bucket_client(servers.objects, servers.passwords).list_objects_v2(Bucket="leigh")
    assert any(entry["Key"].endswith("weights.safetensors") for entry in listed["Contents"])


def test_the_version_comes_back_from_the_server(servers: Servers, searched: Searched, tmp_path: Path) -> None:
    store = Store.open(servers.uri)
    package = load_package(store.download(store.version("models:/leigh-autoencoder@champion"), tmp_path / "package"))
    assert package.model.spec.family == "autoencoder"
    assert package.channels == ("DAPI", "TMRM", "DAPI+TMRM")


def test_both_nodes_had_a_trial(searched: Searched) -> None:
    assert {0, 1} <= searched.workers.keys(), searched.workers


def test_no_password_was_said_or_shown(servers: Servers, searched: Searched) -> None:
    assert f"127.0.0.1:{servers.tracking_port}" in searched.said
    assert searched.commands
    for password in servers.passwords.all.values():
        assert password not in searched.said
        assert not [line for line in searched.commands if password in line]


def test_no_password_is_in_a_run(servers: Servers, searched: Searched) -> None:
    client = servers.client
    experiment = client.get_experiment_by_name("leigh")
    runs = client.search_runs([experiment.experiment_id])
    assert len(runs) > 3
    models = client.search_logged_models([experiment.experiment_id])
    versions = client.search_model_versions()
    told = "".join(str(each.to_dictionary()) for each in [*runs, *models]) + str([vars(each) for each in versions])
    for password in servers.passwords.all.values():
        assert password not in told


def test_no_password_is_in_a_file(servers: Servers, searched: Searched) -> None:
    places = [servers.state, servers.cluster.folder]
    files = [path for place in places for path in place.rglob("*") if path.is_file()]
    assert files
    passwords = [password.encode() for password in servers.passwords.all.values()]
    assert [path for path in files if any(password in path.read_bytes() for password in passwords)] == []
    listed = services.bucket_client(servers.objects, servers.passwords)
    for entry in listed.list_objects_v2(Bucket="leigh")["Contents"]:
        content = listed.get_object(Bucket="leigh", Key=entry["Key"])["Body"].read()
        assert not any(password in content for password in passwords), entry["Key"]


def test_a_wrong_password_is_refused_without_repeating_it(servers: Servers) -> None:
    for uri in (
        f"http://leigh:wrong-sesame@127.0.0.1:{servers.tracking_port}",
        f"postgresql://leigh:wrong-sesame@127.0.0.1:{servers.database_port}/leigh",
    ):
        with pytest.raises(LeighError, match="can't be reached") as caught:
            Store.open(uri)
        assert "sesame" not in str(caught.value)
        assert "127.0.0.1" in str(caught.value)
