"""Rectangular fields are squares: the centre one, or several along the longer side."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile

from leigh_mlops.errors import LeighError
from leigh_mlops.images import field_files, open_cache
from leigh_mlops.images.squares import cut_square
from leigh_mlops.plates import read_table, tile_rows, write_table

IMAGE = np.random.default_rng(0).integers(0, 4096, (40, 96), np.uint16)


@pytest.fixture
def table(tmp_path: Path) -> pd.DataFrame:
    tifffile.imwrite(tmp_path / "a.tif", IMAGE)
    tifffile.imwrite(tmp_path / "b.tif", IMAGE[:, ::-1])
    place = {"Metadata_Plate": "P", "Metadata_Well": ["A01", "A02"], "Metadata_Site": [1, 1]}
    return pd.DataFrame(place | {"FileName_A": ["a.tif", "b.tif"], "PathName_A": str(tmp_path)})


@pytest.mark.parametrize("turn", [lambda image: image, np.transpose])
def test_squares_lie_evenly_along_the_longer_side(turn) -> None:  # type: ignore[no-untyped-def]
    expected = {(0, 1): 28, (0, 3): 0, (1, 3): 28, (2, 3): 56}
    for tile, start in expected.items():
        np.testing.assert_array_equal(cut_square(turn(IMAGE), tile), turn(IMAGE[:, start : start + 40]))


def test_a_square_is_not_cut() -> None:
    square = IMAGE[:, :40]
    assert cut_square(square) is square
    with pytest.raises(LeighError, match="leave --tiles out"):
        cut_square(square, (0, 2))


def test_a_table_has_a_row_for_each_square(table: pd.DataFrame, tmp_path: Path) -> None:
    assert tile_rows(table, 1) is table
    cut = tile_rows(table, 3)
    assert cut["Metadata_Site"].tolist() == [1, 2, 3] * 2
    assert cut["Metadata_Tile"].tolist() == ["1/3", "2/3", "3/3"] * 2
    write_table(cut, tmp_path / "cut.csv")
    found = read_table(tmp_path / "cut.csv")
    assert [files[0].planes[0].tile for files in field_files(found, ["A"]) if files] == [(0, 3), (1, 3), (2, 3)] * 2
    for count, said in ((0, "from 1 to 16"), (17, "from 1 to 16")):
        with pytest.raises(LeighError, match=said):
            tile_rows(table, count)
    with pytest.raises(LeighError, match="cut into squares already"):
        tile_rows(cut, 2)


def test_a_tile_that_is_none_is_named(table: pd.DataFrame) -> None:
    with pytest.raises(LeighError, match="'3/2' in Metadata_Tile"):
        field_files(table.assign(Metadata_Tile="3/2"), ["A"])


def test_a_cache_holds_the_squares_under_the_digest_of_their_field(table: pd.DataFrame, tmp_path: Path) -> None:
    centre = open_cache(table, ["A"], 32, tmp_path / "cache")
    cut = open_cache(tile_rows(table, 3), ["A"], 32, tmp_path / "cache")
    assert not centre.failures
    assert not cut.failures
    assert (centre.field_size, centre.folder == cut.folder) == ((96, 40), False)
    np.testing.assert_array_equal(cut.pixels[1], centre.pixels[0])
    assert (cut.pixels[0] != cut.pixels[1]).any()
    np.testing.assert_array_equal(cut.digests, np.repeat(centre.digests, 3))
    assert cut.quality["mean_A"][0] == pytest.approx(IMAGE[:, :40].mean())
