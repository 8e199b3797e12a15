"""What a job refuses before it begins; whole jobs run in tests/test_main_job.py."""

import io
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import typer
from rich.console import Console

from leigh_mlops.commands import EXIT_MOST_FAILED
from leigh_mlops.errors import LeighError
from leigh_mlops.explain import explain
from leigh_mlops.jobs import counterfactual_metrics, explain_job
from leigh_mlops.jobs.explain_job import ExplainJob
from leigh_mlops.jobs.finished_job import is_complete
from leigh_mlops.jobs.options import ExplainOptions
from leigh_mlops.jobs.reporting.evaluation_report import write_evaluation
from leigh_mlops.jobs.worker import FieldWorker, WorkOrder
from leigh_mlops.models import ModelPackage, build_model, save_package
from leigh_mlops.search import cluster_start
from leigh_mlops.search.cluster_start import ClusterStartError
from leigh_mlops.study.baselines import fit_baselines
from leigh_mlops.study.model_selection import make_package
from leigh_mlops.study.prepare import DataSource
from tests.conftest import write_class_folders
from tests.training.conftest import prepared


class OneVersion:
    """A store that holds one package."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def version(self, uri: str) -> object:
        return SimpleNamespace(uri=uri)

    def download(self, _: object, target: Path) -> Path:
        return Path(shutil.copytree(self.folder, target / "package"))


def begun(*_: object) -> None:
    raise RuntimeError("the job has begun")


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package that knows images like those of `class_folders`."""
    folder = tmp_path_factory.mktemp("explain_job")
    data = prepared(write_class_folders(folder / "plate"), cache=folder / "cache")
    torch.manual_seed(0)
    model = build_model("autoencoder", classes=data.classes, image_size=32, channels=3).eval()
    package = make_package(model, data.scale("linear"), data, fit_baselines(data), {})
    assert package.class_means is not None
    save_package(package, folder / "package")
    return folder / "package"


