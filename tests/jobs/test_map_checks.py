"""A whole job whose workers run in this process, so that its maps and their checks can be looked at."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from rich.console import Console

from leigh_mlops.explanations import MethodCheck
from leigh_mlops.jobs import explain_job as explain_job_module
from leigh_mlops.jobs import map_checks as map_checks_module
from leigh_mlops.jobs.explain_job import ExplainJob
from leigh_mlops.jobs.map_checks import select_map_methods, write_checks
from leigh_mlops.jobs.options import ExplainOptions
from leigh_mlops.jobs.records import read_records
from leigh_mlops.jobs.worker import FieldWorker, WorkOrder
from leigh_mlops.models import build_model, save_package
from leigh_mlops.study.baselines import fit_baselines
from leigh_mlops.study.model_selection import make_package
from leigh_mlops.study.prepare import DataSource
from tests.conftest import write_class_folders
from tests.jobs.test_explain_job import OneVersion
from tests.training.conftest import prepared

METHODS = ("occlusion", "grad_cam", "integrated_gradients", "prediction_difference")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a plate and a package."""
    folder = tmp_path_factory.mktemp("map_checks")
    data = prepared(write_class_folders(folder / "plate"), cache=folder / "cache")
    torch.manual_seed(0)
    model = build_model(
        "resnext", classes=data.classes, image_size=32, channels=3, layers=[1, 1, 1, 1], groups=1, width_per_group=4
    ).eval()
    save_package(
        make_package(model, data.scale("linear"), data, fit_baselines(data), {}, references={}), folder / "package"
    )
    return folder


@pytest.fixture(scope="module", autouse=True)
def work() -> Iterator[None]:
    """A job explains three fields more at each start, in this process."""

    def explain(self: ExplainJob, order: WorkOrder, left: list[int], _: Any) -> None:
        for row in left[:3]:
            FieldWorker(order)({"row": np.array([row])})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ExplainJob, "_work", explain)
        patch.setattr(ExplainJob, "_close", lambda self, job, *_: job)
        yield


def order(place: Path, out: Path) -> dict[str, Any]:
    return {
        "store": OneVersion(place / "package"), "model": "models:/leigh-resnext/1",
        "source": DataSource(place / "plate"), "out": out, "console": Console(file=io.StringIO()),
        "methods": METHODS, "options": ExplainOptions(window=16, stride=8),
    }  # fmt: skip


Begun = tuple[dict[str, Any], dict[str, Any]]


@pytest.fixture(scope="module")
def begun(place: Path) -> Begun:
    """A job that was started once, and what it said of itself."""
    job = order(place, place / "out")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LEIGH_CACHE", str(place / "cache"))
        return job, ExplainJob(**job).run()


def test_one_scale_holds_for_every_field_of_a_job_and_outlives_a_stop(
    begun: Begun, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, first = begun
    assert set(first["full_colour"]) == set(METHODS)
    assert len(first["sample"]) == 4
    written = json.loads((job["out"] / "job.json").read_text())
    assert written["full_colour"] == first["full_colour"]
    monkeypatch.setattr(map_checks_module, "check_methods", None)  # a second check would call it
    assert ExplainJob(**job).run()["full_colour"] == first["full_colour"]
    records = list(read_records(job["out"]))
    assert len(records) == 6
    for record in records:
        for name in METHODS:
            assert record["numbers"][f"{name}_full_colour"] == first["full_colour"][name]
            assert 0 <= record["numbers"][f"{name}_clipped"] <= 1
            assert (job["out"] / record["pictures"][name]).exists()
        assert record["numbers"]["integrated_gradients_completeness_error"] >= 0


def test_the_checks_of_a_job_are_a_table_and_a_sentence(begun: Begun) -> None:
    job, _ = begun
    table = pd.read_csv(job["out"] / "methods.csv")
    assert table.columns.tolist() == list(MethodCheck.__dataclass_fields__)
    assert table["method"].tolist() == list(METHODS)
    assert (table["images"] == 4).all()
    assert table["infidelity"].isna().all()
    assert table["passed"].dtype == bool
    said = job["console"].file.getvalue()
    assert f"{table['passed'].sum()} of 4 kinds of maps passed their checks on 4 fields" in said
    assert {path.stem for path in (job["out"] / "scales").iterdir()} == set(METHODS)


def test_deleted_checks_are_made_again_on_the_scale_of_the_job(begun: Begun, monkeypatch: pytest.MonkeyPatch) -> None:
    job, first = begun
    (job["out"] / "methods.csv").unlink()
    # Another sample, whose maps would have another scale.
    monkeypatch.setattr(explain_job_module, "read_sample", lambda reader, _: [reader.read(row) for row in (1, 2)])
    assert ExplainJob(**job).run()["full_colour"] == first["full_colour"]
    assert (pd.read_csv(job["out"] / "methods.csv")["images"] == 2).all()


def test_a_field_of_the_sample_that_cannot_be_explained_leaves_the_others(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = order(place, tmp_path / "out")
    explain, first = map_checks_module.explain_fields, []

    def fails(package: Any, raw: Any, *given: Any) -> Any:
        first.append(raw[0])
        if (raw == first[0]).all(axis=(1, 2, 3)).any():
            raise ValueError("3 pixels are not finite")
        return explain(package, raw, *given)

    monkeypatch.setattr(map_checks_module, "explain_fields", fails)
    ExplainJob(**job | {"methods": ("grad_cam",)}).run()
    assert pd.read_csv(job["out"] / "methods.csv")["images"].tolist() == [3]
    assert "could not be explained (3 pixels are not finite)" in job["console"].file.getvalue()


def test_a_job_without_maps_checks_none() -> None:
    assert select_map_methods(("reconstruction", "interpolation")) == ()
    assert select_map_methods(("counterfactual", "lrp", "reconstruction")) == ("counterfactual", "lrp")


def test_what_was_not_measured_is_empty(tmp_path: Path) -> None:
    nan = float("nan")
    areas = (0.25, 0.75, 0.5, 0.5, 0.5, 0.5)
    write_checks(tmp_path, [MethodCheck("lrp", 3, *areas, 0.125, nan, nan, nan, True, "It is, so far.")])
    _, row = (tmp_path / "methods.csv").read_text().strip().splitlines()
    assert row == 'lrp,3,0.25,0.75,0.5,0.5,0.5,0.5,0.125,,,,True,"It is, so far."'
