"""Files that are damaged or lie about themselves: one sentence each, no crash, no memory beyond their share."""

import errno
import gzip
import json
import os
import pickle
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import imagecodecs
import numcodecs
import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image
from zarr.codecs import GzipCodec

from leigh_mlops.errors import LeighError
from leigh_mlops.images import read_image
from leigh_mlops.images.source import TransientReadError

RNG = np.random.default_rng(0)
_BOMB_BYTES = 2**28
PIXELS = RNG.integers(0, 4096, (24, 20), np.uint16)


def refused(path: Path, frame: int | None = None) -> str:
    with pytest.raises(LeighError) as caught:
        read_image(path, frame)
    said = str(caught.value)
    assert "\n" not in said
    assert said.startswith(str(path).split("\n")[0])
    assert said.endswith(".")
    assert "; " in said
    return said


def write_good(folder: Path) -> dict[str, Path]:
    """One small file of each format and layout."""
    folder.mkdir(exist_ok=True)
    kinds: dict[str, dict[str, object]] = {
        "plain": {},
        "big_endian": {"byteorder": ">"},
        "bigtiff": {"bigtiff": True},
        "strips": {"rowsperstrip": 5},
        "lzw": {"compression": "lzw", "predictor": True, "rowsperstrip": 7},
        "deflate": {"compression": "zlib"},
        "zstd": {"compression": "zstd"},
        "jpeg2000": {"compression": "jpeg2000"},
        "tiles": {"tile": (16, 16), "compression": "zlib"},
    }
    for name, options in kinds.items():
        tifffile.imwrite(folder / f"{name}.tif", PIXELS, **options)
    Image.fromarray(PIXELS).save(folder / "grey.png")
    Image.fromarray(RNG.integers(0, 255, (24, 20, 3), np.uint8)).save(folder / "rgb.png")
    Image.fromarray(RNG.integers(0, 255, (24, 20, 3), np.uint8)).save(folder / "rgb.bmp")
    Image.fromarray(RNG.integers(0, 255, (24, 20), np.uint8)).save(folder / "grey.bmp")
    return {path.name: path for path in sorted(folder.iterdir())}


TIFFS = ["plain", "big_endian", "bigtiff", "strips", "lzw", "deflate", "zstd", "jpeg2000", "tiles"]
NAMES = [*(f"{name}.tif" for name in TIFFS), "grey.png", "rgb.png", "rgb.bmp", "grey.bmp"]


@pytest.mark.parametrize("name", NAMES)
def test_a_file_cut_anywhere_is_refused_or_whole(name: str, tmp_path: Path) -> None:
    good = write_good(tmp_path / "good")[name]
    whole, data = read_image(good), good.read_bytes()
    path = tmp_path / name
    cuts = {*range(0, min(400, len(data))), *range(0, len(data), 13), *range(len(data) - 30, len(data))}
    refusals = 0
    for cut in sorted(cuts):
        path.write_bytes(data[:cut])
        try:
            image = read_image(path)
        except LeighError:
            refusals += 1
        else:  # what was cut off were no pixels
            np.testing.assert_array_equal(image, whole)
    assert refusals > 0.75 * len(cuts)