@pytest.fixture
def job(package: Path, class_folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr(ExplainJob, "_work", begun)
    return {
        "store": OneVersion(package), "model": "models:/leigh-autoencoder/1",
        "source": DataSource(class_folders), "out": tmp_path / "out",
        "console": Console(file=io.StringIO()), "methods": ("interpolation",),
    }  # fmt: skip


def test_a_field_to_lead_to_is_read_before_the_job_begins(job: dict[str, Any], class_folders: Path) -> None:
    asked = ExplainOptions(towards_field=f"{class_folders.name}/B03/1")
    file = sorted((class_folders / "DS").iterdir())[0]
    whole = file.read_bytes()
    file.write_bytes(b"no image")
    with pytest.raises(LeighError, match=r"--towards-field plate/B03/1 can't be read: .*not a readable image"):
        ExplainJob(**job, options=asked).run()
    assert not job["out"].exists()
    file.write_bytes(whole)
    with pytest.raises(RuntimeError, match="the job has begun"):
        ExplainJob(**job, options=asked).run()


def test_a_job_names_an_engine_other_than_pytorch_in_fp32(job: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def begin(out: str) -> str:
        with pytest.raises(RuntimeError, match="the job has begun"):
            ExplainJob(**job | {"out": job["out"] / out}).run()
        return job["console"].file.getvalue().replace("\n", " ")

    assert "by the engine" not in begin("as usual")
    monkeypatch.setattr(
        explain_job,
        "fix_engine",
        lambda options, *_: (replace(options, engine="fused", precision="fp32"), 2e-6),
    )
    assert "Predictions by the engine fused in fp32; on a sample of the fields" in begin("fused")


def test_a_field_whose_file_was_replaced_or_whose_picture_was_deleted_is_done_again(
    job: dict[str, Any], class_folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Part by part, as the workers of a job would leave it."""
    begun: list[list[int]] = []

    def work(self: ExplainJob, order: WorkOrder, left: list[int], package: ModelPackage) -> None:
        begun.append(left)
        FieldWorker(order)({"row": np.array(left)})

    monkeypatch.setattr(ExplainJob, "_work", work)
    monkeypatch.setattr(ExplainJob, "_close", lambda *_: {})
    for _ in range(2):
        ExplainJob(**job).run()
    assert begun == [list(range(24))]
    first, second, *_ = sorted((class_folders / "DS").iterdir())
    first.write_bytes(second.read_bytes())
    ExplainJob(**job).run()
    assert len(begun[1]) == 1
    ExplainJob(**job).run()
    assert len(begun) == 2
    next((job["out"] / "images").rglob("*.png")).unlink()
    ExplainJob(**job).run()
    assert len(begun[2]) == 1


class Runs(OneVersion):
    """A store that notes since when files are logged to a run."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.logged: list[int] = []

    @contextmanager
    def run(self, *_: object, **__: object) -> Iterator[object]:
        def forget(_: object) -> None: ...

        yield SimpleNamespace(
            id="run", log_params=forget, log_metrics=forget, log_folder=lambda _, since: self.logged.append(since)
        )

    reopen_run = run


def test_a_job_is_complete_until_something_changes_and_then_does_that(
    job: dict[str, Any], class_folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[list[int]] = []

    def work(self: ExplainJob, order: WorkOrder, left: list[int], package: ModelPackage) -> None:
        done.append(left)
        FieldWorker(order)({"row": np.array(left)})

    monkeypatch.setattr(ExplainJob, "_work", work)
    store, out = Runs(job["store"].folder), job["out"]
    asked = job | {"store": store, "request": "asked"}
    ExplainJob(**asked).run()
    assert is_complete(out, "asked")
    assert not is_complete(out, "something else")
    first, second, *_ = sorted((class_folders / "DS").iterdir())
    picture = next((out / "images").rglob("*.png"))
    for change in (lambda: first.write_bytes(second.read_bytes()), picture.unlink):
        change()
        assert not is_complete(out, "asked")
        ExplainJob(**asked).run()
        assert is_complete(out, "asked")
    assert [len(rows) for rows in done] == [24, 1, 1]
    assert picture.exists()
    assert store.logged[0] == 0 < store.logged[1] < store.logged[2]


def test_kinds_in_another_order_are_the_same_job(job: dict[str, Any]) -> None:
    for kinds in (("boundary", "confident"), ("confident", "boundary")):
        with pytest.raises(RuntimeError, match="the job has begun"):
            ExplainJob(**job, options=ExplainOptions(counterfactual=kinds)).run()
    with pytest.raises(LeighError, match=r"holds another job \(counterfactual is"):
        ExplainJob(**job, options=ExplainOptions(counterfactual=("boundary",))).run()


def test_targets_of_fields_are_read_before_a_job_begins_and_kept(job: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "targets.csv"
    file.write_text("field,target\nplate/B03/1,XX\n")
    with pytest.raises(LeighError, match="line 2: 'XX' is unknown to the model; choose one of DS, TT"):
        ExplainJob(**job, targets=file).run()
    assert not job["out"].exists()
    file.write_text("field,target\nplate/B03/1,TT\n")
    for _ in range(2):
        with pytest.raises(RuntimeError, match="the job has begun"):
            ExplainJob(**job, targets=file).run()
    assert json.loads((job["out"] / "job.json").read_text())["targets"] == {"plate_B03_f1_z1_t1": "TT"}
    with pytest.raises(LeighError, match="holds a job with other targets of fields; give the same --targets"):
        ExplainJob(**job).run()


class Aliases(OneVersion):
    """A store whose champion can move."""

    champion = 1

    def version(self, uri: str) -> object:
        return SimpleNamespace(uri=f"models:/leigh-autoencoder/{self.champion}" if "@" in uri else uri)


def test_a_job_by_alias_goes_on_with_the_version_that_it_began_with(job: dict[str, Any]) -> None:
    store = Aliases(job["store"].folder)
    named = job | {"store": store, "model": "models:/leigh-autoencoder@champion"}
    for champion in (1, 2):
        store.champion = champion
        with pytest.raises(RuntimeError, match="the job has begun"):
            ExplainJob(**named).run()
        said = json.loads((job["out"] / "job.json").read_text())
        assert (said["asked"], said["model"]) == (named["model"], "models:/leigh-autoencoder/1")
    assert "is now models:/leigh-autoencoder/2;" in job["console"].file.getvalue()
    # Whoever names a version wants that one.
    with pytest.raises(LeighError, match=r"holds another job \(model is 'models:/leigh-autoencoder/1'"):
        ExplainJob(**(named | {"model": "models:/leigh-autoencoder/2"})).run()
    fresh = named | {"out": job["out"].with_name("fresh")}
    with pytest.raises(RuntimeError, match="the job has begun"):
        ExplainJob(**fresh).run()
    assert json.loads((fresh["out"] / "job.json").read_text())["model"] == "models:/leigh-autoencoder/2"


def test_classes_of_the_rescue_are_checked_before_the_job_begins(job: dict[str, Any]) -> None:
    with pytest.raises(LeighError, match="XX"):
        ExplainJob(**job, options=ExplainOptions(doses="XX")).run()
    assert not job["out"].exists()


@pytest.mark.parametrize(("failed", "code"), [(0, 0), (6, 0), (7, EXIT_MOST_FAILED)])
def test_the_exit_code_tells_whether_most_fields_failed(
    failed: int, code: int, class_folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ExplainJob, "run", lambda self: {"done": 12 - failed, "failed": failed, "fields": 12})
    try:
        explain("models:/a/1", class_folders, tmp_path / "out", store=str(tmp_path / "store"))
        ended = 0
    except typer.Exit as end:
        ended = end.exit_code
    assert ended == code


def test_what_a_screen_is_asked_may_change_and_later_options_may_be_missing(job: dict[str, Any]) -> None:
    for asked in (ExplainOptions(), ExplainOptions(doses="Metadata_Site")):
        with pytest.raises(RuntimeError, match="the job has begun"):
            ExplainJob(**job, options=asked).run()
    file = job["out"] / "job.json"
    said = json.loads(file.read_text())
    assert said["doses"] == "Metadata_Site"
    file.write_text(json.dumps({key: value for key, value in said.items() if key != "occlusion_budget"}))
    with pytest.raises(RuntimeError, match="the job has begun"):
        ExplainJob(**job).run()


def test_two_jobs_do_not_work_on_one_folder(job: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(job["out"].parent)
    (job["out"].parent / "elsewhere").mkdir()
    link = job["out"].parent / "elsewhere" / "link"
    link.symlink_to(job["out"])
    spellings = [job["out"], Path(job["out"].name), Path("elsewhere") / ".." / job["out"].name, link]

    def second(*_: object) -> None:
        for out in spellings:
            with pytest.raises(
                LeighError, match=r"Another job is writing to .*; wait until it ends, or give another --out"
            ):
                ExplainJob(**job | {"out": out}).run()
        raise RuntimeError("refused")

    monkeypatch.setattr(ExplainJob, "_work", second)
    with pytest.raises(RuntimeError, match="refused"):
        ExplainJob(**job).run()


def test_a_network_that_gives_no_number_is_a_failure_of_its_field(
    job: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    orders: list[WorkOrder] = []
    monkeypatch.setattr(ExplainJob, "_work", lambda self, order, left, package: orders.append(order))
    monkeypatch.setattr(ExplainJob, "_close", lambda *_: {})
    ExplainJob(**job).run()
    worker = FieldWorker(orders[0])
    assert not any("failure" in record for record in worker.explain([0, 1]))
    explained = counterfactual_metrics.explain_fields

    def wild(package: ModelPackage, raw: Any, *given: Any) -> Any:
        found = explained(package, raw, *given)
        for each, image in zip(found, raw, strict=True):
            each.numbers["probability_DS"] = float("nan") if (image == worker.reader.read(0).raw).all() else 0.5
        return found

    monkeypatch.setattr(counterfactual_metrics, "explain_fields", wild)
    records = worker.explain([0, 1])
    assert ["failure" in record for record in records] == [True, False]
    assert "is not a number" in records[0]["failure"]


def test_the_page_of_an_evaluation_takes_no_other_folder(tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text("{}")
    with pytest.raises(LeighError, match="holds no page of an evaluation; give another --out"):
        write_evaluation(tmp_path, None, None, tmp_path)  # type: ignore[arg-type]


@pytest.mark.parametrize(("patience_s", "attempts"), [(60.0, 3), (0.0, 1)])
def test_a_start_of_ray_that_fails_is_tried_again(
    patience_s: float, attempts: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts: list[str | None] = []

    @contextmanager
    def start(address: str | None, *, verbose: bool) -> Iterator[None]:
        starts.append(address)
        if len(starts) < 3:
            raise ClusterStartError("The node timed out during startup.")
        yield

    monkeypatch.setattr(explain_job, "ray_cluster", start)
    monkeypatch.setattr(cluster_start, "_FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(explain_job, "explain_batches", lambda *_, **__: [{"row": [0]}])
    said = io.StringIO()
    job = ExplainJob(
        None, "models:/a/1", DataSource(tmp_path), tmp_path / "out", Console(file=said), start_patience_s=patience_s
    )  # type: ignore[arg-type]
    if attempts == 3:
        job._work(None, [0], None)  # type: ignore[arg-type]
    else:
        with pytest.raises(LeighError, match="Ray did not start in 1 attempt"):
            job._work(None, [0], None)  # type: ignore[arg-type]
    assert starts == [None] * attempts
    assert said.getvalue().count("Ray did not start (The node timed out during startup; load") == attempts - 1
