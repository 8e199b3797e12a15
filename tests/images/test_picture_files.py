from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from leigh_mlops.errors import LeighError
from leigh_mlops.images import open_cache
from leigh_mlops.images.field_files import field_files
from leigh_mlops.images.picture_files import to_rgb_square
from leigh_mlops.images.read import read_field, read_image
from leigh_mlops.plates import find_images, flag_fields


def picture(path: Path, *, mode: str = "RGB", size: tuple[int, int] = (48, 40), seed: int = 0, **how: object) -> Path:
    """A smooth picture of (width, height), which JPEG keeps well."""
    coarse = np.random.default_rng(seed).integers(0, 255, (4, 4, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).convert(mode).save(path, **how)
    return path


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_is_read_as_another_library_reads_it(tmp_path: Path, mode: str, progressive: bool) -> None:
    path = picture(tmp_path / "a.jpg", mode=mode, progressive=progressive)
    wanted = np.asarray(Image.open(path), int)
    planes = read_image(path)
    assert planes.shape == ((3, 40, 48) if mode == "RGB" else (1, 40, 48))
    assert np.abs(np.moveaxis(planes, 0, -1).squeeze().astype(int) - wanted).max() <= 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: b"GIF89a" + data, "has no JPEG header"),
        (lambda data: data[:20], "has no frame header"),
        (lambda data: data[: len(data) // 2], "not a readable image"),
        (lambda data: _with_size(data, 65000, 65000), "claims 65000 x 65000 x 3 pixels"),
    ],
)
def test_a_damaged_jpeg_is_refused(tmp_path: Path, change, said: str) -> None:
    path = picture(tmp_path / "a.jpg")
    read_image(path)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(LeighError, match=said):
        read_image(path)


def _with_size(data: bytes, height: int, width: int) -> bytes:
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + height.to_bytes(2, "big") + width.to_bytes(2, "big") + data[at + 4 :]


def test_colours_of_print_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LeighError, match="4 colour components, not 1 or 3; convert it to RGB"):
        read_image(picture(tmp_path / "a.jpg", mode="CMYK"))


def test_a_picture_is_rgb_and_its_centre_square() -> None:
    page = np.arange(4 * 3 * 5, dtype=np.uint8).reshape(4, 3, 5)
    np.testing.assert_array_equal(to_rgb_square(page), page[:3, :, 1:4])
    np.testing.assert_array_equal(to_rgb_square(page[:2].swapaxes(1, 2)), page[[0, 0, 0]].swapaxes(1, 2)[:, 1:4])


def test_pictures_of_any_size_share_a_cache_where_fields_do_not(tmp_path: Path) -> None:
    for number, (mode, size) in enumerate([("RGB", (48, 40)), ("L", (64, 100)), ("RGB", (20, 20))]):
        picture(tmp_path / "p" / "cat" / f"{number}.jpg", mode=mode, size=size, seed=number)
    picture(tmp_path / "p" / "dog" / "a.png", mode="RGBA", size=(90, 33))
    found = find_images(tmp_path / "p", preset="pictures")
    as_fields = found.table.drop(columns="Metadata_Picture")
    assert len(open_cache(as_fields, found.channels, 32).failures) == 3
    cache = open_cache(found.table, found.channels, 32)
    assert cache.failures == ()
    assert cache.pixels.shape == (4, 3, 32, 32)
    assert (flag_fields(as_fields, cache.quality)["Metadata_Flags"] != "").any()
    assert not flag_fields(found.table, cache.quality)["Metadata_Excluded"].any()
    grey = int(np.flatnonzero(found.table["FileName_R"] == "1.jpg")[0])
    np.testing.assert_array_equal(cache.pixels[grey, 0], cache.pixels[grey, 2])
    field = field_files(found.table, found.channels)[grey]
    assert read_field(field).shape == (3, 64, 64)


@pytest.mark.parametrize(("mode", "clear"), [("L", 3), ("RGB", (1, 2, 3))])
def test_a_value_that_stands_for_transparent_is_dropped(tmp_path: Path, mode: str, clear: object) -> None:
    plain = picture(tmp_path / "plain.png", mode=mode)
    with Image.open(plain) as image:
        image.save(tmp_path / "clear.png", transparency=clear)
    np.testing.assert_array_equal(read_image(tmp_path / "clear.png"), read_image(plain))
