"""One plane of an OME-Zarr array; what it says of itself is judged before a library opens it."""

import json
import math
import re
import struct
import zlib
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from leigh_mlops.images.source import MAX_PIXELS, Source, check_pixels, opened

__all__ = ["is_array", "read_zarr"]

MAX_PLANE_BYTES = 4 * MAX_PIXELS
"""Unpacked blocks that one plane needs; blocks that hold many planes are unpacked whole for one of them."""

MAX_JSON_BYTES = 2**20
"""Metadata of one array: a few kilobytes in all that microscopes write."""

_TYPES_V2 = re.compile(r"[<>|][uif][1248]")
_TYPES_V3 = re.compile(r"u?int(8|16|32|64)|float(16|32|64)")
# Nothing here can build an object: no pickle, json2, msgpack or vlen codecs.
_COMPRESSORS = {"blosc", "zstd", "gzip", "zlib"}
_CHECKSUM_BYTES = 4
_LEAST_BLOCK_BYTES = 4096  # a smaller block takes as much once names and headers are counted
_OTHER_V3 = {"bytes", "transpose", "crc32c"}


class _Index(NamedTuple):
    """How a shard names its inner blocks."""

    at_end: bool
    order: Literal["<", ">"]
    checksum_bytes: int


class _Array(NamedTuple):
    """What the metadata says: lengths, lengths of a stored block and of its inner blocks, bytes of an inner block.

    ``checksum_bytes`` follow what is compressed, and ``shards`` says how blocks are divided, if they are.
    """

    version: Literal[2, 3]
    shape: tuple[int, ...]
    blocks: tuple[int, ...]
    inner: tuple[int, ...]
    inner_bytes: int
    compressors: tuple[str, ...]
    checksum_bytes: int
    prefix: str
    separator: str
    shards: _Index | None


def is_array(path: Path) -> bool:
    """Whether a folder says that it is a Zarr array."""
    return (path / ".zarray").exists() or (path / "zarr.json").exists()


def read_zarr(path: Path, frame: int | None) -> npt.NDArray[Any]:
    """Read one plane.

    Args:
        path: Folder of the array.
        frame: Plane, counted over all axes before Y, X in C order; ``None`` for the only one.

    Returns:
        Shape (1, H, W), in the array's own type.

    Raises:
        ValueError: The array is damaged, lacks the plane, or would need a codec or type that is not known to be safe.
    """
    array = _described(path)
    planes = math.prod(array.shape[:-2])
    if frame is None and planes > 1:
        raise ValueError(f"it holds {planes} planes; name one in the table")
    if not 0 <= (frame or 0) < planes:
        raise ValueError(f"it holds {planes} planes and no plane {frame}, counted from 0")
    place = tuple(map(int, np.unravel_index(frame or 0, array.shape[:-2] or (1,))))[: len(array.shape) - 2]
    _check_blocks(path, array, place)
    import zarr

    stored = zarr.open_array(str(path), mode="r", zarr_format=array.version)
    return np.asarray(stored[place])[None]


def _described(path: Path) -> _Array:
    second = (path / ".zarray").exists()
    with opened(path / (".zarray" if second else "zarr.json")) as source:
        if source.size > MAX_JSON_BYTES:
            raise ValueError(f"its metadata has {source.size} bytes")
        about = json.loads(source.read(0, source.size))
    array = _version_2(about) if second else _version_3(about)
    if len(array.shape) < 2 or len(array.blocks) != len(array.shape) or len(array.inner) != len(array.shape):
        raise ValueError(f"its shape {array.shape} and blocks {array.blocks} do not fit")
    check_pixels(*array.shape[-2:])
    check_pixels(*array.inner)
    _check_plane(array)
    if min(array.shape) < 1 or any(block % inner for block, inner in zip(array.blocks, array.inner, strict=True)):
        raise ValueError(f"its shape {array.shape} and blocks {array.blocks}, {array.inner} do not fit")
    return array


