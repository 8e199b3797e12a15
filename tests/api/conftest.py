"""A demo plate as a microscope writes it, and packages as if they were trained on it."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch

from leigh_mlops.api.model import Model, load
from leigh_mlops.images import field_files, read_field
from leigh_mlops.models import ModelPackage, build_model, save_package
from leigh_mlops.plates import find_images, write_demo_plate
from leigh_mlops.study.baselines import fit_baselines
from leigh_mlops.study.model_selection import make_package
from leigh_mlops.training import PreparedData
from tests.training.conftest import prepared

TINY = {
    "resnext": {"layers": [1, 1, 1, 1], "groups": 1, "width_per_group": 4},
    "iresnet": {"blocks": (1, 1), "widths": (8, 8)},
}


@pytest.fixture(scope="session")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_demo_plate(
        tmp_path_factory.mktemp("api") / "plate",
        wells_per_class=8,
        fields_per_well=1,
        image_size_px=48,
        effect="intensity",
    )


@pytest.fixture
def table(plate: Path) -> pd.DataFrame:
    return find_images(plate).table


def make_tiny(data: PreparedData, family: str, **about: object) -> ModelPackage:
    torch.manual_seed(0)
    built: dict[str, Any] = {"image_size": 32, "channels": len(data.channels), **TINY.get(family, {})}
    model = build_model(family, classes=data.classes, **built).eval()
    scale = data.scale("linear")
    if model.task == "classify":
        images = next(iter(data.batches("train", scale, 64))).images
        with torch.no_grad():  # as many images of either class, so that each has a mean latent
            list(model.parameters())[-1].sub_(model(images).median(dim=0).values)
    return make_package(model, scale, data, fit_baselines(data), about)


@pytest.fixture(scope="session")
def packages(plate: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of packages by family, of one that is scaled by controls, and of one that also adapts to plates."""
    root = tmp_path_factory.mktemp("packages")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LEIGH_CACHE", str(root / "cache"))
        data = prepared(plate)
        known = (data.table["Metadata_Split"] == "train").to_numpy(bool)
        made = {family: make_tiny(data, family) for family in ("iresnet", "resnext", "autoencoder")}
        made["controls"] = make_tiny(data.scale_by_controls(known), "iresnet")
        made["adapted"] = make_tiny(data.scale_by_controls(known), "resnext", adaptation="controls")
    for name, package in made.items():
        save_package(package, root / name)
    return {name: root / name for name in made}


@pytest.fixture
def model(packages: dict[str, Path]) -> Model:
    return load(packages["iresnet"])


def read_arrays(table: pd.DataFrame, channels: tuple[str, ...] = ("DAPI", "TMRM")) -> npt.NDArray[np.uint16]:
    """Fields of a table as their files have them."""
    return np.stack([read_field(files) for files in field_files(table, channels) if files])
