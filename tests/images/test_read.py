from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image

from leigh_mlops.errors import LeighError
from leigh_mlops.images import field_files, read_field, read_image


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif"])
def test_rgb_is_read_as_planes_in_the_order_of_the_file(tmp_path: Path, suffix: str) -> None:
    stored = np.arange(4 * 4 * 3, dtype=np.uint8).reshape(4, 4, 3)
    Image.fromarray(stored).save(tmp_path / f"a{suffix}")
    image = read_image(tmp_path / f"a{suffix}")
    assert image.shape == (3, 4, 4)
    np.testing.assert_array_equal(image, np.moveaxis(stored, -1, 0))


def test_16_bits_stay_16_bits(tmp_path: Path) -> None:
    stored = np.arange(16, dtype=np.uint16).reshape(4, 4) * 4000
    tifffile.imwrite(tmp_path / "a.tif", stored)
    image = read_image(tmp_path / "a.tif")
    assert image.dtype == np.uint16
    np.testing.assert_array_equal(image[0], stored)


def test_files_of_a_field_are_joined_in_channel_order(tmp_path: Path) -> None:
    for value, name in enumerate(["dapi", "tmrm"]):
        tifffile.imwrite(tmp_path / f"{name}.tif", np.full((4, 4), value, np.uint16))
    table = pd.DataFrame(
        {
            "FileName_TMRM": ["tmrm.tif", None],
            "PathName_TMRM": [str(tmp_path)] * 2,
            "FileName_DAPI": ["dapi.tif"] * 2,
            "PathName_DAPI": [str(tmp_path)] * 2,
        }
    )
    whole, lacking = field_files(table, ["DAPI", "TMRM"])
    assert lacking is None
    assert whole is not None
    np.testing.assert_array_equal(read_field(whole)[:, 0, 0], [0, 1])


def damaged(tmp_path: Path, kind: str) -> Path:
    good = tmp_path / "good.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(good)
    path = tmp_path / "bad.png"
    match kind:
        case "truncated":
            path.write_bytes(good.read_bytes()[:4000])
        case "text":
            path.write_text("this is not an image")
        case "empty":
            path.touch()
        case "truncated tiff":
            path = tmp_path / "bad.tif"
            tifffile.imwrite(path, np.ones((64, 64), np.uint16))
            path.write_bytes(path.read_bytes()[:3000])
        case "stack":
            path = tmp_path / "bad.tif"
            tifffile.imwrite(path, np.ones((2, 8, 8), np.uint16), photometric="minisblack")
        case "float":
            path = tmp_path / "bad.tif"
            tifffile.imwrite(path, np.ones((8, 8), np.float32))
        case "four channels":
            Image.fromarray(np.zeros((8, 8, 4), np.uint8)).save(path)
    return path


@pytest.mark.parametrize(
    "kind", ["truncated", "text", "empty", "truncated tiff", "stack", "float", "four channels", "missing"]
)
def test_a_damaged_file_is_one_sentence_that_names_it(tmp_path: Path, kind: str) -> None:
    path = damaged(tmp_path, kind)
    assert read_field(((tmp_path / "good.png", 3),)).shape == (3, 64, 64)
    with pytest.raises(LeighError, match=path.name) as caught:
        read_field(((path, 3),))
    assert "\n" not in str(caught.value)