def _version_2(about: dict[str, Any]) -> _Array:
    if not _TYPES_V2.fullmatch(str(about["dtype"])):
        raise ValueError(f"its type {about['dtype']} is no number; objects are never unpacked")
    compressor = about.get("compressor")
    compressors = (str(compressor["id"]),) if compressor else ()
    _check_known({str(one["id"]) for one in about.get("filters") or ()} | {*compressors} - _COMPRESSORS)
    _check_number(about.get("fill_value"))
    blocks = tuple(map(int, about["chunks"]))
    size = math.prod(blocks) * int(str(about["dtype"])[2:])
    separator = str(about.get("dimension_separator", "."))
    return _Array(2, tuple(map(int, about["shape"])), blocks, blocks, size, compressors, 0, "", separator, None)


def _version_3(about: dict[str, Any]) -> _Array:
    kind = about["data_type"]
    if about.get("node_type") != "array" or not isinstance(kind, str) or not _TYPES_V3.fullmatch(kind):
        raise ValueError(f"its type {kind} is no number; objects are never unpacked")
    if about["chunk_grid"]["name"] != "regular" or about.get("storage_transformers"):
        raise ValueError("its blocks are not regular")
    _check_number(about.get("fill_value"))
    blocks = inner = tuple(map(int, about["chunk_grid"]["configuration"]["chunk_shape"]))
    codecs, shards = about["codecs"], None
    if codecs[0]["name"] == "sharding_indexed":
        if len(codecs) > 1:
            raise ValueError("its shards are compressed as a whole")
        shard = codecs[0]["configuration"]
        inner, codecs = tuple(map(int, shard["chunk_shape"])), shard["codecs"]
        shards = _index(shard)
    names = [str(one["name"]) for one in codecs]
    _check_known({*names} - _COMPRESSORS - _OTHER_V3)
    compressors = tuple(name for name in names if name in _COMPRESSORS)
    if len(compressors) > 1:
        raise ValueError(f"its blocks are compressed {len(compressors)} times")
    behind = names[names.index(compressors[0]) :].count("crc32c") if compressors else 0
    encoding = about["chunk_key_encoding"]
    prefix = "c" if encoding["name"] == "default" else ""
    separator = encoding.get("configuration", {}).get("separator", "/" if prefix else ".")
    size = math.prod(inner) * int(kind.lstrip("uintfloa")) // 8
    shape, checksums = tuple(map(int, about["shape"])), _CHECKSUM_BYTES * behind
    return _Array(3, shape, blocks, inner, size, compressors, checksums, prefix, str(separator), shards)


def _index(shard: dict[str, Any]) -> _Index:
    names = [str(one["name"]) for one in shard["index_codecs"]]
    if names not in (["bytes"], ["bytes", "crc32c"]):
        raise ValueError(f"the index of its shards is stored as {', '.join(names)}; only plain ones can be read")
    big = shard["index_codecs"][0].get("configuration", {}).get("endian") == "big"
    at_end = shard.get("index_location", "end") == "end"
    return _Index(at_end, ">" if big else "<", _CHECKSUM_BYTES * (len(names) - 1))


def _check_plane(array: _Array) -> None:
    """Bound what all blocks that a plane touches take; inner blocks are as long as 1 along every other axis."""
    touched = math.prod(math.ceil(array.shape[axis] / array.inner[axis]) for axis in (-2, -1))
    if touched * max(array.inner_bytes, _LEAST_BLOCK_BYTES) > MAX_PLANE_BYTES:
        raise ValueError(
            f"one plane needs {touched} blocks of {array.inner_bytes} bytes where {MAX_PLANE_BYTES} bytes can be read; "
            "store it in blocks of one plane each"
        )


def _check_known(unknown: set[str]) -> None:
    if unknown:
        raise ValueError(f"its codec {sorted(unknown)[0]} is not among those that are known to hold numbers only")


def _check_number(value: object) -> None:
    if not (value is None or isinstance(value, int | float) or value in ("NaN", "Infinity", "-Infinity")):
        raise ValueError(f"its fill value {value!r} is no number")


