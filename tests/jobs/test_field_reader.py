"""Fields, their twins on a demo plate, and the field that a user names."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from leigh_mlops.errors import LeighError
from leigh_mlops.jobs.field_reader import FieldReader, find_field_row
from leigh_mlops.plates import find_images, write_demo_plate


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    return write_demo_plate(tmp_path / "demo", wells_per_class=4, fields_per_well=1, image_size_px=32, twins=True)


def reader(images: Path, demo: Path) -> FieldReader:
    package: Any = SimpleNamespace(
        channels=("DAPI", "TMRM"), seen_digests=np.zeros(0, np.uint64), field_width_um=None,
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


@pytest.fixture
def table() -> pd.DataFrame:
    rows = [("a/b", "B03", 1), ("P", "B03", 1), ("P", "B03", 2), ("P", "C04", 1), ("P", "C04", 1)]
    return pd.DataFrame(rows, columns=["Metadata_Plate", "Metadata_Well", "Metadata_Site"], index=[7, 3, 5, 1, 0])


@pytest.mark.parametrize(("name", "row"), [("a/b/B03/1", 0), ("P/B03/2", 2), ("P/B03/02", 2), ("P/C04/1", 3)])
def test_a_field_is_found_by_its_name(table: pd.DataFrame, name: str, row: int) -> None:
    assert find_field_row(table, name) == row


@pytest.mark.parametrize("name", ["P", "P/B03", "P/B03/x", "B03/1"])
def test_what_names_no_field_is_said(table: pd.DataFrame, name: str) -> None:
    with pytest.raises(LeighError, match=r"is not a field; write it as PLATE/WELL/SITE"):
        find_field_row(table, name)


@pytest.mark.parametrize(("name", "near"), [("P/B03/9", "P/B03/1"), ("P/D01/1", "P/B03/1"), ("Q/B03/1", "a/b/B03/1")])
def test_a_field_that_is_not_there_names_a_near_one(table: pd.DataFrame, name: str, near: str) -> None:
    with pytest.raises(LeighError, match=rf"There is no field {name}; .* such as {near}\.$"):
        find_field_row(table, name)
