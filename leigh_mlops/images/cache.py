"""The pixel cache: fields decoded and resized once, then memory-mapped by every trial."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
from filelock import FileLock

from leigh_mlops.errors import LeighError
from leigh_mlops.images.read import FieldFiles, Pixels, field_files, read_field

__all__ = [
    "Failure",
    "PixelCache",
    "cache_root",
    "check_image_size",
    "open_cache",
    "pixel_digest",
    "raw_at_size",
    "resize",
]

_VERSION = 1


@dataclass(frozen=True)
class Failure:
    """A field that could not be read."""

    row: int
    path: str
    reason: str


@dataclass(frozen=True)
class PixelCache:
    """All fields of a table at one image size.

    Attributes:
        folder: Where the cache lies.
        pixels: Shape (N, C, S, S), uint16, read-only and memory-mapped; rows
            as in the table. Rows of failed fields are zero.
        unit: Raw intensity per count.
        full_scale: Largest raw intensity of the file type: 255 or 65535.
        digests: Shape (N,), uint64; identifies a field by its pixels as read.
        failures: Fields that could not be read.
    """

    folder: Path
    pixels: npt.NDArray[np.uint16]
    unit: float
    full_scale: int
    digests: npt.NDArray[np.uint64]
    failures: tuple[Failure, ...]

    def raw(self, rows: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Raw intensities of some rows, (n, C, S, S), float32."""
        raw: npt.NDArray[np.float32] = self.pixels[np.asarray(rows)].astype(np.float32)
        raw *= np.float32(self.unit)
        return raw

    @classmethod
    def load(cls, folder: Path) -> "PixelCache":
        """Map a finished cache."""
        about = json.loads((folder / "cache.json").read_text())
        return cls(
            folder=folder,
            pixels=np.load(folder / "pixels.npy", mmap_mode="r"),
            unit=about["unit"],
            full_scale=about["full_scale"],
            digests=np.load(folder / "digests.npy"),
            failures=tuple(Failure(**failure) for failure in about["failures"]),
        )


def cache_root() -> Path:
    """``$LEIGH_CACHE``, else the user's cache folder."""
    default = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "leigh_mlops"
    return Path(os.environ.get("LEIGH_CACHE", default))


def check_image_size(image_size: int) -> int:
    """Return a size that every family takes.

    Raises:
        LeighError: The size is no positive multiple of 32.
    """
    if image_size < 32 or image_size % 32:
        near = max(32, round(image_size / 32) * 32)
        raise LeighError(f"The image size {image_size} is no multiple of 32 pixels; {near} is the nearest.")
    return image_size


def open_cache(
    table: pd.DataFrame,
    channels: Sequence[str],
    image_size: int,
    root: Path | None = None,
    progress: Callable[[], None] | None = None,
) -> PixelCache:
    """Map the cache of a table, and build it first where it does not stand yet.

    It is built under a lock in a temporary folder that is renamed at the end,
    so that two processes may ask at once and either may be killed.

    Args:
        table: An image table.
        channels: Channel names in the order of the axis C.
        image_size: Side S in pixels, a multiple of 32.
        root: Folder of all caches; by default :func:`cache_root`.
        progress: Called after each field.

    Raises:
        LeighError: The size is no multiple of 32, or no field could be read.
    """
    files = field_files(table, channels)
    root = root or cache_root()
    root.mkdir(parents=True, exist_ok=True)
    folder = root / _key(files, check_image_size(image_size))
    with FileLock(f"{folder}.lock"):
        if not (folder / "cache.json").exists():
            temporary = Path(tempfile.mkdtemp(prefix=".building-", dir=root))
            try:
                _build(temporary, files, image_size, progress)
                temporary.rename(folder)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
    return PixelCache.load(folder)


def _key(files: Sequence[FieldFiles | None], image_size: int) -> str:
    digest = hashlib.sha256(f"{_VERSION} {image_size}".encode())
    for field in files:
        for path, planes in field or ():
            try:
                stat = path.stat()
                state = f"{stat.st_size} {stat.st_mtime_ns}"
            except OSError:
                state = "missing"
            digest.update(f"{path.absolute()} {planes} {state}\n".encode("utf-8", "surrogateescape"))
        digest.update(b"\n")
    return digest.hexdigest()[:24]


