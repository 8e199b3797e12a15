"""Fields and their twins, on a demo plate."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from leigh_mlops.jobs.field_reader import FieldReader
from leigh_mlops.plates import find_images, write_demo_plate


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    return write_demo_plate(tmp_path / "demo", wells_per_class=4, fields_per_well=1, image_size_px=32, twins=True)


def reader(images: Path, demo: Path) -> FieldReader:
    package: Any = SimpleNamespace(
        channels=("DAPI", "TMRM"), seen_digests=np.zeros(0, np.uint64),
        scale={"full_scale": 65535}, model=SimpleNamespace(spec=SimpleNamespace(image_size=32)),
    )  # fmt: skip
    return FieldReader(package, find_images(images).table, None, demo)


def test_twins_are_found_however_their_folder_is_written(
    demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = reader(demo, demo).twin(0, "TT")
    assert expected is not None
    (tmp_path / "beside").mkdir()
    monkeypatch.chdir(tmp_path / "beside")
    for written in (Path("../demo"), Path("../demo").absolute()):
        np.testing.assert_array_equal(reader(written, written).twin(0, "TT"), expected)


def test_images_that_lie_elsewhere_have_no_twin(demo: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(demo / "Images", tmp_path / "copied"))
    assert reader(copied, demo).twin(0, "TT") is None
