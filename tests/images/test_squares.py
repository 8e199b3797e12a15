"""Rectangular fields are squares: the centre one, or several along the longer side."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile

from leigh_mlops.errors import LeighError
from leigh_mlops.images import field_files, open_cache
from leigh_mlops.images.squares import CENTRE, Width, cut_square
from leigh_mlops.plates import read_table, set_field_width, tile_rows, write_table

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


def test_the_centre_of_a_width_is_cut_out_of_each_square() -> None:
    assert cut_square(IMAGE).shape == (40, 40)
    np.testing.assert_array_equal(cut_square(IMAGE, CENTRE, Width(10, 0.5)), IMAGE[10:30, 38:58])
    np.testing.assert_array_equal(cut_square(IMAGE, (0, 3), Width(10, 0.5)), IMAGE[10:30, 10:30])
    np.testing.assert_array_equal(cut_square(IMAGE[:, :40], CENTRE, Width(15.1, 0.5)), IMAGE[5:35, 5:35])
    assert cut_square(IMAGE, CENTRE, Width(20.3, 0.5)).shape == (40, 40)  # within a calibration
    with pytest.raises(LeighError, match=r"20 µm wide \(40 pixels of 0.5 µm\), and a square of 21 µm .* at most 20"):
        cut_square(IMAGE, CENTRE, Width(21, 0.5))


def test_plates_of_two_pixel_sizes_have_one_scale(tmp_path: Path) -> None:
    coarse = IMAGE[:, :40]
    fine = np.random.default_rng(1).integers(0, 4096, (100, 100), np.uint16)
    fine[18:82, 18:82] = np.kron(coarse[4:36, 4:36], np.ones((2, 2), np.uint16))
    names = ["coarse.tif", "coarse2.tif", "fine.tif"]
    for name, image in zip(names, (coarse, coarse, fine), strict=True):
        tifffile.imwrite(tmp_path / name, image)
    place = {"Metadata_Plate": ["P", "P", "Q"], "Metadata_Well": ["A01", "A02", "A01"], "Metadata_Site": 1}
    sizes = {"Metadata_PixelSize_um": [0.6, 0.6, 0.3]}
    table = pd.DataFrame(place | sizes | {"FileName_A": names, "PathName_A": str(tmp_path)})
    whole = open_cache(table, ["A"], 32, tmp_path / "cache")
    assert [failure.row for failure in whole.failures] == [2]  # of another size
    write_table(set_field_width(table, 32 * 0.6), tmp_path / "cut.csv")
    cut = open_cache(read_table(tmp_path / "cut.csv"), ["A"], 32, tmp_path / "cache")
    assert not cut.failures
    np.testing.assert_array_equal(cut.pixels[0, 0], coarse[4:36, 4:36])
    np.testing.assert_array_equal(cut.pixels[2], cut.pixels[0])
    np.testing.assert_array_equal(cut.digests[:2], whole.digests[:2])
    assert cut.quality["mean_A"][2] == pytest.approx(cut.quality["mean_A"][0])
    narrower = open_cache(set_field_width(table, 12), ["A"], 32, tmp_path / "cache")
    assert len({cache.folder for cache in (whole, cut, narrower)}) == 3
    wide = open_cache(set_field_width(table, 26), ["A"], 32, tmp_path / "cache")
    assert [failure.row for failure in wide.failures] == [0, 1]
    assert "at most 24" in wide.failures[0].reason
