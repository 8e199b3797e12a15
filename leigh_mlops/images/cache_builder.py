"""Building a pixel cache: every field is read once, measured, resized and written to its row."""

import hashlib
import json
import os
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from leigh_mlops.errors import LeighError, escape_unprintable
from leigh_mlops.images.build_folder import build_folder
from leigh_mlops.images.digest import pixel_digest
from leigh_mlops.images.failure import Failure
from leigh_mlops.images.field_files import FieldFiles
from leigh_mlops.images.illumination import illumination_digest
from leigh_mlops.images.measure import QUALITY_NUMBERS, measure_plane
from leigh_mlops.images.read import read_planes
from leigh_mlops.images.scratch import Scratch
from leigh_mlops.images.sizes import counts_at_size, intensity_per_count
from leigh_mlops.images.source import Pixels, TransientReadError
from leigh_mlops.images.squares import CENTRE, cut_square

__all__ = ["VERSION", "BuiltCache", "build_cache"]

VERSION = 4
"""Version of the cache format; part of every key."""

Progress = Callable[[], None] | None


class BuiltCache(NamedTuple):
    """A finished cache.

    Attributes:
        folder: Its folder.
        has_transient_failures: Whether a field failed for a reason that may be gone the next time.
    """

    folder: Path
    has_transient_failures: bool


class _PixelFormat(NamedTuple):
    """Pixel format that all fields of a cache share."""

    width: int
    height: int
    bits: int

    def __str__(self) -> str:
        return f"{self.width} x {self.height} pixels, {self.bits} bits"


def build_cache(
    root: Path,
    files: Sequence[FieldFiles | None],
    channels: Sequence[str],
    image_size: int,
    progress: Progress = None,
) -> BuiltCache:
    """Build a cache in a temporary folder and rename it to the key of its content.

    Args:
        root: Folder of all caches.
        files: Files of every row.
        channels: Channel names in the order of the axis C.
        image_size: Side S in pixels.
        progress: Called after each field.

    Returns:
        The cache; an existing one with the same content is kept.

    Raises:
        LeighError: There are no fields.
    """
    if not files:
        raise LeighError("The image table has no rows; give a folder or table with images.")
    with build_folder(root) as temporary:
        building = _CacheBuilder(temporary, files, len(channels), image_size)
        building.read_all(progress)
        folder = root / building.finish(channels)
        try:
            temporary.rename(folder)
        except OSError:  # the same content exists already
            if not (folder / "cache.json").exists():
                raise
    return BuiltCache(folder, building.has_transient_failures)


