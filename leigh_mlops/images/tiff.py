"""Reading one page of a TIFF file, whose directories are validated before a library opens it."""

import logging
import math
import os
import struct
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tifffile

from leigh_mlops.images.scratch import Allocator
from leigh_mlops.images.source import Source, check_pixels

__all__ = ["read_tiff"]

MAX_PAGES = 100_000
"""Pages that are walked to reach one: more than any stack has, and a bound on circular files."""

MAX_TAG_BYTES = 8 * 2**20
"""Size of the numbers in one directory: a million strips."""

MAX_TEXT_BYTES = 64 * 2**20
"""Size of the texts in one directory: the OME description of a whole screen."""

_TYPE_BYTES = {3: 2, 4: 4, 5: 8, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_SUBFILE_TYPE, _STK_PLANES = 254, 33629
_JPEG2000 = {33003, 33004, 33005, 34712}
_COMPRESSIONS = {1, 5, 8, 32773, 32946, 34926, 50000} | _JPEG2000  # none, LZW, deflate, PackBits, zstd
_PHOTOMETRIC, _INVERTED = 262, 0
_GREY_OR_RGB = {0, 1, 2}  # 0 is also the library's default for a missing tag
_JPEG2000_START = b"\xff\x4f\xff\x51"
# Special readers would interpret private tags or neighbouring files.
_READER_OPTIONS: dict[str, Any] = {"is_ome": False, "is_lsm": False, "is_ndpi": False, "is_scanimage": False}


class _Directory(NamedTuple):
    """Facts of a page's directory that are checked before reading; ``following`` is the offset of the next."""

    following: int
    reduced: bool
    planes: int


def read_tiff(source: Source, frame: int | None, allocate: Allocator = np.empty) -> npt.NDArray[Any]:
    """Read one page.

    Args:
        source: The file.
        frame: Page from 0; ``None`` for the only page of a file.
        allocate: Allocates the pixels.

    Returns:
        Shape (samples, H, W), in the file's own type and the machine's byte order.

    Raises:
        ValueError: The file is damaged, holds something else, or is a stack and no page is named.
    """
    _check_directories(source, frame)
    logging.getLogger("tifffile").addFilter(_discard_record)
    with (
        open(source.descriptor, "rb", closefd=False) as handle,
        tifffile.TiffFile(handle, name=source.path.name, **_READER_OPTIONS) as file,
    ):
        page = file.pages[frame or 0]
        _check_page(page)
        return _planes_first(_pixels(source, page, allocate), page)


def _discard_record(record: logging.LogRecord) -> bool:
    """Discard a log record: remarks about damaged files are reported as failures instead."""
    return False


def _check_directories(source: Source, frame: int | None) -> None:
    order, big, place = _header(source)
    seen: set[int] = set()
    full = 0
    while place:
        if place in seen or len(seen) > MAX_PAGES:
            raise ValueError("its pages form a loop or never end")
        directory = _directory(source, place, order, big)
        if frame == len(seen):
            if directory.planes > 1:
                raise ValueError("its page is a MetaMorph stack; export one file for each plane")
            return
        full += 0 if directory.reduced and seen else directory.planes
        if frame is None and full > 1:
            raise ValueError("it is a stack of several pages; name the page in the table, or export single planes")
        seen.add(place)
        place = directory.following
    if frame is not None or not seen:
        raise ValueError(f"it has {len(seen)} pages and no page {frame or 0}, counted from 0")


def _header(source: Source) -> tuple[str, bool, int]:
    """Byte order, whether offsets have 64 bits, and the offset of the first directory."""
    start = source.read(0, 8)
    order = {b"II": "<", b"MM": ">"}.get(start[:2])
    version = struct.unpack(f"{order or '<'}H", start[2:4])[0]
    if order is None or version not in (42, 43):
        raise ValueError("it has no TIFF header")
    if version == 42:
        return order, False, struct.unpack(f"{order}I", start[4:])[0]
    return order, True, struct.unpack(f"{order}Q", source.read(8, 8))[0]


def _directory(source: Source, place: int, order: str, big: bool) -> _Directory:
    count_format, entry_format, next_format = ("Q", "HHQ8s", "Q") if big else ("H", "HHI4s", "I")
    count_bytes, next_bytes = struct.calcsize(count_format), struct.calcsize(next_format)
    (count,) = struct.unpack(order + count_format, source.read(place, count_bytes))
    if not 0 < count <= 4096:
        raise ValueError(f"one of its pages has {count} tags")
    entry_bytes = struct.calcsize(order + entry_format)
    data = source.read(place + count_bytes, count * entry_bytes + next_bytes)
    numbers = texts = 0
    reduced, planes = False, 1
    for code, kind, length, value in struct.iter_unpack(order + entry_format, data[:-next_bytes]):
        if kind in _TYPE_BYTES:
            numbers += length * _TYPE_BYTES[kind]
        else:
            texts += length
        if code == _SUBFILE_TYPE:
            reduced = bool(struct.unpack(f"{order}I", value[:4])[0] & 1)
        if code == _STK_PLANES:
            planes = max(1, length)
    if numbers > MAX_TAG_BYTES or texts > MAX_TEXT_BYTES:
        raise ValueError(f"its tags claim {numbers + texts} bytes")
    return _Directory(struct.unpack(order + next_format, data[-next_bytes:])[0], reduced, planes)


def _check_page(page: Any) -> None:  # noqa: ANN401
    check_pixels(page.imagedepth, page.imagelength, page.imagewidth, page.samplesperpixel)
    if page.imagedepth > 1:
        raise ValueError(f"it is a volume of {page.imagedepth} planes; export single planes")
    if page.compression not in _COMPRESSIONS:
        name = getattr(page.compression, "name", page.compression)
        raise ValueError(f"its compression {name} can't be read; export it uncompressed, as LZW, deflate or JPEG 2000")
    if page.photometric == _INVERTED and _PHOTOMETRIC in page.tags:
        raise ValueError("its grey values are inverted (MINISWHITE, 0 is white); export it with 0 as black")
    if page.photometric not in _GREY_OR_RGB:
        name = getattr(page.photometric, "name", page.photometric)
        raise ValueError(f"its colours are {name}; grey values or RGB are needed")
    if page.dtype is None or page.dtype.kind not in "uif" or page.bitspersample == 1:
        raise ValueError(f"its pixels have {page.bitspersample} bits, format {page.sampleformat}; export 16-bit grey")
    if page.is_tiled:
        check_pixels(page.tiledepth, page.tilelength, page.tilewidth, page.samplesperpixel)
    segments = math.prod(page.chunked)
    if len(page.dataoffsets) != segments or len(page.databytecounts) != segments:
        raise ValueError(f"it lists only {len(page.dataoffsets)} of its {segments} strips or tiles")


def _pixels(source: Source, page: Any, allocate: Allocator) -> npt.NDArray[Any]:  # noqa: ANN401
    """Read the pixels of a page, shape (separate samples, 1, H, W, packed samples)."""
    if not (page.is_contiguous and page.predictor == 1 and page.fillorder == 1):
        return _segments(source, page, allocate(page.shaped, page.dtype))
    stored = page.dtype.newbyteorder(page.parent.byteorder)
    if page.dataoffsets[0] + math.prod(page.shaped) * stored.itemsize > source.size or page.dataoffsets[0] < 8:
        raise ValueError("it is cut off")
    image = allocate(page.shaped, stored)
    if os.preadv(source.descriptor, [image.reshape(-1).view(np.uint8).data], page.dataoffsets[0]) < image.nbytes:
        raise ValueError("it is cut off")
    return image.astype(page.dtype, copy=False)


def _segments(source: Source, page: Any, image: npt.NDArray[Any]) -> npt.NDArray[Any]:  # noqa: ANN401
    for index, (start, count) in enumerate(zip(page.dataoffsets, page.databytecounts, strict=True)):
        if start < 8 or count < 1:
            raise ValueError(f"its strip or tile {index} was never written")
        _, _, shape = page.decode(None, index, _fullsize=False)
        if count > 2 * math.prod(shape) * image.itemsize + 65536:
            raise ValueError(f"its strip or tile {index} has {count} bytes, far more than it could hold")
        data = source.read(start, count)
        if page.compression in _JPEG2000:
            data = _extract_jpeg2000(data, shape)
        segment, (sample, depth, top, left, _), _ = page.decode(data, index, _fullsize=False)
        part = image[sample, depth : depth + shape[0], top : top + shape[1], left : left + shape[2]]
        segment = segment[: part.shape[0], : part.shape[1], : part.shape[2]]
        if segment.shape != part.shape:
            raise ValueError(f"its strip or tile {index} is cut off")
        part[...] = segment
    return image


def _extract_jpeg2000(data: bytes, shape: tuple[int, int, int, int]) -> bytes:
    """Return the bare codestream, after checking that its header claims the size of the strip or tile."""
    start = data.find(_JPEG2000_START)
    if start < 0 or len(data) < start + 42:
        raise ValueError("its JPEG 2000 data is damaged")
    right, bottom, left, top = struct.unpack(">4I", data[start + 8 : start + 24])
    (samples,) = struct.unpack(">H", data[start + 40 : start + 42])
    if (bottom - top, right - left, samples) != shape[1:]:
        raise ValueError(f"its JPEG 2000 data claims {right - left} x {bottom - top} pixels, the page another size")
    return data[start:]


def _planes_first(image: npt.NDArray[Any], page: Any) -> npt.NDArray[Any]:  # noqa: ANN401
    """Reshape (separate, 1, H, W, packed) to (samples, H, W)."""
    separate, _, height, width, packed = image.shape
    if packed == 1:
        return image.reshape(separate, height, width)
    return np.ascontiguousarray(np.moveaxis(image.reshape(height, width, packed), -1, 0))