@pytest.mark.parametrize("name", NAMES)
def test_flipped_bytes_bring_up_nothing_but_a_refusal(name: str, tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    data = write_good(tmp_path / "good")[name].read_bytes()
    path = tmp_path / name
    rng = np.random.default_rng(1)
    refusals = 0
    for _ in range(150):
        damaged = bytearray(data)
        for place in rng.integers(0, min(len(data), 600), 3):
            damaged[place] = rng.integers(0, 256)
        path.write_bytes(damaged)
        try:
            image = read_image(path)
        except LeighError:
            refusals += 1
        else:
            assert image.dtype in (np.uint8, np.uint16)
            assert image.ndim == 3
    assert refusals
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("suffix", [".tif", ".png", ".bmp"])
@pytest.mark.parametrize("content", [b"", b"\0" * 1000, b"II*\0", b"MM\0*", b"BM", RNG.bytes(5000), b"text"])
def test_what_is_no_image_is_refused(suffix: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"x{suffix}"
    path.write_bytes(content)
    refused(path)


def tiff(tags: dict[int, tuple[int, int, int]], *, following: int = 0, more: bytes = b"") -> bytes:
    """A little-endian TIFF with one directory at 8; tags are code: (type, count, value)."""
    entries = b"".join(struct.pack("<HHII", code, *values) for code, values in sorted(tags.items()))
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", following) + more


def tags(width: int = 4, height: int = 4, **changes: tuple[int, int, int]) -> dict[int, tuple[int, int, int]]:
    """A plain 16-bit page whose pixels begin at 200."""
    said = {
        256: (4, 1, width),
        257: (4, 1, height),
        258: (3, 1, 16),
        259: (3, 1, 1),
        262: (3, 1, 1),
        273: (4, 1, 200),
        277: (3, 1, 1),
        278: (4, 1, height),
        279: (4, 1, min(2 * width * height, 2**32 - 1)),
    }
    return said | {int(code[1:]): value for code, value in changes.items()}


LIES: dict[str, tuple[dict[int, tuple[int, int, int]], str]] = {
    "2^31 pixels": (tags(2**16, 2**15), "claims"),
    "2^62 pixels": (tags(2**31, 2**31), "claims"),
    "no pixels": (tags(0, 4), "claims 1 x 4 x 0"),
    "many samples": (tags(t277=(3, 1, 65535), t256=(4, 1, 5000)), "claims"),
    "a volume": (tags(t32997=(4, 1, 9)), "volume of 9"),
    "pixels outside": (tags(t273=(4, 1, 10**9)), "cut off"),
    "many strips": (tags(t273=(4, 2**28, 8)), "tags claim"),
    "strips not all named": (tags(t278=(4, 1, 1)), "1 of its 4 strips"),
    "a strip never written": (tags(t273=(4, 1, 0)), "cut off"),
    "a huge description": (tags(t270=(2, 2**31, 8)), "tags claim"),
    "JPEG": (tags(t259=(3, 1, 7)), "compression"),
    "unknown compression": (tags(t259=(3, 1, 4711)), "compression"),
    "a palette": (tags(t262=(3, 1, 3)), "PALETTE"),
    "white as 0": (tags(t262=(3, 1, 0)), "inverted (MINISWHITE"),
    "1 bit": (tags(t258=(3, 1, 1)), "1 bits"),
    "complex": (tags(t258=(3, 1, 64), t339=(3, 1, 6)), "format"),
    "huge tiles": (tags(t322=(4, 1, 2**16), t323=(4, 1, 2**16), t324=(4, 1, 200), t325=(4, 1, 32)), "claims"),
    "a MetaMorph stack": (tags(t33629=(5, 9, 100)), "stack"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_directory_that_lies_is_not_believed(lie: str, tmp_path: Path) -> None:
    path = tmp_path / "x.tif"
    pixels = b"\1\0" * 16
    path.write_bytes(tiff(tags()).ljust(200, b"\0") + pixels)
    assert read_image(path).tolist() == [[[1] * 4] * 4]
    path.write_bytes(tiff(LIES[lie][0]).ljust(200, b"\0") + pixels)
    assert LIES[lie][1] in refused(path)


def test_a_page_that_says_nothing_of_its_colours_is_grey(tmp_path: Path) -> None:
    said = tags()
    del said[262]
    (tmp_path / "x.tif").write_bytes(tiff(said).ljust(200, b"\0") + b"\1\0" * 16)
    assert read_image(tmp_path / "x.tif").tolist() == [[[1] * 4] * 4]


def test_pages_that_run_in_a_circle_end(tmp_path: Path) -> None:
    path = tmp_path / "x.tif"
    path.write_bytes(tiff(tags(), following=8).ljust(300, b"\0"))
    assert read_image(path, 0).shape == (1, 4, 4)
    assert "loop" in refused(path, 7)


def png(width: int, height: int, bits: int, colours: int, inflated: bytes) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, bits, colours, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(inflated, 9))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (png(2**30, 2**30, 16, 0, b""), "claims"),
        (png(2**31 + 1, 1, 8, 0, b""), "claims"),
        (png(0, 5, 8, 0, b""), "claims"),
        (png(4, 4, 8, 3, b""), "colour type 3"),
        (png(4, 4, 1, 0, b"\0\0" * 4), "1 bits"),
        (png(9000, 9000, 16, 0, b"\0" * 100), "not a readable"),
        (png(4, 4, 8, 0, b"\0" * 20) + b"\0" * 2**21, "far more"),
    ],
)
def test_a_png_that_lies_is_not_believed(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(png(4, 4, 8, 0, b"\0" * 20))
    assert read_image(path).shape == (1, 4, 4)
    path.write_bytes(content)
    assert said in refused(path)


@pytest.mark.parametrize("size", [(2**31 - 1, 2**31 - 1), (-5, 4), (0, 4), (4, -(2**31)), (4000, 4000)])
def test_a_bmp_that_lies_is_not_believed(size: tuple[int, int], tmp_path: Path) -> None:
    path = tmp_path / "x.bmp"
    Image.fromarray(np.ones((4, 4, 3), np.uint8)).save(path)
    data = path.read_bytes()
    assert read_image(path).shape == (3, 4, 4)
    path.write_bytes(data[:18] + struct.pack("<ii", *size) + data[26:])
    refused(path)


def test_a_bmp_with_a_palette_of_colours_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.bmp"
    Image.fromarray(np.arange(16, dtype=np.uint8).reshape(4, 4)).save(path)
    assert read_image(path).max() == 15
    picture = Image.fromarray(np.arange(16, dtype=np.uint8).reshape(4, 4)).convert("P")
    picture.putpalette([200, 10, 10] * 256)
    picture.save(path)
    assert "palette" in refused(path)


ARRAYS: dict[str, tuple[np.ndarray, str]] = {
    "not a number": (np.full((4, 4), np.nan, np.float32), "not finite"),
    "infinite": (np.full((4, 4), np.inf), "not finite"),
    "fractions": (np.full((4, 4), 0.5, np.float32), "not whole"),
    "below 0": (np.full((4, 4), -1, np.int16), "-1"),
    "above 16 bits": (np.full((4, 4), 70000, np.uint32), "70000"),
    "complex": (np.ones((4, 4), np.complex64), "format"),
    "1 bit": (np.ones((4, 4), bool), "1 bits"),
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_values_that_are_no_intensities_are_refused(kind: str, tmp_path: Path) -> None:
    array, said = ARRAYS[kind]
    tifffile.imwrite(tmp_path / "x.tif", array, photometric="minisblack")
    assert said in refused(tmp_path / "x.tif")


def test_a_tile_of_jpeg_2000_is_held_to_the_page(tmp_path: Path) -> None:
    path = tmp_path / "x.tif"
    small, large = (imagecodecs.jpeg2k_encode(np.ones((side, side), np.uint16)) for side in (4, 600))
    page = tags(t259=(3, 1, 34712), t279=(4, 1, len(small)))
    path.write_bytes(tiff(page).ljust(200, b"\0") + small)
    assert read_image(path).shape == (1, 4, 4)
    page = tags(t259=(3, 1, 34712), t279=(4, 1, len(large)))
    path.write_bytes(tiff(page).ljust(200, b"\0") + large)
    assert "600 x 600" in refused(path)


def test_a_folder_a_pipe_a_loop_and_a_locked_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.tif").mkdir()
    os.mkfifo(tmp_path / "pipe.tif")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "loop.tif").symlink_to(tmp_path / "loop.tif")
    (tmp_path / "gone.tif").symlink_to(tmp_path / "nowhere.tif")
    for name in ("folder.tif", "pipe.tif", "pipe.png", "loop.tif", "gone.tif", "missing.tif"):
        refused(tmp_path / name)
    assert "not a regular file" in refused(tmp_path / "pipe.tif")


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is locked for the superuser")
def test_a_file_without_permission_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, PIXELS)
    path.chmod(0)
    assert "Permission" in refused(path)


@pytest.mark.parametrize("name", ["with space.tif", "Zellen Größe µ.tif", "a'b\"c.tif", "100 %.tif", "\U0001f9e0.tif"])
def test_unusual_names_are_read(name: str, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / name, PIXELS)
    np.testing.assert_array_equal(read_image(tmp_path / name)[0], PIXELS)


@pytest.mark.parametrize("name", ["line\nbreak.tif", "bell\a.tif", os.fsdecode(b"latin\xfc.tif")])
def test_a_refusal_stays_on_one_line_whatever_the_name(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(LeighError) as caught:
        read_image(tmp_path / name)
    assert str(caught.value).isprintable()


def in_small_memory(paths: list[Path], limit_mib: int = 160) -> list[str]:
    """Read in a process that may take so much more memory than it has after its imports; a line for each file."""
    program = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from leigh_mlops.errors import LeighError\n"
        "from leigh_mlops.images import read_image\n"
        "import imagecodecs, tifffile, zarr\n"
        "taken = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()\n"
        f"resource.setrlimit(resource.RLIMIT_AS, (taken + {limit_mib} * 2**20,) * 2)\n"
        "for path in sys.argv[1:]:\n"
        "    try:\n"
        "        print(read_image(Path(path), 0 if path.endswith('deep') else None).shape)\n"
        "    except LeighError as error:\n"
        "        print(error)\n"
    )
    command = [sys.executable, "-c", program, *map(str, paths)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


@cache
def gzipped_zeros(count: int) -> bytes:
    return gzip.compress(b"\0" * count)


def deflate_bomb(path: Path) -> None:
    data = zlib.compress(b"\0" * _BOMB_BYTES, 9)
    page = tags(1024, 1024, t259=(3, 1, 8), t279=(4, 1, len(data)))
    path.write_bytes(tiff(page).ljust(200, b"\0") + data)


def png_bomb(path: Path) -> None:
    path.write_bytes(png(1024, 1024, 8, 0, b"\0" * _BOMB_BYTES))


def zarr_bomb(path: Path) -> None:
    zarr.create_array(str(path), shape=(1024, 1024), chunks=(1024, 1024), dtype="uint16", compressors=GzipCodec())
    (path / "c" / "0").mkdir(parents=True)
    (path / "c" / "0" / "0").write_bytes(gzipped_zeros(_BOMB_BYTES))


def second_member(path: Path) -> None:
    zarr_bomb(path)
    (path / "c" / "0" / "0").write_bytes(gzipped_zeros(2**21) + gzipped_zeros(_BOMB_BYTES))


def second_frame(path: Path) -> None:
    codec = zarr.codecs.ZstdCodec()
    zarr.create_array(str(path), shape=(1024, 1024), chunks=(1024, 1024), dtype="uint16", compressors=codec)[:] = 3
    block = path / "c" / "0" / "0"
    block.write_bytes(block.read_bytes() + imagecodecs.zstd_encode(b"\0" * _BOMB_BYTES))


def deep_blocks(path: Path) -> None:
    """Nine blocks, each within bounds, of which one plane needs all."""
    path.mkdir()
    about = {"zarr_format": 2, "shape": [100, 3000, 3000], "chunks": [100, 1000, 1000], "dtype": "|u1"}
    about |= {"compressor": {"id": "zlib", "level": 1}, "fill_value": 0, "order": "C", "filters": None}
    (path / ".zarray").write_text(json.dumps(about))
    block = zlib.compress(b"\0" * 10**8, 1)
    for number in range(9):
        (path / f"0.{number // 3}.{number % 3}").write_bytes(block)


def wide_tiff(path: Path) -> None:
    path.write_bytes(tiff(tags(2**16, 2**15)).ljust(200, b"\0"))


BOMBS: dict[str, tuple[Callable[[Path], None], str]] = {
    "deflate.tif": (deflate_bomb, "not a readable image"),
    "bomb.png": (png_bomb, "(1, 1024, 1024)"),  # what is too much is never inflated
    "array": (zarr_bomb, "one of its blocks claims"),
    "members": (second_member, "goes on behind its end"),
    "frames": (second_frame, "goes on behind its end"),
    "deep": (deep_blocks, "one plane needs 9 blocks"),
    "wide.tif": (wide_tiff, "it claims"),
}


def test_bombs_take_no_memory(tmp_path: Path) -> None:
    for name, (write, _) in BOMBS.items():
        write(tmp_path / name)
    lines = in_small_memory([tmp_path / name for name in BOMBS])
    for line, (_, said) in zip(lines, BOMBS.values(), strict=True):
        assert said in line


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.mark,)


def trapped_array(folder: Path, mark: Path) -> Path:
    """An object array of Zarr version 2 whose only block is a pickle."""
    folder.mkdir()
    about = {
        "zarr_format": 2,
        "shape": [1, 1],
        "chunks": [1, 1],
        "dtype": "|O",
        "compressor": None,
        "fill_value": None,
        "order": "C",
        "filters": [{"id": "pickle", "protocol": 5}],
    }
    (folder / ".zarray").write_text(json.dumps(about))
    (folder / "0.0").write_bytes(pickle.dumps(Trap(mark)))
    return folder


def test_a_trapped_pickle_in_an_array_is_never_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Newer versions of the library have a guard of their own; open, it shows that ours comes first.
    monkeypatch.setattr("numcodecs.pickles.ALLOW_UNSAFE_PICKLE_DECODE", True, raising=False)
    folder, mark = trapped_array(tmp_path / "a", tmp_path / "mark"), tmp_path / "mark"
    assert "object arrays are never read" in refused(folder)
    assert not mark.exists()
    about = json.loads((folder / ".zarray").read_text()) | {"dtype": "<u2"}
    (folder / ".zarray").write_text(json.dumps(about))
    assert "pickle" in refused(folder)
    assert not mark.exists()
    numcodecs.get_codec(about["filters"][0]).decode((folder / "0.0").read_bytes())
    assert mark.exists()


@pytest.mark.parametrize("codec", ["pickle", "json2", "msgpack2", "vlen-utf8", "categorize", "delta", "unheard-of"])
def test_codecs_that_are_not_known_are_refused(codec: str, tmp_path: Path) -> None:
    path = tmp_path / "a"
    zarr.create_array(str(path), shape=(4, 4), chunks=(4, 4), dtype="uint16", zarr_format=2)[:] = 1
    assert read_image(path).shape == (1, 4, 4)
    about = json.loads((path / ".zarray").read_text())
    (path / ".zarray").write_text(json.dumps(about | {"filters": [{"id": codec}]}))
    assert codec in refused(path)
    (path / ".zarray").write_text(json.dumps(about | {"compressor": {"id": codec}}))
    assert codec in refused(path)


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [2**20, 2**20]},
        {"shape": [4]},
        {"shape": []},
        {"shape": [-4, 4]},
        {"shape": "x"},
        {"chunks": [2**20, 2**20]},
        {"chunks": [0, 4]},
        {"dtype": "|V8"},
        {"dtype": "<M8[ns]"},
        {"dtype": [["a", "<u2"]]},
        {"fill_value": {"a": 1}},
        {"compressor": 5},
    ],
)
def test_an_array_that_lies_is_not_believed(change: dict[str, object], tmp_path: Path) -> None:
    path = tmp_path / "a"
    zarr.create_array(str(path), shape=(4, 4), chunks=(4, 4), dtype="uint16", zarr_format=2)[:] = 1
    about = json.loads((path / ".zarray").read_text())
    (path / ".zarray").write_text(json.dumps(about | change))
    refused(path)