class _CacheBuilder:
    """Builder of one cache; each row is written in place, so that memory holds only the fields in progress."""

    def __init__(self, folder: Path, files: Sequence[FieldFiles | None], channels: int, image_size: int) -> None:
        self.folder = folder
        self.files = files
        self.image_size = image_size
        self.digests = np.zeros(len(files), np.uint64)
        self.quality = np.full((len(files), channels * len(QUALITY_NUMBERS)), np.nan)
        self.formats: list[_PixelFormat | None] = [None] * len(files)
        self.threads = threading.local()
        self.failures: dict[int, str] = {}
        self.has_transient_failures = False
        shape = (len(files), channels, image_size, image_size)
        self.row_bytes = 2 * channels * image_size**2
        with (folder / "pixels.npy").open("wb") as file:
            np.lib.format.write_array_header_1_0(file, {"descr": "<u2", "fortran_order": False, "shape": shape})
            self.start = file.tell()
            file.truncate(self.start + self.row_bytes * len(files))

    def read_all(self, progress: Progress) -> None:
        """Read every field; one that can't be used is a failure with its reason."""
        descriptor = os.open(self.folder / "pixels.npy", os.O_WRONLY)
        try:
            _process_rows(len(self.files), lambda row: self._store(descriptor, row), progress or (lambda: None))
            self._exclude_odd_fields(descriptor)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _store(self, descriptor: int, row: int) -> None:
        try:
            files = self.files[row]
            if files is None:
                raise LeighError("This field lacks a channel; add its file, or leave the channel out.")
            planes = read_planes(files, self._scratch().allocate)
            counts = counts_at_size(planes, self.image_size, files)
        except LeighError as error:
            self.failures[row] = str(error)
            self.has_transient_failures |= isinstance(error, TransientReadError)
            return
        self.digests[row] = pixel_digest(planes)
        first = files[0].planes[0]
        squares = [cut_square(plane, first.tile, first.width) for plane in planes]
        self.quality[row] = [value for square in squares for value in measure_plane(square).values()]
        # Pictures may differ in size, and so may fields of which one width is used.
        height, width = (self.image_size,) * 2 if first.picture or first.width else planes[0].shape
        self.formats[row] = _PixelFormat(width, height, 8 * planes[0].dtype.itemsize)
        self._write(descriptor, row, counts)

    def _scratch(self) -> Scratch:
        if not hasattr(self.threads, "scratch"):
            self.threads.scratch = Scratch()
        scratch: Scratch = self.threads.scratch
        scratch.reset()
        return scratch

    def _write(self, descriptor: int, row: int, counts: Sequence[Pixels]) -> None:
        data = [np.ascontiguousarray(one, "<u2").reshape(-1).view(np.uint8).data for one in counts]
        if os.pwritev(descriptor, data, self.start + row * self.row_bytes) < self.row_bytes:
            raise OSError(f"{self.folder} takes no more data")

    def _exclude_odd_fields(self, descriptor: int) -> None:
        """Turn fields that lack the most common size and depth into failures."""
        common = self._common_format()
        alike = self.formats.count(common)
        empty = [np.zeros((self.image_size, self.image_size), np.uint16)] * (self.row_bytes // 2 // self.image_size**2)
        for row, kind in enumerate(self.formats):
            if kind is None or kind == common:
                continue
            self.failures[row] = (
                f"{self._path(row)} has {kind} where {alike} of {len(self.files)} fields have {common}; "
                "export all fields alike."
            )
            self.digests[row] = 0
            self.quality[row] = np.nan
            self._write(descriptor, row, empty)

    def _common_format(self) -> _PixelFormat:
        known = Counter(kind for kind in self.formats if kind)
        return known.most_common(1)[0][0] if known else _PixelFormat(self.image_size, self.image_size, 16)

    def _path(self, row: int) -> str:
        files = self.files[row]
        return escape_unprintable(files[0].planes[0].path) if files else ""

    def finish(self, channels: Sequence[str]) -> str:
        """Write the files beside the pixels, and return the key of the content."""
        common = self._common_format()
        bits = common.bits
        failures = [asdict(Failure(row, self._path(row), reason)) for row, reason in sorted(self.failures.items())]
        about = {
            "unit": intensity_per_count(np.dtype(f"u{bits // 8}")),
            "full_scale": 2**bits - 1,
            "failures": failures,
            "size": [common.width, common.height],
            "quality": [f"{name}_{channel}" for channel in channels for name in QUALITY_NUMBERS],
        }
        np.save(self.folder / "digests.npy", self.digests)
        np.save(self.folder / "quality.npy", self.quality)
        (self.folder / "cache.json").write_text(json.dumps(about))
        content = [
            VERSION,
            self.image_size,
            list(channels),
            self.digests.tolist(),
            failures,
            self._illumination_digests(),
        ]
        # Squares of one field have its digest, by which it is known as seen whatever was cut out of it.
        tiles = [files[0].planes[0].tile if files else CENTRE for files in self.files]
        if set(tiles) != {CENTRE}:
            content.append(tiles)
        if any(widths := [files[0].planes[0].width if files else None for files in self.files]):
            content.append(widths)
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:24]

    def _illumination_digests(self) -> list[list[int]]:
        """Digests of the illumination images of every field that could be read."""
        known: dict[Path, int] = {}
        rows = []
        for row, files in enumerate(self.files):
            paths = [channel.illumination for channel in files or () if row not in self.failures]
            for path in paths:
                if path and path not in known:
                    known[path] = illumination_digest(path)
            rows.append([known[path] if path else 0 for path in paths])
        return rows


def _process_rows(rows: int, work: Callable[[int], None], done: Callable[[], None]) -> None:
    """Process rows in threads, since decoders release the interpreter lock; few rows are queued at a time."""
    workers = os.cpu_count() or 1
    waiting: deque[Future[None]] = deque()
    with _single_threaded_opencv(), ThreadPoolExecutor(workers) as pool:
        for row in range(rows):
            waiting.append(pool.submit(work, row))
            if len(waiting) > 4 * workers:
                waiting.popleft().result()
                done()
        while waiting:
            waiting.popleft().result()
            done()


@contextmanager
def _single_threaded_opencv() -> Iterator[None]:
    """Restrict OpenCV to one thread, since its threads would compete with ours."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
