"""Folders of searches, each locked by one process at a time and removed at the end of the search."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from leigh_mlops.errors import LeighError
from leigh_mlops.events import Opened, Resumed
from leigh_mlops.trials import Journal
from leigh_mlops.user_folders import user_folder

__all__ = ["SavedSearch", "interrupted_searches", "locked_search", "new_search", "state_folder"]


_LOCK_TIMEOUT_S = 3.0


def state_folder() -> Path:
    """Private folder of running searches, outside store and artifacts, as Ray writes pickles there.

    The environment variable LEIGH_STATE sets another; on a cluster every node must have access to it.
    """
    folder = user_folder("LEIGH_STATE", "XDG_STATE_HOME", ".local/state").absolute()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


class SavedSearch:
    """Folder of one search while it is locked.

    Attributes:
        folder: Its path; its name is the search's id.
        journal: Journal of the search.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.journal = Journal(folder / "journal.jsonl")

    @property
    def opening_event(self) -> Opened | None:
        """Event that opened the search, with the study's settings."""
        return self.journal.find_first(Opened)

    @property
    def spent_s(self) -> float:
        """Seconds spent on searching so far, without pauses."""
        spent, since = 0.0, None
        for event in self.journal.events:
            if isinstance(event, Opened | Resumed):
                since = event.time
            elif since is not None:
                spent, since = spent + event.time - since, event.time
        return spent

    def remove(self) -> None:
        """Delete the folder once everything is in the store.

        The journal is deleted first: with it and without the checkpoints, a search could be neither resumed nor ended.
        Where it can't be deleted, everything stays.
        """
        try:
            self.journal.path.unlink(missing_ok=True)
        except OSError:
            return
        shutil.rmtree(self.folder, ignore_errors=True)


def _acquire_lock(folder: Path, timeout_s: float = 0) -> FileLock:
    lock = FileLock(f"{folder}.lock")
    lock.acquire(timeout=timeout_s)
    return lock


@contextmanager
def new_search() -> Iterator[SavedSearch]:
    """Create and lock the folder of a new search; it is removed at the end if the search was never opened."""
    folder = state_folder() / "searches" / f"{time.time_ns():x}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = _acquire_lock(folder)
    folder.mkdir()
    saved = SavedSearch(folder)
    try:
        yield saved
    finally:
        if saved.opening_event is None:
            saved.remove()
        _release(lock, folder)


@contextmanager
def locked_search(folder: Path) -> Iterator[SavedSearch]:
    """Lock the folder of an earlier search.

    Raises:
        LeighError: Another process holds it.
    """
    try:
        # Other commands lock it for a moment, to check that no process does.
        lock = _acquire_lock(folder, _LOCK_TIMEOUT_S)
    except Timeout:
        raise LeighError(
            f"The search {folder.name} is already running; wait until it ends, or stop it first."
        ) from None
    try:
        yield SavedSearch(folder)
    finally:
        _release(lock, folder)


def _release(lock: FileLock, folder: Path) -> None:
    lock.release()
    if not folder.exists():
        Path(lock.lock_file).unlink(missing_ok=True)


def interrupted_searches() -> dict[Path, Opened]:
    """Folders of opened searches that no process has locked, the newest last; leftovers of others are removed.

    Returns:
        The event that opened each search, by its folder.
    """
    interrupted = {}
    for folder in sorted(path for path in (state_folder() / "searches").glob("*") if path.is_dir()):
        try:
            lock = _acquire_lock(folder)
        except Timeout:
            continue
        saved = SavedSearch(folder)
        opened = saved.opening_event
        if opened is None:
            saved.remove()
        else:
            interrupted[folder] = opened
        _release(lock, folder)
    return interrupted
