"""Temporary folders in which caches are built, and the cleanup of those left by dead builders."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

__all__ = ["build_folder"]

_PREFIX = ".building-"


@contextmanager
def build_folder(root: Path) -> Iterator[Path]:
    """Temporary folder for one builder, removed at the end if it still exists.

    The builder holds a lock that the system releases when it dies, so that
    the next one can tell leftovers from the folder of an active builder.
    """
    with FileLock(root / "builders.lock"):
        _remove_leftovers(root)
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=root))
        alive = FileLock(_lock_path(folder))
        alive.acquire()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        alive.release()
        _lock_path(folder).unlink(missing_ok=True)


def _remove_leftovers(root: Path) -> None:
    names = {path.name.removesuffix(".lock") for path in root.glob(f"{_PREFIX}*")}
    for folder in (root / name for name in names):
        try:
            with FileLock(_lock_path(folder), timeout=0):
                shutil.rmtree(folder, ignore_errors=True)
        except Timeout:
            continue
        _lock_path(folder).unlink(missing_ok=True)


def _lock_path(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")
