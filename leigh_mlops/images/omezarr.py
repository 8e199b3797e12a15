"""Reading one plane of an OME-Zarr array, whose metadata is validated before a library opens it."""

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

from leigh_mlops.images.source import MAX_PIXELS, Source, check_pixels, open_source

__all__ = ["is_zarr_array", "read_zarr"]

MAX_PLANE_BYTES = 4 * MAX_PIXELS
"""Size of the unpacked blocks that one plane needs; blocks of several planes are unpacked as a whole."""

MAX_JSON_BYTES = 2**20
"""Size of the metadata of one array: a few kilobytes in all files that microscopes write."""

_TYPES_V2 = re.compile(r"[<>|][uif][1248]")
_TYPES_V3 = re.compile(r"u?int(8|16|32|64)|float(16|32|64)")
# Nothing here can build an object: no pickle, json2, msgpack or vlen codecs.
_COMPRESSORS = {"blosc", "zstd", "gzip", "zlib"}
_CHECKSUM_BYTES = 4
_MIN_BLOCK_BYTES = 4096  # smaller blocks take as much memory, with names and headers
_PLAIN_CODECS_V3 = {"bytes", "transpose", "crc32c"}


class _ShardIndex(NamedTuple):
    """Format of the index of inner blocks in a shard."""

    at_end: bool
    order: Literal["<", ">"]
    checksum_bytes: int