def _build(
    folder: Path,
    files: Sequence[FieldFiles | None],
    image_size: int,
    progress: Callable[[], None] | None,
) -> None:
    first = _first_readable(files)
    unit, full_scale = _unit(first), int(np.iinfo(first.dtype).max)
    shape = (len(files), len(first), image_size, image_size)
    pixels = np.lib.format.open_memmap(folder / "pixels.npy", mode="w+", dtype=np.uint16, shape=shape)
    digests = np.zeros(len(files), np.uint64)

    def store(row: int) -> Failure | None:
        try:
            image = _like(read_field(_complete(files[row])), first, files[row])
        except LeighError as error:
            return Failure(row, str(files[row][0][0]) if files[row] else "", str(error))  # type: ignore[index]
        digests[row] = pixel_digest(image)
        pixels[row] = _counts(image, image_size)
        return None

    failures = []
    # The decoders release the interpreter's lock, so that threads are enough.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for failure in pool.map(store, range(len(files))):
            failures += [failure] if failure else []
            if progress:
                progress()
    pixels.flush()
    np.save(folder / "digests.npy", digests)
    about = {"unit": unit, "full_scale": full_scale, "failures": [asdict(failure) for failure in failures]}
    (folder / "cache.json").write_text(json.dumps(about))


def _complete(files: FieldFiles | None) -> FieldFiles:
    if files is None:
        raise LeighError("This field lacks a channel; add its file, or leave the channel out.")
    return files


def _first_readable(files: Sequence[FieldFiles | None]) -> Pixels:
    problem = LeighError("The image table has no rows; give a folder or table with images.")
    for field in files:
        try:
            return read_field(_complete(field))
        except LeighError as error:
            problem = error
    raise problem


def _like(image: Pixels, first: Pixels, files: FieldFiles | None) -> Pixels:
    path = files[0][0] if files else ""
    if image.shape != first.shape or image.dtype != first.dtype:
        raise LeighError(
            f"{path} has {_words(image)} where the first image has {_words(first)}; export all fields alike."
        )
    if image.shape[1] != image.shape[2]:
        raise LeighError(f"{path} has {_words(image)}; square fields are needed.")
    return image


def _words(image: Pixels) -> str:
    channels, height, width = image.shape
    return f"{width} x {height} pixels, {channels} channels, {8 * image.dtype.itemsize} bits"


def pixel_digest(image: Pixels) -> np.uint64:
    """64 bits that identify the pixels of a field, whatever its name."""
    shape = str((image.shape, str(image.dtype))).encode()
    digest = hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=8, key=shape[:64]).digest()
    return np.uint64(int.from_bytes(digest, "big"))


def raw_at_size(image: Pixels, image_size: int) -> npt.NDArray[np.float32]:
    """Raw intensities (C, S, S) of one field, exactly as a cache would give them."""
    return _counts(image, image_size).astype(np.float32) * np.float32(_unit(image))


def _counts(image: Pixels, image_size: int) -> npt.NDArray[np.uint16]:
    counts: npt.NDArray[np.uint16] = np.rint(resize(image, image_size) / _unit(image)).astype(np.uint16)
    return counts


def _unit(image: Pixels) -> float:
    """Raw intensity per count: 8-bit files keep eight more bits, so that averaging loses nothing."""
    return 1 / 256 if image.dtype == np.uint8 else 1.0


def resize(image: npt.NDArray[np.generic], image_size: int) -> npt.NDArray[np.float32]:
    """Resize (C, H, W) to (C, S, S) by area averaging; enlarging is linear."""
    if image.shape[1:] == (image_size, image_size):
        return image.astype(np.float32)
    method = cv2.INTER_AREA if image.shape[1] > image_size else cv2.INTER_LINEAR
    planes = [cv2.resize(plane.astype(np.float32), (image_size, image_size), interpolation=method) for plane in image]
    return np.stack(planes)
