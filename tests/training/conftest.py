from pathlib import Path

import pytest

from leigh_mlops.images import open_cache
from leigh_mlops.plates import DemoDesign, assign_split, find_images, write_demo_plate
from leigh_mlops.training import PreparedData
from tests.conftest import write_class_folders


def prepared(folder: Path, image_size: int = 32, cache: Path | None = None) -> PreparedData:
    found = find_images(folder)
    table = found.table.assign(Metadata_Split=assign_split(found.table, seed=0))
    return PreparedData(table, found.channels, ("DS", "TT"), open_cache(table, found.channels, image_size, cache))


@pytest.fixture(scope="session")
def shared_plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plate like that of `class_folders`, which no test changes."""
    return write_class_folders(tmp_path_factory.mktemp("training") / "plate")


@pytest.fixture
def data(shared_plate: Path) -> PreparedData:
    return prepared(shared_plate, cache=shared_plate.parent / "cache")


def two_plates(folder: Path, image_size: int) -> PreparedData:
    """Two plates of 16 wells with a field each, some of them negative controls."""
    design = DemoDesign(
        classes=("DS", "WT"), wells_per_class=8, fields_per_well=1, image_size_px=image_size, plates=2, plate_shift=1
    )
    found = find_images(write_demo_plate(folder / "plate", design))
    table = found.table.assign(Metadata_Split=assign_split(found.table))
    cache = open_cache(table, found.channels, image_size, folder)
    return PreparedData(table, tuple(found.channels), ("DS", "WT"), cache)


@pytest.fixture(scope="session")
def plates(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    """Two plates with controls."""
    return two_plates(tmp_path_factory.mktemp("plates"), 32)
