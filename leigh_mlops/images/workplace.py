"""Temporary folders in which caches are built, and what is left of builders that died."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

__all__ = ["workplace"]

_PREFIX = ".building-"


@contextmanager
def workplace(root: Path) -> Iterator[Path]:
    """A folder for one builder, removed at the end where it still stands.

    The builder holds a lock that the system lets go of when it dies, so that
    the next one knows leftovers from the folder of one that is still at work.
    """
    with FileLock(root / "builders.lock"):
        _remove_leftovers(root)
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=root))
        alive = FileLock(_lock_of(folder))
        alive.acquire()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        alive.release()
        _lock_of(folder).unlink(missing_ok=True)


def _remove_leftovers(root: Path) -> None:
    names = {path.name.removesuffix(".lock") for path in root.glob(f"{_PREFIX}*")}
    for folder in (root / name for name in names):
        try:
            with FileLock(_lock_of(folder), timeout=0):
                shutil.rmtree(folder, ignore_errors=True)
        except Timeout:
            continue
        _lock_of(folder).unlink(missing_ok=True)


def _lock_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")
