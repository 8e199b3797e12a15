from pathlib import Path

import pytest

from leigh_mlops.images import open_cache
from leigh_mlops.plates import assign_split, find_images
from leigh_mlops.training import PreparedData


def prepared(folder: Path, image_size: int = 32, cache: Path | None = None) -> PreparedData:
    found = find_images(folder)
    table = found.table.assign(Metadata_Split=assign_split(found.table, seed=0))
    return PreparedData(table, found.channels, ("DS", "TT"), open_cache(table, found.channels, image_size, cache))


@pytest.fixture
def data(class_folders: Path) -> PreparedData:
    return prepared(class_folders)
