import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from leigh_mlops.errors import LeighError
from leigh_mlops.images import cache as cache_module
from leigh_mlops.images import open_cache, raw_at_size, read_image
from tests.conftest import table_of

RGB = ("R", "G", "B")


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    made = [tmp_path / f"{number}.png" for number in range(5)]
    for path in made:
        Image.fromarray(rng.integers(0, 255, (64, 64, 3), np.uint8)).save(path)
    return made


def test_area_averages_keep_the_mean_of_8_bit_images(paths: list[Path], tmp_path: Path) -> None:
    cache = open_cache(table_of(paths), RGB, 32, tmp_path / "c")
    raw = cache.raw([0])[0]
    image = read_image(paths[0]).astype(float)
    blocks = image.reshape(3, 32, 2, 32, 2).mean(axis=(2, 4))
    np.testing.assert_allclose(raw, blocks, atol=1 / 512)
    np.testing.assert_array_equal(raw, raw_at_size(read_image(paths[0]), 32))


def test_native_size_is_exact(paths: list[Path], tmp_path: Path) -> None:
    cache = open_cache(table_of(paths), RGB, 64, tmp_path / "c")
    np.testing.assert_array_equal(cache.raw([3])[0], read_image(paths[3]))


def test_16_bit_values_are_kept(tmp_path: Path) -> None:
    stored = np.random.default_rng(0).integers(0, 65535, (32, 32), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", stored)
    cache = open_cache(table_of([tmp_path / "a.tif"], ("DAPI",)), ["DAPI"], 32, tmp_path / "c")
    assert cache.full_scale == 65535
    np.testing.assert_array_equal(cache.raw([0])[0, 0], stored)


def test_it_is_built_once_and_mapped(paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = open_cache(table_of(paths), RGB, 32, tmp_path / "c")
    monkeypatch.setattr(cache_module, "_build", lambda *_: pytest.fail("built twice"))
    again = open_cache(table_of(paths), RGB, 32, tmp_path / "c")
    assert again.folder == first.folder
    assert isinstance(again.pixels, np.memmap)
    assert not again.pixels.flags.writeable


def test_a_changed_file_makes_another_cache(paths: list[Path], tmp_path: Path) -> None:
    first = open_cache(table_of(paths), RGB, 32, tmp_path / "c")
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(paths[0])
    os.utime(paths[0], ns=(1, 1))
    second = open_cache(table_of(paths), RGB, 32, tmp_path / "c")
    assert second.folder != first.folder
    assert second.digests[0] != first.digests[0]
    assert (second.digests[1:] == first.digests[1:]).all()


def test_a_field_is_known_by_its_pixels_at_any_size_and_under_any_name(paths: list[Path], tmp_path: Path) -> None:
    small = open_cache(table_of(paths), RGB, 32, tmp_path / "c")
    renamed = paths[0].rename(tmp_path / "other.png")
    large = open_cache(table_of([renamed]), RGB, 64, tmp_path / "c")
    assert large.digests[0] == small.digests[0]
    assert len(set(small.digests.tolist())) == len(paths)


def test_two_builders_at_once_give_one_cache(paths: list[Path], tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(open_cache, table_of(paths), RGB, 32, tmp_path / "c") for _ in range(2)]
    assert len({job.result().folder for job in jobs}) == 1
    assert not list((tmp_path / "c").glob(".building-*"))


def test_a_build_that_dies_leaves_nothing(paths: list[Path], tmp_path: Path) -> None:
    def die() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_cache(table_of(paths), RGB, 32, tmp_path / "c", progress=die)
    assert [path.suffix for path in (tmp_path / "c").iterdir()] == [".lock"]
    assert open_cache(table_of(paths), RGB, 32, tmp_path / "c").pixels.shape == (5, 3, 32, 32)


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (np.zeros((32, 32, 3), np.uint8), "32 x 32 pixels"),
        (np.zeros((64, 64), np.uint8), "1 channels"),
        (b"text", "no readable image"),
    ],
)
def test_a_field_that_does_not_fit_is_a_failure_with_its_reason(
    paths: list[Path], tmp_path: Path, image: np.ndarray | bytes, said: str
) -> None:
    assert not open_cache(table_of(paths), RGB, 32, tmp_path / "c").failures
    if isinstance(image, bytes):
        paths[2].write_bytes(image)
    else:
        Image.fromarray(image).save(paths[2])
    (failure,) = open_cache(table_of(paths), RGB, 32, tmp_path / "c").failures
    assert failure.row == 2
    assert failure.path == str(paths[2])
    assert said in failure.reason


@pytest.mark.parametrize("size", [0, 20, 33, 100])
def test_sizes_are_multiples_of_32(paths: list[Path], tmp_path: Path, size: int) -> None:
    with pytest.raises(LeighError, match=f"{size} is no multiple of 32"):
        open_cache(table_of(paths), RGB, size, tmp_path / "c")


def test_where_nothing_can_be_read_the_first_reason_is_given(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("x")
    with pytest.raises(LeighError, match=r"a\.png is no readable image"):
        open_cache(table_of([tmp_path / "a.png"]), RGB, 32, tmp_path / "c")
