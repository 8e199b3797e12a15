"""The pixel cache: fields decoded and resized once, then memory-mapped by every trial."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from filelock import FileLock

from leigh_mlops.errors import LeighError, escape_unprintable
from leigh_mlops.images.cache_builder import VERSION, build_cache
from leigh_mlops.images.failure import Failure
from leigh_mlops.images.field_files import FieldFiles, field_files
from leigh_mlops.images.omezarr import is_zarr_array
from leigh_mlops.images.sizes import check_image_size
from leigh_mlops.user_folders import user_folder

__all__ = ["PixelCache", "cache_root", "open_cache"]

MAX_BLOCK_FILES = 1_000_000
"""Files of one OME-Zarr array whose states are read: a bound on very large folders."""


@dataclass(frozen=True, eq=False)
class PixelCache:
    """All fields of a table at one image size.

    Attributes:
        folder: Folder of the cache.
        pixels: Shape (N, C, S, S), uint16, read-only and memory-mapped; rows
            as in the table. Rows of failed fields are zero.
        unit: Raw intensity per count.
        full_scale: Largest raw intensity of the file type: 255 or 65535.
        digests: Shape (N,), uint64; identifies a field by its pixels as read.
        failures: Fields that could not be read.
        field_size: Width and height of the fields as read, in pixels; None where a cache of earlier versions does not
            say, whose fields are square.
        quality: N rows, numbered from 0; the columns of
            :func:`~leigh_mlops.images.measure.measure_field`, not a number in
            rows of failed fields.
        adjust: Shape (N, C, 2), float32: offset and gain by which :meth:`raw`
            changes each field's raw intensities; ``None`` for none.
    """

    folder: Path
    pixels: npt.NDArray[np.uint16]
    unit: float
    full_scale: int
    digests: npt.NDArray[np.uint64]
    failures: tuple[Failure, ...]
    quality: pd.DataFrame
    field_size: tuple[int, int] | None = None
    adjust: npt.NDArray[np.float32] | None = None

    def raw(self, rows: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Raw intensities of some rows, (n, C, S, S), float32; offset + gain * raw where an adjustment is set."""
        rows = np.asarray(rows)
        raw: npt.NDArray[np.float32] = self.pixels[rows].astype(np.float32)
        raw *= np.float32(self.unit)
        return self.adjust_raw(raw, rows)

    def adjust_raw(self, raw: npt.NDArray[np.float32], rows: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Return offset + gain * raw of some rows (n, C, S, S); the same intensities where no adjustment is set."""
        if self.adjust is None:
            return raw
        offset, gain = np.moveaxis(self.adjust[np.asarray(rows)], -1, 0)[..., None, None]
        adjusted: npt.NDArray[np.float32] = offset + gain * raw
        return adjusted

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
            quality=pd.DataFrame(np.load(folder / "quality.npy"), columns=about["quality"]),
            field_size=tuple(about["size"]) if "size" in about else None,
        )


def cache_root() -> Path:
    """Folder of all caches: ``$LEIGH_CACHE``, else the user's cache folder."""
    return user_folder("LEIGH_CACHE", "XDG_CACHE_HOME", ".cache")


def open_cache(
    table: pd.DataFrame,
    channels: Sequence[str],
    image_size: int,
    root: Path | None = None,
    progress: Callable[[], None] | None = None,
) -> PixelCache:
    """Map the cache of a table, and build it first if it does not exist.

    A cache is named by a key of its content, so that a plate that was moved or
    copied finds it again once its files were read. A note named by a key of the
    files' states points to it without reading them; none is written where a field
    failed for a transient reason. The function may be called by two processes at once, and
    either may be killed.

    Args:
        table: An image table.
        channels: Channel names in the order of the axis C.
        image_size: Side S in pixels, a multiple of 32.
        root: Folder of all caches; by default :func:`cache_root`.
        progress: Called after each field.

    Raises:
        LeighError: The size is no multiple of 32, the table has no rows, or the cache can't be written.
    """
    files = field_files(table, channels)
    root = root or cache_root()
    key = _state_key(files, channels, check_image_size(image_size))
    note = root / f"{key}.json"
    with _report_disk_errors(root):
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / f"{key}.lock"):
            folder = _cached_folder(note)
            if folder is None:
                folder, passing = build_cache(root, files, channels, image_size, progress)
                if not passing:
                    _write_note(note, folder)
    return PixelCache.load(folder)


@contextmanager
def _report_disk_errors(root: Path) -> Iterator[None]:
    """Turn disk errors into a LeighError; errors of reading images are handled elsewhere."""
    try:
        yield
    except OSError as error:
        reason = escape_unprintable(error.strerror or str(error))
        raise LeighError(
            f"The pixel cache in {escape_unprintable(root)} can't be written ({reason}); "
            "free space there, or name another folder with $LEIGH_CACHE."
        ) from None


def _write_note(note: Path, folder: Path) -> None:
    temporary = note.with_suffix(".writing")
    temporary.write_text(json.dumps({"cache": folder.name}))
    temporary.replace(note)


def _cached_folder(note: Path) -> Path | None:
    """Finished cache that a note points to, if any."""
    if not note.exists():
        return None
    folder = note.parent / json.loads(note.read_text())["cache"]
    return folder if (folder / "cache.json").exists() else None


def _state_key(files: Sequence[FieldFiles | None], channels: Sequence[str], image_size: int) -> str:
    """Key of the path and file-system state of every file; no file is read."""
    states: dict[Path, str] = {}
    digest = hashlib.sha256(json.dumps([VERSION, image_size, list(channels)]).encode())
    for field in files:
        for channel in field or ():
            for plane in channel.planes:
                _update_digest(digest, plane.path, states, plane[1:])
            if channel.illumination:
                _update_digest(digest, channel.illumination, states)
        digest.update(b"\n")
    return digest.hexdigest()[:24]


def _update_digest(
    digest: "hashlib._Hash", path: Path, states: dict[Path, str], plane: tuple[object, ...] = ()
) -> None:
    if path not in states:
        try:
            states[path] = _file_state(path.stat())
            if path.is_dir() and is_zarr_array(path):
                states[path] += _array_state(path)
        except (OSError, ValueError):
            states[path] = "missing"
    digest.update(f"{path.absolute()} {plane} {states[path]}\n".encode("utf-8", "surrogateescape"))


def _file_state(stat: os.stat_result) -> str:
    # A file that was changed and given back its size and time still has another ctime.
    return f"{stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns} {stat.st_ino}"


def _array_state(folder: Path) -> str:
    digest = hashlib.sha256()
    for name, block in islice(_walk_blocks(folder), MAX_BLOCK_FILES):
        digest.update(f"{name} {_file_state(block)}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _walk_blocks(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Walk all entries below an array's folder in a fixed order, as rewriting a block changes no parent folder."""
    waiting = [str(folder)]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        for entry in found:
            if entry.is_dir(follow_symlinks=False):
                waiting.append(entry.path)
            yield entry.path, entry.stat(follow_symlinks=os.path.exists(entry.path))
