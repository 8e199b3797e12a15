"""A version behind MLflow's own interface gives the numbers of the batch job, by class name."""

import json
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from leigh_mlops.api import model as api
from leigh_mlops.api.model import load
from leigh_mlops.models import load_package
from leigh_mlops.study.plate_levels import PlateLevels
from leigh_mlops.tracking import NO_WHEEL, Run, Store
from leigh_mlops.tracking.package_wheel import build_wheel
from tests.api.conftest import read_arrays
from tests.api.test_model import job_records, worker


def example(table: pd.DataFrame) -> np.ndarray:
    return read_arrays(table.head(1)).astype(np.float32)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path / "store"))


def log(store: Store, folder: Path, image: np.ndarray, adjustment: list[float]) -> tuple[Run, Path]:
    """Log a package as a search does; returns its run and the folder of the MLflow model."""
    with store.run("trial") as run:
        parameters = {"adjustment": adjustment} if adjustment else None
        uri = store.log_package(run, load_package(folder), image, parameters)
    return run, Path(mlflow.artifacts.download_artifacts(uri))


@pytest.mark.parametrize("family", ["resnext", "controls"])
def test_a_loaded_version_gives_what_the_job_gives(
    packages: dict[str, Path],
    table: pd.DataFrame,
    tmp_path: Path,
    store: Store,
    family: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = PlateLevels(load_package(packages[family]), table, Console(quiet=True)).adjustments or {}
    adjustment = np.ravel(list(found.values())).tolist()
    assert bool(adjustment) == (family == "controls")
    _, folder = log(store, packages[family], example(table), adjustment)
    model, sizes = mlflow.pyfunc.load_model(str(folder)), []
    explain = api.explain_and_save

    def count(package: object, fields: list[object], *rest: object) -> object:
        sizes.append(len(fields))
        return explain(package, fields, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(api, "explain_and_save", count)
    monkeypatch.setattr(api, "fit_batch_size", lambda *_: 3)
    images = read_arrays(table).astype(np.float32)
    answer = model.predict(images, params={"adjustment": adjustment} if adjustment else None)
    assert sizes == [3, 3, 3, 3, 3, 1]
    records = job_records(worker(packages[family], table, tmp_path / "out"), 3)
    for name in ("predicted", "probability_DS", "probability_TT"):
        assert answer[name].tolist() == [record["numbers"][name] for record in records]  # type: ignore[index]
    assert answer["seen"].tolist() == [record["seen"] for record in records]
    assert list(answer) == [column.name for column in model.metadata.get_output_schema()]


def test_controls_of_the_request_give_the_level_and_their_answer_can_be_used_again(
    packages: dict[str, Path], table: pd.DataFrame, store: Store
) -> None:
    _, folder = log(store, packages["controls"], example(table), [0.0, 1.0] * 2)
    model, images = mlflow.pyfunc.load_model(str(folder)), read_arrays(table)
    negative = np.flatnonzero(table["Metadata_Control"] == "negcon").tolist()
    answer = model.predict(images.astype(np.float32), params={"controls": negative})
    expected = load(packages["controls"]).predict(images, controls=images[negative])
    pd.testing.assert_frame_equal(answer[list(expected)], expected)
    level = [answer[f"{kind}_{channel}"][0] for channel in ("DAPI", "TMRM") for kind in ("offset", "gain")]
    again = model.predict(images[:3].astype(np.float32), params={"adjustment": level})
    np.testing.assert_allclose(again["probability_DS"], expected["probability_DS"][:3], rtol=1e-5)
    few = images[:2].astype(np.float32)
    for params, sentence in (
        ({}, "scaled by each plate's own negative controls"),
        ({"controls": [2]}, "names image 2, but the request has 2"),
        ({"adjustment": [0.0, 1.0]}, "offset and gain"),
        ({"adjustment": [0.0, 1.0, 0.0, 0.0]}, "above 0"),
    ):
        with pytest.raises(Exception, match=sentence):
            model.predict(few, params=params)


def test_a_request_with_other_numbers_than_counts_is_refused(
    packages: dict[str, Path], table: pd.DataFrame, store: Store
) -> None:
    _, folder = log(store, packages["resnext"], example(table), [])
    model, images = mlflow.pyfunc.load_model(str(folder)), read_arrays(table.head(2)).astype(np.float32)
    assert len(model.predict(images)) == 2
    for spoilt in (images / 65535, -images, images * 65536, np.full_like(images, np.nan)):
        with pytest.raises(Exception, match="whole numbers from 0 to 65535"):
            model.predict(spoilt)


def test_an_autoencoder_answers_with_images_in_the_units_of_the_camera(
    packages: dict[str, Path], table: pd.DataFrame, store: Store
) -> None:
    _, folder = log(store, packages["autoencoder"], example(table), [])
    images = read_arrays(table.head(3))
    answer = mlflow.pyfunc.load_model(str(folder)).predict(images.astype(np.float32))
    assert answer.shape == (3, 2, 32, 32)
    np.testing.assert_array_equal(answer, load(packages["autoencoder"]).reconstruct(images))


def test_its_example_and_its_requirements_travel_with_it(
    packages: dict[str, Path], table: pd.DataFrame, store: Store
) -> None:
    image = example(table)
    _, folder = log(store, packages["resnext"], image, [])
    model = mlflow.pyfunc.load_model(str(folder))
    np.testing.assert_array_equal(model.input_example, image)
    request = json.loads((folder / "serving_input_example.json").read_text())
    np.testing.assert_array_equal(np.array(request["inputs"]), image)
    lines = (folder / "requirements.txt").read_text().splitlines()
    wheel = build_wheel()
    assert f"leigh_mlops=={wheel.version}" in lines
    assert "--find-links artifacts" in lines
    assert (folder / "artifacts" / wheel.file_name).read_bytes() == wheel.content
    assert not [line for line in lines if line.partition("=")[0] == "leigh_mlops" and "+sha" not in line]


def test_a_version_without_a_wheel_is_logged_and_says_so(
    packages: dict[str, Path], table: pd.DataFrame, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = log(store, packages["resnext"], example(table), [])
    assert NO_WHEEL not in run.tags()

    def fail() -> None:
        raise api.LeighError("The code is not installed.")

    monkeypatch.setattr("leigh_mlops.tracking.registry.build_wheel", fail)
    run, folder = log(store, packages["resnext"], example(table), [])
    assert run.tags()[NO_WHEEL] == "The code is not installed."
    assert "leigh_mlops" not in (folder / "requirements.txt").read_text()
