"""What a user can get wrong: one sentence, a non-zero exit, nothing half-written."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from leigh_mlops.commands import ENVIRONMENT
from leigh_mlops.errors import LeighError
from leigh_mlops.explain import explain
from leigh_mlops.train import assignments, train
from leigh_mlops.tune import tune
from tests.conftest import write_class_folders

Damage = Callable[[Path], object]


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


def first(folder: Path) -> Path:
    return sorted(folder.iterdir())[0]


def emptied(data: Path) -> None:
    shutil.rmtree(data)
    data.mkdir()


def keep_wells(folder: Path, wells: int) -> None:
    names = sorted({path.name.split("-")[0] for path in folder.iterdir()})
    for path in list(folder.iterdir()):
        if path.name.split("-")[0] not in names[:wells]:
            path.unlink()


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def save(path: Path, shape: tuple[int, ...]) -> None:
    Image.fromarray(np.zeros(shape, np.uint8)).save(path)


DATA: dict[str, tuple[Damage, str]] = {
    "missing folder": (shutil.rmtree, "plate"),
    "empty folder": (emptied, "plate"),
    "too few wells": (lambda data: keep_wells(data / "TT", 2), "TT"),
    "another size": (lambda data: save(first(data / "DS"), (32, 32, 3)), "32 x 32 pixels"),
    "other channels": (lambda data: save(first(data / "TT"), (64, 64)), "1 channels"),
    "truncated image": (lambda data: truncate(first(data / "DS")), "not a readable image"),
    "text file named .png": (lambda data: first(data / "DS").write_text("hello"), "not a readable image"),
}


@pytest.mark.parametrize("damage", DATA)
def test_bad_data_is_one_sentence_before_anything_trains(damage: str, tmp_path: Path) -> None:
    data = write_class_folders(tmp_path / "plate", fields=1)
    harm, said = DATA[damage]
    harm(data)
    with pytest.raises(LeighError) as caught:
        tune(data=data, preset="quick", image_size=32)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    left = {path.name for path in tmp_path.iterdir()}
    assert left <= {"plate", "cache", "mlruns", "state"}
    assert not [path for path in (tmp_path / "state").rglob("*") if path.is_file()]
    assert not list(tmp_path.glob("cache/.building-*"))
    assert not list(tmp_path.glob("mlruns/artifacts/**/*"))


SEARCH = "family: {family}\nmetric: val/log_loss\npublished: {{learning_rate: 0.001}}\n{more}"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"family": "resnet", "more": ""}, "'resnet' is unknown; choose one of"),
        ({"family": "resnext", "more": "trails: 3"}, "'trails' is unknown; did you mean 'trials'"),
        ({"family": "resnext", "more": "image_size: 100"}, "100 is not a multiple of 32"),
    ],
)
def test_bad_searches_are_refused(values: dict[str, str], said: str, tmp_path: Path) -> None:
    search = tmp_path / "search.yaml"
    search.write_text(SEARCH.format(**values))
    data = write_class_folders(tmp_path / "plate", fields=1)
    with pytest.raises(LeighError, match=said):
        tune([search], data=data)
    assert not (tmp_path / "mlruns").exists()


@pytest.mark.parametrize("value", ["[1", "2026-99-99", "9" * 5000, "[" * 3000, "!!int x"])
def test_a_hyperparameter_that_is_no_yaml_is_refused(value: str) -> None:
    assert assignments(["epochs=3"]) == {"epochs": 3}
    with pytest.raises(LeighError, match=r"not a valid value; write it as learning_rate=0\.0005"):
        assignments([f"learning_rate={value}"])


def test_an_unknown_architecture_names_the_known_parts(tmp_path: Path) -> None:
    search = tmp_path / "search.yaml"
    search.write_text(SEARCH.format(family="resnext", more="").replace("0.001", "0.001, architecture.layerz: 1"))
    with pytest.raises(LeighError, match="layers"):
        tune([search], data=write_class_folders(tmp_path / "plate", fields=1))


def test_the_valid_families_are_listed(tmp_path: Path) -> None:
    with pytest.raises(LeighError, match=r"'resnet' is unknown.*autoencoder, backbone, deepcluster, iresnet, resnext"):
        train("resnet", data=tmp_path)


@pytest.mark.parametrize("store", ["http://127.0.0.1:9", "http://user:secret@127.0.0.1:9", "ftp://nowhere"])
def test_a_store_that_cannot_be_reached(store: str, tmp_path: Path) -> None:
    data = write_class_folders(tmp_path / "plate", fields=1)
    with pytest.raises(LeighError, match="can't be reached") as caught:
        tune(data=data, preset="quick", image_size=32, store=store)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("leigh-resnext", "is not the address of a registered model"),
        ("models:/leigh-resnext@champion", "The store has no"),
    ],
)
def test_models_that_do_not_exist(model: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(LeighError, match=said):
        explain(model, data=tmp_path, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.ray
def test_the_command_line_says_it_in_one_line_and_fails(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "leigh_mlops.tune", "--data", "nowhere"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert "nowhere" in done.stderr
