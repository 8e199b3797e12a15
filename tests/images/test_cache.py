import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from leigh_mlops.errors import LeighError
from leigh_mlops.images import (
    QUALITY_NUMBERS,
    field_files,
    measure_field,
    open_cache,
    pixel_digest,
    raw_at_size,
    read_field,
    read_image,
)
from leigh_mlops.images import cache as cache_module
from leigh_mlops.images import read as read_module
from leigh_mlops.images.source import open_source
from tests.conftest import table_of

RGB = ("R", "G", "B")


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    (tmp_path / "plate").mkdir()
    made = [tmp_path / "plate" / f"{number}.png" for number in range(5)]
    for path in made:
        Image.fromarray(rng.integers(0, 255, (64, 64, 3), np.uint8)).save(path)
    return made


def test_area_averages_keep_the_mean_of_8_bit_images(paths: list[Path], tmp_path: Path) -> None:
    cache = open_cache(table_of(paths), RGB, 32, tmp_path / "c")
    raw = cache.raw([0])[0]
    image = read_image(paths[0]).astype(float)
    blocks = image.reshape(3, 32, 2, 32, 2).mean(axis=(2, 4))
    np.testing.assert_allclose(raw, blocks, atol=1 / 512)
    (files,) = field_files(table_of(paths[:1]), RGB)
    assert files is not None
    np.testing.assert_array_equal(raw, raw_at_size(read_field(files), 32, files))


@pytest.mark.parametrize("side", [32, 96, 100, 75])
def test_16_bit_fields_are_averaged_over_areas_or_enlarged(side: int, tmp_path: Path) -> None:
    stored = np.random.default_rng(0).integers(0, 65535, (side, side), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", stored)
    cache = open_cache(table_of([tmp_path / "a.tif"], ("DAPI",)), ["DAPI"], 32, tmp_path / "c")
    edges = np.linspace(0, side, 33)
    pixels = np.arange(side)
    shares = np.clip(np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels), 0, 1)
    shares /= shares.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(cache.raw([0])[0, 0], shares @ stored @ shares.T, atol=0.51)


def test_native_size_is_exact(paths: list[Path], tmp_path: Path) -> None:
    cache = open_cache(table_of(paths), RGB, 64, tmp_path / "c")
    np.testing.assert_array_equal(cache.raw([3])[0], read_image(paths[3]))


