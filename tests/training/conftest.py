from pathlib import Path

import pytest

from leigh_mlops.images import open_cache
from leigh_mlops.plates import assign_split, find_images
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