def _check_blocks(path: Path, array: _Array, place: tuple[int, ...]) -> None:
    """Judge every block of a plane by what it claims to unpack to; a plane of which none exists was never written."""
    ranges = [range(index // block, index // block + 1) for index, block in zip(place, array.blocks, strict=False)]
    ranges += [range(math.ceil(array.shape[axis] / array.blocks[axis])) for axis in (-2, -1)]
    found = 0
    for index in product(*ranges):
        parts = ([array.prefix] if array.prefix else []) + [str(number) for number in index]
        block = path / array.separator.join(parts)
        if not block.exists():
            continue
        found += 1
        with opened(block) as source:
            for start, size in _inner_blocks(source, array):
                _check_claim(source, start, size, array)
    if not found:
        raise ValueError("no block of this plane was ever written")


def _inner_blocks(source: Source, array: _Array) -> Iterator[tuple[int, int]]:
    """Start and length of what is compressed: the file, or the blocks that a shard's index names."""
    if array.shards is None:
        yield 0, source.size
        return
    count = math.prod(block // inner for block, inner in zip(array.blocks, array.inner, strict=True))
    index_bytes = 16 * count + array.shards.checksum_bytes
    if index_bytes > min(source.size, MAX_PLANE_BYTES):
        raise ValueError("one of its shards is cut off")
    if source.size > index_bytes + count * _most_stored(array):
        raise ValueError(f"one of its shards has {source.size} bytes, far more than it could hold")
    data = source.read(source.size - index_bytes if array.shards.at_end else 0, 16 * count)
    for start, size in struct.iter_unpack(f"{array.shards.order}QQ", data):
        if start != 2**64 - 1:
            yield start, size


def _most_stored(array: _Array) -> int:
    """Bytes of a compressed block that compression made larger."""
    return 2 * max(array.inner_bytes, _LEAST_BLOCK_BYTES)


def _check_claim(source: Source, start: int, size: int, array: _Array) -> None:
    """Refuse a block that would unpack to more than its shape says."""
    limit = array.inner_bytes
    if size > _most_stored(array):
        raise ValueError(f"one of its blocks has {size} bytes, far more than it could hold")
    for name in array.compressors:
        data = source.read(start, max(0, size - array.checksum_bytes))
        claim = _CLAIMS[name](data, limit + _CHECKSUM_BYTES)
        if claim > limit + _CHECKSUM_BYTES:
            raise ValueError(f"one of its blocks claims {claim} bytes where {limit} are expected")


_MORE = "one of its blocks goes on behind its end"


def _blosc_claim(data: bytes, _: int) -> int:
    if len(data) < 16:
        raise ValueError("one of its blocks is cut off")
    return int(struct.unpack("<I", data[4:8])[0])


def _zstd_claim(data: bytes, limit: int) -> int:
    """Bytes that a frame says it holds (RFC 8878, section 3.1.1); the frame is all there is."""
    if data[:4] != b"\x28\xb5\x2f\xfd" or len(data) < 9:
        raise ValueError("one of its blocks is cut off")
    flags = data[4]
    single, width = flags >> 5 & 1, (0, 2, 4, 8)[flags >> 6]
    width = width or single
    start = 5 + (0 if single else 1) + (0, 1, 2, 4)[flags & 3]
    if not width:
        return limit + 1
    if _zstd_end(data, start + width) + (_CHECKSUM_BYTES if flags & 4 else 0) != len(data):
        raise ValueError(_MORE)
    return int.from_bytes(data[start : start + width], "little") + (256 if width == 2 else 0)


def _zstd_end(data: bytes, place: int) -> int:
    """Where the last of the blocks that begin at a place ends (RFC 8878, section 3.1.1.2)."""
    last = 0
    while not last:
        if place + 3 > len(data):
            raise ValueError("one of its blocks is cut off")
        header = int.from_bytes(data[place : place + 3], "little")
        last, repeated, size = header & 1, header >> 1 & 3 == 1, header >> 3
        place += 3 + (1 if repeated else size)
    return place


def _inflated(data: bytes, limit: int) -> int:
    """Bytes that come out of the only member; the library would unpack all that follow."""
    stream = zlib.decompressobj(47)
    size = len(stream.decompress(data, limit + 1))
    if stream.unused_data:
        raise ValueError(_MORE)
    return size


_CLAIMS = {"blosc": _blosc_claim, "zstd": _zstd_claim, "gzip": _inflated, "zlib": _inflated}
