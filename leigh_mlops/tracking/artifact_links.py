"""Artifacts of an embedded store that are the files of a folder, not copies of them."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

__all__ = ["changed_files", "link_files"]

_EDITABLE = {".csv", ".json", ".md", ".txt"}
"""Suffixes of small files that people open and save again, which would change the artifact with a link."""


def changed_files(folder: Path, since_ns: int = 0) -> Iterator[Path]:
    """Yield the files below a folder, without hidden ones, that were written or moved there since a moment.

    Args:
        folder: The folder.
        since_ns: The moment as the file system counts it, in nanoseconds since 1970.
    """
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            file = Path(place, name)
            if not name.startswith(".") and file.stat().st_ctime_ns >= since_ns:
                yield file


def link_files(folder: Path, target: Path) -> int:
    """Bring the files of a folder into another one, and return how many were brought.

    They are hard links, which take no space, or copies where the file system has no links and of files that people
    edit. A file that is there already, of the same size and time, is left. The writers of this package replace files
    and never write into them, so that a link keeps what was linked.

    Args:
        folder: The folder, whose files stay.
        target: Folder of the same layout; files that are there only are left.
    """
    count = 0
    for file in changed_files(folder):
        place = target / file.relative_to(folder)
        if not _is_there(file, place):
            place.parent.mkdir(parents=True, exist_ok=True)
            _bring(file, place)
            count += 1
    return count


def _is_there(file: Path, place: Path) -> bool:
    if not place.exists():
        return False
    own, other = file.stat(), place.stat()
    return os.path.samestat(own, other) or (own.st_size, own.st_mtime_ns) == (other.st_size, other.st_mtime_ns)


def _bring(file: Path, place: Path) -> None:
    """Link or copy a file to a temporary name, and rename it."""
    temporary = place.with_name(f".{uuid4().hex}")
    try:
        if file.suffix in _EDITABLE or not _link(file, temporary):
            shutil.copy2(file, temporary)
        temporary.replace(place)
    finally:
        temporary.unlink(missing_ok=True)


def _link(file: Path, place: Path) -> bool:
    """Make a hard link, and return whether the file systems allow it."""
    try:
        os.link(file, place)
    except OSError:
        return False
    return True