class _ArrayMetadata(NamedTuple):
    """Metadata of an array: its shape, the shapes of a stored block and its inner blocks, bytes of an inner block.

    ``checksum_bytes`` follow the compressed data, and ``shards`` is the index format of sharded arrays.
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
    shards: _ShardIndex | None


def is_zarr_array(path: Path) -> bool:
    """Return whether a folder has the metadata of a Zarr array."""
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
    array = _read_metadata(path)
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


def _read_metadata(path: Path) -> _ArrayMetadata:
    second = (path / ".zarray").exists()
    with open_source(path / (".zarray" if second else "zarr.json")) as source:
        if source.size > MAX_JSON_BYTES:
            raise ValueError(f"its metadata has {source.size} bytes")
        about = json.loads(source.read(0, source.size))
    array = _parse_v2(about) if second else _parse_v3(about)
    if len(array.shape) < 2 or len(array.blocks) != len(array.shape) or len(array.inner) != len(array.shape):
        raise ValueError(f"its shape {array.shape} and blocks {array.blocks} do not fit")
    check_pixels(*array.shape[-2:])
    check_pixels(*array.inner)
    _check_plane(array)
    if min(array.shape) < 1 or any(block % inner for block, inner in zip(array.blocks, array.inner, strict=True)):
        raise ValueError(f"its shape {array.shape} and blocks {array.blocks}, {array.inner} do not fit")
    return array


def _parse_v2(about: dict[str, Any]) -> _ArrayMetadata:
    if not _TYPES_V2.fullmatch(str(about["dtype"])):
        raise ValueError(f"its type {about['dtype']} is not numeric; object arrays are never read")
    compressor = about.get("compressor")
    compressors = (str(compressor["id"]),) if compressor else ()
    _check_codecs({str(one["id"]) for one in about.get("filters") or ()} | {*compressors} - _COMPRESSORS)
    _check_fill_value(about.get("fill_value"))
    blocks = tuple(map(int, about["chunks"]))
    size = math.prod(blocks) * int(str(about["dtype"])[2:])
    separator = str(about.get("dimension_separator", "."))
    return _ArrayMetadata(2, tuple(map(int, about["shape"])), blocks, blocks, size, compressors, 0, "", separator, None)


def _parse_v3(about: dict[str, Any]) -> _ArrayMetadata:
    kind = about["data_type"]
    if about.get("node_type") != "array" or not isinstance(kind, str) or not _TYPES_V3.fullmatch(kind):
        raise ValueError(f"its type {kind} is not numeric; object arrays are never read")
    if about["chunk_grid"]["name"] != "regular" or about.get("storage_transformers"):
        raise ValueError("its blocks are not regular")
    _check_fill_value(about.get("fill_value"))
    blocks = inner = tuple(map(int, about["chunk_grid"]["configuration"]["chunk_shape"]))
    codecs, shards = about["codecs"], None
    if codecs[0]["name"] == "sharding_indexed":
        if len(codecs) > 1:
            raise ValueError("its shards are compressed as a whole")
        shard = codecs[0]["configuration"]
        inner, codecs = tuple(map(int, shard["chunk_shape"])), shard["codecs"]
        shards = _parse_shard_index(shard)
    names = [str(one["name"]) for one in codecs]
    _check_codecs({*names} - _COMPRESSORS - _PLAIN_CODECS_V3)
    compressors = tuple(name for name in names if name in _COMPRESSORS)
    if len(compressors) > 1:
        raise ValueError(f"its blocks are compressed {len(compressors)} times")
    behind = names[names.index(compressors[0]) :].count("crc32c") if compressors else 0
    encoding = about["chunk_key_encoding"]
    prefix = "c" if encoding["name"] == "default" else ""
    separator = encoding.get("configuration", {}).get("separator", "/" if prefix else ".")
    size = math.prod(inner) * int(kind.lstrip("uintfloa")) // 8
    shape, checksums = tuple(map(int, about["shape"])), _CHECKSUM_BYTES * behind
    return _ArrayMetadata(3, shape, blocks, inner, size, compressors, checksums, prefix, str(separator), shards)


def _parse_shard_index(shard: dict[str, Any]) -> _ShardIndex:
    names = [str(one["name"]) for one in shard["index_codecs"]]
    if names not in (["bytes"], ["bytes", "crc32c"]):
        raise ValueError(f"the index of its shards is stored as {', '.join(names)}; only plain ones can be read")
    big = shard["index_codecs"][0].get("configuration", {}).get("endian") == "big"
    at_end = shard.get("index_location", "end") == "end"
    return _ShardIndex(at_end, ">" if big else "<", _CHECKSUM_BYTES * (len(names) - 1))


def _check_plane(array: _ArrayMetadata) -> None:
    """Bound the memory of all blocks that a plane touches; inner blocks have length 1 along every other axis."""
    touched = math.prod(math.ceil(array.shape[axis] / array.inner[axis]) for axis in (-2, -1))
    if touched * max(array.inner_bytes, _MIN_BLOCK_BYTES) > MAX_PLANE_BYTES:
        raise ValueError(
            f"one plane needs {touched} blocks of {array.inner_bytes} bytes where {MAX_PLANE_BYTES} bytes can be read; "
            "store it in blocks of one plane each"
        )


def _check_codecs(unknown: set[str]) -> None:
    if unknown:
        raise ValueError(f"its codec {sorted(unknown)[0]} is not supported")


def _check_fill_value(value: object) -> None:
    if not (value is None or isinstance(value, int | float) or value in ("NaN", "Infinity", "-Infinity")):
        raise ValueError(f"its fill value {value!r} is not a number")


def _check_blocks(path: Path, array: _ArrayMetadata, place: tuple[int, ...]) -> None:
    """Check the claimed unpacked size of every block of a plane; a plane without any block was never written."""
    ranges = [range(index // block, index // block + 1) for index, block in zip(place, array.blocks, strict=False)]
    ranges += [range(math.ceil(array.shape[axis] / array.blocks[axis])) for axis in (-2, -1)]
    found = 0
    for index in product(*ranges):
        parts = ([array.prefix] if array.prefix else []) + [str(number) for number in index]
        block = path / array.separator.join(parts)
        if not block.exists():
            continue
        found += 1
        with open_source(block) as source:
            for start, size in _inner_blocks(source, array):
                _check_unpacked_size(source, start, size, array)
    if not found:
        raise ValueError("no block of this plane was ever written")


def _inner_blocks(source: Source, array: _ArrayMetadata) -> Iterator[tuple[int, int]]:
    """Start and length of compressed data: the whole file, or the blocks listed in a shard's index."""
    if array.shards is None:
        yield 0, source.size
        return
    count = math.prod(block // inner for block, inner in zip(array.blocks, array.inner, strict=True))
    index_bytes = 16 * count + array.shards.checksum_bytes
    if index_bytes > min(source.size, MAX_PLANE_BYTES):
        raise ValueError("one of its shards is cut off")
    if source.size > index_bytes + count * _max_stored_bytes(array):
        raise ValueError(f"one of its shards has {source.size} bytes, far more than it could hold")
    data = source.read(source.size - index_bytes if array.shards.at_end else 0, 16 * count)
    for start, size in struct.iter_unpack(f"{array.shards.order}QQ", data):
        if start != 2**64 - 1:
            yield start, size


def _max_stored_bytes(array: _ArrayMetadata) -> int:
    """Largest accepted size of a compressed block, which compression may have enlarged."""
    return 2 * max(array.inner_bytes, _MIN_BLOCK_BYTES)


def _check_unpacked_size(source: Source, start: int, size: int, array: _ArrayMetadata) -> None:
    """Refuse a block that would unpack to more than its shape allows."""
    limit = array.inner_bytes
    if size > _max_stored_bytes(array):
        raise ValueError(f"one of its blocks has {size} bytes, far more than it could hold")
    for name in array.compressors:
        data = source.read(start, max(0, size - array.checksum_bytes))
        claim = _UNPACKED_SIZES[name](data, limit + _CHECKSUM_BYTES)
        if claim > limit + _CHECKSUM_BYTES:
            raise ValueError(f"one of its blocks claims {claim} bytes where {limit} are expected")


_TRAILING_DATA = "one of its blocks goes on behind its end"


def _blosc_size(data: bytes, _: int) -> int:
    if len(data) < 16:
        raise ValueError("one of its blocks is cut off")
    return int(struct.unpack("<I", data[4:8])[0])


def _zstd_size(data: bytes, limit: int) -> int:
    """Content size in a frame header (RFC 8878, section 3.1.1); the data must be that single frame."""
    if data[:4] != b"\x28\xb5\x2f\xfd" or len(data) < 9:
        raise ValueError("one of its blocks is cut off")
    flags = data[4]
    single, width = flags >> 5 & 1, (0, 2, 4, 8)[flags >> 6]
    width = width or single
    start = 5 + (0 if single else 1) + (0, 1, 2, 4)[flags & 3]
    if not width:
        return limit + 1
    if _zstd_end(data, start + width) + (_CHECKSUM_BYTES if flags & 4 else 0) != len(data):
        raise ValueError(_TRAILING_DATA)
    return int.from_bytes(data[start : start + width], "little") + (256 if width == 2 else 0)


def _zstd_end(data: bytes, place: int) -> int:
    """End of the last of the blocks that begin at a place (RFC 8878, section 3.1.1.2)."""
    last = 0
    while not last:
        if place + 3 > len(data):
            raise ValueError("one of its blocks is cut off")
        header = int.from_bytes(data[place : place + 3], "little")
        last, repeated, size = header & 1, header >> 1 & 3 == 1, header >> 3
        place += 3 + (1 if repeated else size)
    return place


def _zlib_size(data: bytes, limit: int) -> int:
    """Unpacked size of a single member; further members are refused, as the library would unpack them, too."""
    stream = zlib.decompressobj(47)
    size = len(stream.decompress(data, limit + 1))
    if stream.unused_data:
        raise ValueError(_TRAILING_DATA)
    return size


_UNPACKED_SIZES = {"blosc": _blosc_size, "zstd": _zstd_size, "gzip": _zlib_size, "zlib": _zlib_size}