def test_16_bit_values_are_kept(tmp_path: Path) -> None:
    stored = np.random.default_rng(0).integers(0, 65535, (32, 32), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", stored)
    cache = open_cache(table_of([tmp_path / "a.tif"], ("DAPI",)), ["DAPI"], 32, tmp_path / "c")
    assert cache.full_scale == 65535
    np.testing.assert_array_equal(cache.raw([0])[0, 0], stored)


def test_fields_of_one_thread_do_not_overwrite_each_other(tmp_path: Path) -> None:
    fields = np.random.default_rng(0).integers(0, 65535, (24, 2, 64, 64), np.uint16)
    paths = [tmp_path / f"{number}.tif" for number in range(24)]
    for number, (path, field) in enumerate(zip(paths, fields, strict=True)):
        tifffile.imwrite(path, field, photometric="minisblack", byteorder="<>"[number % 2])
    table = table_of(paths, ("DAPI", "TMRM")).assign(Frame_DAPI="0", Frame_TMRM="1")
    cache = open_cache(table, ["DAPI", "TMRM"], 64, tmp_path / "c")
    assert not cache.failures
    np.testing.assert_array_equal(cache.raw(range(24)), fields)
    assert cache.digests.tolist() == [pixel_digest(field) for field in fields]


def test_raw_intensities_are_adjusted_where_that_is_set(paths: list[Path], tmp_path: Path) -> None:
    cache = open_cache(table_of(paths), RGB, 32, tmp_path / "c")
    assert cache.adjust is None
    offset_and_gain = np.random.default_rng(0).uniform(1, 2, (5, 3, 2)).astype(np.float32)
    adjusted = replace(cache, adjust=offset_and_gain).raw([4, 1])
    offset, gain = np.moveaxis(offset_and_gain[[4, 1]], -1, 0)[..., None, None]
    np.testing.assert_allclose(adjusted, offset + gain * cache.raw([4, 1]), rtol=1e-6)


def test_every_field_is_measured_as_acquired(paths: list[Path], tmp_path: Path) -> None:
    paths[2].write_bytes(b"text")
    quality = open_cache(table_of(paths), RGB, 32, tmp_path / "c").quality
    assert list(quality) == [f"{name}_{channel}" for channel in RGB for name in QUALITY_NUMBERS]
    assert quality.index.tolist() == list(range(5))
    assert quality.loc[2].isna().all()
    measured = measure_field(read_image(paths[1]), RGB)
    np.testing.assert_array_equal(quality.loc[1].to_numpy(), np.array(list(measured.values()), float))


def no_building(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "build_cache", lambda *_: pytest.fail("built twice"))


def test_it_is_built_once_and_mapped(paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = open_cache(table_of(paths), RGB, 32, tmp_path / "c")
    no_building(monkeypatch)
    again = open_cache(table_of(paths), RGB, 32, tmp_path / "c")
    assert again.folder == first.folder
    assert isinstance(again.pixels, np.memmap)
    assert not again.pixels.flags.writeable


def test_a_changed_file_makes_another_cache(paths: list[Path], tmp_path: Path) -> None:
    first = open_cache(table_of(paths), RGB, 32, tmp_path / "c")
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(paths[0])
    second = open_cache(table_of(paths), RGB, 32, tmp_path / "c")
    assert second.folder != first.folder
    assert second.digests[0] != first.digests[0]
    assert (second.digests[1:] == first.digests[1:]).all()


def test_a_change_is_noticed_where_size_and_time_are_the_same(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((32, 32), np.uint16))
    before = path.stat()
    table = table_of([path], ("DAPI",))
    assert open_cache(table, ["DAPI"], 32, tmp_path / "c").raw([0]).max() == 0
    data = bytearray(path.read_bytes())
    data[-1] = 7
    with path.open("r+b") as file:
        file.write(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns, after.st_ino) == (before.st_size, before.st_mtime_ns, before.st_ino)
    assert open_cache(table, ["DAPI"], 32, tmp_path / "c").raw([0]).max() == 7 * 256


def test_a_plate_that_was_copied_finds_the_same_cache(paths: list[Path], tmp_path: Path) -> None:
    first = open_cache(table_of(paths), RGB, 32, tmp_path / "c")
    shutil.copytree(tmp_path / "plate", tmp_path / "copy")
    copied = [tmp_path / "copy" / path.name for path in paths]
    assert open_cache(table_of(copied), RGB, 32, tmp_path / "c").folder == first.folder
    assert open_cache(table_of(copied[::-1]), RGB, 32, tmp_path / "c").folder != first.folder
    assert len(list((tmp_path / "c").glob("*/cache.json"))) == 2


@pytest.mark.parametrize("change", ["size", "channels", "illumination"])
def test_other_settings_make_another_cache(change: str, paths: list[Path], tmp_path: Path) -> None:
    table = table_of(paths)
    first = open_cache(table, RGB, 32, tmp_path / "c")
    np.save(tmp_path / "light.npy", np.full((64, 64), 2.0))
    if change == "illumination":
        table = table.assign(Illumination_G=str(tmp_path / "light.npy"))
    channels = ("R", "B") if change == "channels" else RGB
    second = open_cache(table, channels, 64 if change == "size" else 32, tmp_path / "c")
    assert second.folder != first.folder
    if change == "illumination":
        np.testing.assert_allclose(second.raw([0])[0, 1], first.raw([0])[0, 1] / 2, atol=1 / 128)
        np.testing.assert_array_equal(second.digests, first.digests)
        np.save(tmp_path / "light.npy", np.full((64, 64), 4.0))
        assert open_cache(table, channels, 32, tmp_path / "c").folder != second.folder


def test_a_field_is_known_by_its_pixels_at_any_size_and_under_any_name(paths: list[Path], tmp_path: Path) -> None:
    small = open_cache(table_of(paths), RGB, 32, tmp_path / "c")
    renamed = paths[0].rename(tmp_path / "other.png")
    large = open_cache(table_of([renamed]), RGB, 64, tmp_path / "c")
    assert large.digests[0] == small.digests[0] == pixel_digest(read_image(renamed))
    assert len(set(small.digests.tolist())) == len(paths)


def test_a_digest_knows_shape_and_depth() -> None:
    image = np.zeros((2, 4, 4), np.uint8)
    others = [image.astype(np.uint16), image.reshape(1, 8, 4), image.reshape(2, 2, 8), np.zeros((2, 4, 8), np.uint8)]
    assert pixel_digest(image) == pixel_digest(list(image))
    assert len({int(pixel_digest(one)) for one in [image, *others]}) == 5


@pytest.mark.parametrize("separator", [".", "/"])
@pytest.mark.parametrize("change", ["rewritten", "removed", "back"])
def test_changed_blocks_of_an_array_are_noticed(
    change: str, separator: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = {"name": "default", "separator": separator}
    path = tmp_path / "0"
    array = zarr.create_array(
        str(path), shape=(32, 32), chunks=(16, 16), dtype="uint16", chunk_key_encoding=key, compressors=None
    )
    array[:] = 5
    block = path / separator.join(["c", "1", "1"])
    stored = block.read_bytes()
    if change == "back":
        block.unlink()
    table = table_of([path], ("D",))
    assert open_cache(table, ["D"], 32, tmp_path / "c").raw([0]).max() == 5
    if change == "removed":
        block.unlink()
    else:
        block.write_bytes(stored.replace(b"\5", b"\7"))
    last = {"rewritten": 7, "removed": 0, "back": 7}[change]
    assert open_cache(table, ["D"], 32, tmp_path / "c").raw([0])[0, 0, -1, -1] == last
    no_building(monkeypatch)
    open_cache(table, ["D"], 32, tmp_path / "c")


def test_states_of_a_folder_that_never_ends_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "0"
    zarr.create_array(str(path), shape=(32, 32), chunks=(16, 16), dtype="uint16")[:] = 5
    table = table_of([path], ("D",))
    (path / "loop").symlink_to(path)
    (path / "gone").symlink_to(tmp_path / "nowhere")
    first = open_cache(table, ["D"], 32, tmp_path / "c")
    monkeypatch.setattr(cache_module, "MAX_BLOCK_FILES", 3)
    looked = []
    monkeypatch.setattr(cache_module, "_file_state", lambda stat: looked.append(stat) or "")
    assert open_cache(table, ["D"], 32, tmp_path / "c").folder == first.folder
    assert len(looked) == 1 + 3


@pytest.mark.parametrize("trouble", [OSError(errno.EIO, "Input/output error"), MemoryError()])
def test_trouble_that_may_pass_is_not_remembered(
    trouble: Exception, paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(path: Path) -> object:
        if path == paths[1]:
            raise trouble
        return open_source(path)

    with monkeypatch.context() as patched:
        patched.setattr(read_module, "open_source", failing)
        first = open_cache(table_of(paths), RGB, 32, tmp_path / "c")
        assert [failure.row for failure in first.failures] == [1]
        assert "can't be read" in first.failures[0].reason
    assert not open_cache(table_of(paths), RGB, 32, tmp_path / "c").failures
    no_building(monkeypatch)
    assert not open_cache(table_of(paths), RGB, 32, tmp_path / "c").failures


def test_damage_is_remembered(paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths[1].write_bytes(b"text")
    paths[2].unlink()
    table = table_of(paths)
    first = open_cache(table, RGB, 32, tmp_path / "c")
    no_building(monkeypatch)
    assert open_cache(table, RGB, 32, tmp_path / "c").failures == first.failures
    assert [failure.row for failure in first.failures] == [1, 2]


@pytest.mark.parametrize("where", ["pwritev", "fsync", "note"])
def test_a_full_disk_is_one_sentence(
    where: str, paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        if where == "note":
            patched.setattr(Path, "replace", full)
        else:
            patched.setattr(os, where, full)
        with pytest.raises(LeighError, match=r"No space left on device\); free space .*\$LEIGH_CACHE") as caught:
            open_cache(table_of(paths), RGB, 32, tmp_path / "c")
    assert str(tmp_path / "c") in str(caught.value)
    assert not list((tmp_path / "c").glob(".building-*"))
    assert open_cache(table_of(paths), RGB, 32, tmp_path / "c").pixels.shape == (5, 3, 32, 32)


def test_a_cache_that_can_not_lie_where_it_should_is_refused(paths: list[Path], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LeighError, match="LEIGH_CACHE"):
        open_cache(table_of(paths), RGB, 32, tmp_path / "file" / "c")


def test_two_builders_at_once_give_one_cache(paths: list[Path], tmp_path: Path) -> None:
    shutil.copytree(tmp_path / "plate", tmp_path / "copy")
    tables = [table_of([folder / path.name for path in paths]) for folder in (tmp_path / "plate", tmp_path / "copy")]
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(open_cache, table, RGB, 32, tmp_path / "c") for table in tables * 2]
    assert len({job.result().folder for job in jobs}) == 1
    assert not list((tmp_path / "c").glob(".building-*"))


def test_a_build_that_is_stopped_leaves_nothing(paths: list[Path], tmp_path: Path) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_cache(table_of(paths), RGB, 32, tmp_path / "c", progress=stop)
    assert {path.suffix for path in (tmp_path / "c").iterdir()} == {".lock"}
    assert open_cache(table_of(paths), RGB, 32, tmp_path / "c").pixels.shape == (5, 3, 32, 32)


BUILDER = """
import sys, time
from pathlib import Path
from leigh_mlops.images.build_folder import build_folder
with build_folder(Path(sys.argv[1])) as folder:
    (folder / "pixels.npy").write_bytes(b"half")
    print(folder, flush=True)
    time.sleep(60)
"""


def test_what_a_killed_builder_left_is_removed_and_a_living_one_keeps_its_own(
    paths: list[Path], tmp_path: Path
) -> None:
    root = tmp_path / "c"
    root.mkdir()
    command = [sys.executable, "-c", BUILDER, str(root)]
    builders = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        killed, living = (Path(str(builder.stdout and builder.stdout.readline().strip())) for builder in builders)
        builders[0].send_signal(signal.SIGKILL)
        builders[0].wait()
        assert (killed / "pixels.npy").exists()
        open_cache(table_of(paths), RGB, 32, root)
        assert not killed.exists()
        assert not killed.with_name(f"{killed.name}.lock").exists()
        assert (living / "pixels.npy").read_bytes() == b"half"
    finally:
        for builder in builders:
            builder.kill()
            builder.communicate()


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (np.zeros((32, 32, 3), np.uint8), "32 x 32 pixels"),
        (np.zeros((64, 32, 3), np.uint8), "32 x 64 pixels"),
        (np.zeros((64, 64), np.uint8), "1 channels"),
        (b"text", "not a readable image"),
    ],
)
@pytest.mark.parametrize("row", [0, 2])
def test_a_field_that_does_not_fit_is_a_failure_with_its_reason(
    paths: list[Path], tmp_path: Path, image: np.ndarray | bytes, said: str, row: int
) -> None:
    assert not open_cache(table_of(paths), RGB, 32, tmp_path / "c").failures
    if isinstance(image, bytes):
        paths[row].write_bytes(image)
    else:
        Image.fromarray(image).save(paths[row])
    cache = open_cache(table_of(paths), RGB, 32, tmp_path / "c")
    (failure,) = cache.failures
    assert failure.row == row
    assert failure.path == str(paths[row])
    assert said in failure.reason
    assert not cache.pixels[row].any()
    assert not cache.digests[row]
    assert cache.pixels[1].any()


def test_the_commonest_depth_decides(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.tif" for number in range(3)]
    for path, dtype in zip(paths, (np.uint8, np.uint16, np.uint16), strict=True):
        tifffile.imwrite(path, np.full((32, 32), 9, dtype))
    cache = open_cache(table_of(paths, ("DAPI",)), ["DAPI"], 32, tmp_path / "c")
    assert cache.full_scale == 65535
    assert [failure.row for failure in cache.failures] == [0]
    assert "8 bits where 2 of 3 fields have 32 x 32 pixels, 16 bits" in cache.failures[0].reason
    assert cache.raw([0, 1, 2]).max(axis=(1, 2, 3)).tolist() == [0, 9, 9]


def test_a_field_that_lacks_a_channel_is_a_failure(paths: list[Path], tmp_path: Path) -> None:
    table = table_of(paths)
    table.loc[1, "FileName_G"] = None
    (failure,) = open_cache(table, RGB, 32, tmp_path / "c").failures[:1]
    assert "expected" in failure.reason or "lacks a channel" in failure.reason
    assert failure.row == 1


@pytest.mark.parametrize("size", [0, 20, 33, 100])
def test_sizes_are_multiples_of_32(paths: list[Path], tmp_path: Path, size: int) -> None:
    with pytest.raises(LeighError, match=f"{size} is not a multiple of 32"):
        open_cache(table_of(paths), RGB, size, tmp_path / "c")


def test_where_nothing_can_be_read_every_field_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("x")
    cache = open_cache(table_of([tmp_path / "a.png"]), RGB, 32, tmp_path / "c")
    (failure,) = cache.failures
    assert "a.png is not a readable image" in failure.reason
    assert cache.quality.isna().all(axis=None)
    with pytest.raises(LeighError, match="has no rows"):
        open_cache(table_of([]), RGB, 32, tmp_path / "c")


def test_nothing_in_a_cache_needs_unpickling(paths: list[Path], tmp_path: Path) -> None:
    folder = open_cache(table_of(paths), RGB, 32, tmp_path / "c").folder
    names = {path.name for path in folder.iterdir()}
    assert names == {"cache.json", "pixels.npy", "digests.npy", "quality.npy"}
    for name in names - {"cache.json"}:
        assert not np.load(folder / name, allow_pickle=False).dtype.hasobject
    assert json.loads((folder / "cache.json").read_text())["full_scale"] == 255
