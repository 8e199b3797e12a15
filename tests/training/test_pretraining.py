from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from leigh_mlops.errors import LeighError
from leigh_mlops.images import open_cache
from leigh_mlops.models import save_model
from leigh_mlops.plates import assign_split, find_images
from leigh_mlops.settings import TrainingSettings
from leigh_mlops.training import PreparedData, build_network, run_trial
from tests.conftest import write_class_folders


def settings(init: str = "random", **architecture: object) -> TrainingSettings:
    small = {"blocks": [1, 1], "widths": [6, 8]} | architecture
    return TrainingSettings(batch_size=8, epochs=1, learning_rate=0.003, init=init, architecture=small)


def prepared(folder: Path, classes: tuple[str, ...], **how: object) -> PreparedData:
    found = find_images(folder, **how)
    table = found.table.assign(Metadata_Split=assign_split(found.table, seed=0))
    return PreparedData(table, found.channels, classes, open_cache(table, found.channels, 32))


@pytest.fixture
def pictures(tmp_path: Path) -> PreparedData:
    rng = np.random.default_rng(0)
    for name in ("cat", "dog", "yak"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for number in range(8):
            pixels = rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pets" / name / f"{name} no {number}.png")
    return prepared(tmp_path / "pets", ("cat", "dog", "yak"), preset="pictures")


@pytest.fixture
def plate(tmp_path: Path) -> PreparedData:
    folder = write_class_folders(tmp_path / "plate")
    return prepared(folder, ("DS", "TT"), channels={"DAPI": 1, "TMRM": 2})


def pretrained(pictures: PreparedData, folder: Path, **architecture: object) -> dict[str, torch.Tensor]:
    epoch = next(run_trial("iresnet", settings(**architecture), pictures, metric="val/log_loss", device="cpu"))
    save_model(epoch.state.model.eval(), folder)
    return epoch.state.model.state_dict()


def test_a_plate_begins_with_what_was_learned_from_pictures(
    pictures: PreparedData, plate: PreparedData, tmp_path: Path
) -> None:
    assert (len(pictures.channels), len(plate.channels)) == (3, 2)
    learned = pretrained(pictures, tmp_path / "version")
    fresh = build_network("iresnet", settings(), plate, seed=1)
    started = build_network("iresnet", settings(str(tmp_path / "version")), plate, seed=1)
    weights = {name: weight for name, weight in started.named_parameters() if name.startswith("trunk.")}
    assert not all(torch.equal(fresh.state_dict()[name], learned[name]) for name in weights)
    assert all(torch.equal(weight, learned[name]) for name, weight in weights.items())
    head = [name for name, _ in started.named_parameters() if name.startswith("head.")]
    assert all(torch.equal(started.state_dict()[name], fresh.state_dict()[name]) for name in head)
    trial = run_trial("iresnet", settings(str(tmp_path / "version")), plate, metric="val/log_loss")
    assert next(trial).metrics["val/log_loss"] > 0


def test_weights_for_other_channels_are_refused_where_nothing_is_padded(
    pictures: PreparedData, plate: PreparedData, tmp_path: Path
) -> None:
    pretrained(pictures, tmp_path / "version", padded_channels=None)
    build_network("iresnet", settings(str(tmp_path / "version"), padded_channels=None), pictures, seed=1)
    with pytest.raises(LeighError, match=r"Only \d+% of the weights below the head of this iresnet of 2 channels"):
        build_network("iresnet", settings(str(tmp_path / "version"), padded_channels=None), plate, seed=1)
