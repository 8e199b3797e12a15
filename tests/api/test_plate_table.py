import shutil
from pathlib import Path

import pandas as pd
import pytest

from leigh_mlops.api.plate_table import read_plate
from leigh_mlops.plates import find_images


def test_a_plate_is_the_table_of_ingest(plate: Path) -> None:
    pd.testing.assert_frame_equal(read_plate(plate, preset="harmony"), find_images(plate).table)
    assert "Metadata_Flags" not in read_plate(plate)


def test_flags_are_added_on_request(plate: Path) -> None:
    table = read_plate(plate, quality=True)
    assert {"Metadata_Flags", "Metadata_Excluded"} <= set(table)
    pd.testing.assert_frame_equal(table[list(read_plate(plate))], read_plate(plate))


def test_files_and_wells_that_are_lost_are_a_warning(plate: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(plate, tmp_path / "copied"))
    first = sorted((copied / "Images").glob("*.tiff"))[0]
    shutil.copy(first, copied / "Images" / "holiday.tiff")
    with pytest.warns(UserWarning, match=r"1 file is left out \(for example holiday\.tiff\)"):
        read_plate(copied)
