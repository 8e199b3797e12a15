from collections.abc import Iterator
from pathlib import Path

import pytest

from leigh_mlops.commands import ENVIRONMENT
from tests.conftest import write_class_folders
from tests.training.conftest import prepared


@pytest.fixture(scope="package")
def place(ray_address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        folder = tmp_path_factory.mktemp("search")
        patch.setenv("LEIGH_CACHE", str(folder / "cache"))
        prepared(write_class_folders(folder / "plate", size=32)).save(folder / "data")
        yield folder
