"""Searches on the disk: a folder each, held by one process at a time, removed when all is done."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from leigh_mlops.errors import LeighError
from leigh_mlops.trials import Event, Journal

__all__ = ["SavedSearch", "dead_searches", "held_search", "new_search", "state_folder"]


_MOMENT_S = 3.0


def state_folder() -> Path:
    """Private folder of running searches, outside store and artifacts: Ray keeps pickles of its own there.

    The environment's LEIGH_STATE names another; on a cluster it lies where every node sees it.
    """
    default = Path(os.environ.get("XDG_STATE_HOME", Path.home() / ".local" / "state")) / "leigh_mlops"
    folder = Path(os.environ.get("LEIGH_STATE", default)).absolute()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


class SavedSearch:
    """One search's folder while it is held.

    Attributes:
        folder: Its place; its name is the search's id.
        journal: What happened in it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.journal = Journal(folder / "journal.jsonl")

    @property
    def opened(self) -> Event | None:
        """The event that says what is searched, with the study's settings."""
        return self.journal.first("opened")

    @property
    def spent_s(self) -> float:
        """Seconds that searching has taken so far, pauses left out."""
        spent, since = 0.0, None
        for event in self.journal.events:
            if event["what"] in ("opened", "resumed"):
                since = event["time"]
            elif since is not None:
                spent, since = spent + event["time"] - since, event["time"]
        return spent

    def remove(self) -> None:
        """Delete it: everything is in the store."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _held(folder: Path, timeout_s: float = 0) -> FileLock:
    lock = FileLock(f"{folder}.lock")
    lock.acquire(timeout=timeout_s)
    return lock


@contextmanager
def new_search() -> Iterator[SavedSearch]:
    """A new search's folder, held; one of which nothing was begun is removed at the end."""
    folder = state_folder() / "searches" / f"{time.time_ns():x}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = _held(folder)
    folder.mkdir()
    saved = SavedSearch(folder)
    try:
        yield saved
    finally:
        if saved.opened is None:
            saved.remove()
        _release(lock, folder)


@contextmanager
def held_search(folder: Path) -> Iterator[SavedSearch]:
    """An earlier search's folder, held.

    Raises:
        LeighError: Another process holds it.
    """
    try:
        # Other commands hold it for a moment, to see that nobody does.
        lock = _held(folder, _MOMENT_S)
    except Timeout:
        raise LeighError(f"The search {folder.name} runs already; wait for its end, or stop it first.") from None
    try:
        yield SavedSearch(folder)
    finally:
        _release(lock, folder)


def _release(lock: FileLock, folder: Path) -> None:
    lock.release()
    if not folder.exists():
        Path(lock.lock_file).unlink(missing_ok=True)


def dead_searches() -> list[Path]:
    """Folders of begun searches that no process holds, the newest last; what is left of others is removed."""
    dead = []
    for folder in sorted(path for path in (state_folder() / "searches").glob("*") if path.is_dir()):
        try:
            lock = _held(folder)
        except Timeout:
            continue
        saved = SavedSearch(folder)
        if saved.opened is None:
            saved.remove()
        else:
            dead.append(folder)
        _release(lock, folder)
    return dead