@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress, imagecodecs.zstd_encode])
def test_a_block_that_goes_on_behind_its_end_is_refused(compress: Callable[[bytes], bytes], tmp_path: Path) -> None:
    path = tmp_path / "a"
    zarr.create_array(str(path), shape=(4, 4), chunks=(4, 4), dtype="uint16", zarr_format=2, compressors=None)[:] = 1
    about = json.loads((path / ".zarray").read_text())
    name = {gzip.compress: "gzip", zlib.compress: "zlib"}.get(compress, "zstd")
    (path / ".zarray").write_text(json.dumps(about | {"compressor": {"id": name, "level": 1}}))
    block = compress((path / "0.0").read_bytes())
    (path / "0.0").write_bytes(block)
    assert read_image(path).sum() == 16
    (path / "0.0").write_bytes(block + compress(b"more"))
    assert "goes on behind its end" in refused(path)


@pytest.mark.parametrize("side", [1, 2])
def test_planes_of_very_many_blocks_are_refused(side: int, tmp_path: Path) -> None:
    path = tmp_path / "a"
    zarr.create_array(str(path), shape=(600, 600), chunks=(8, 8), dtype="uint16", zarr_format=2)[:8, :8] = 1
    assert read_image(path).sum() == 64
    about = json.loads((path / ".zarray").read_text()) | {"chunks": [side, 1]}
    (path / ".zarray").write_text(json.dumps(about))
    assert "blocks of one plane" in refused(path)


def test_shards_are_held_to_what_they_could_hold(tmp_path: Path) -> None:
    path = tmp_path / "a"
    array = zarr.create_array(str(path), shape=(16, 16), chunks=(8, 8), shards=(16, 16), dtype="uint16")
    array[:] = 1
    shard, about = path / "c" / "0" / "0", json.loads((path / "zarr.json").read_text())
    data = shard.read_bytes()
    assert read_image(path).sum() == 256
    shard.write_bytes(b"\0" * 2**20 + data)
    assert "far more" in refused(path)
    shard.write_bytes(data[-20:])
    assert "cut off" in refused(path)
    shard.write_bytes(data)
    about["codecs"][0]["configuration"]["index_codecs"].append({"name": "gzip", "configuration": {"level": 1}})
    (path / "zarr.json").write_text(json.dumps(about))
    assert "only plain ones" in refused(path)


@pytest.mark.parametrize(
    "trouble", [OSError(errno.EIO, "Input/output error"), MemoryError(), OSError(errno.EMFILE, "x")]
)
def test_trouble_that_may_pass_is_told_from_damage(
    trouble: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tifffile.imwrite(tmp_path / "x.tif", PIXELS)
    with pytest.raises(LeighError) as lasting:
        read_image(tmp_path / "missing.tif")
    assert not isinstance(lasting.value, TransientReadError)
    monkeypatch.setattr(os, "pread", lambda *_: (_ for _ in ()).throw(trouble))
    with pytest.raises(TransientReadError, match=r"x\.tif can't be read \("):
        read_image(tmp_path / "x.tif")


def test_a_block_that_is_a_pipe_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a"
    zarr.create_array(str(path), shape=(4, 4), chunks=(4, 4), dtype="uint16", zarr_format=2)[:] = 1
    (path / "0.0").unlink()
    os.mkfifo(path / "0.0")
    assert "pipe" in refused(path)
