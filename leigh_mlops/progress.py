"""Progress of long work: a bar in a terminal, an occasional line in a log file."""

import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

__all__ = ["Progress"]

SECONDS_BETWEEN_LINES = 30.0


class Progress:
    """Progress display that counts the steps of some work; a context manager.

    Args:
        console: Where to show it.
        what: Description of the work.
        total: Number of steps.
    """

    def __init__(self, console: Console, what: str, total: int) -> None:
        self.console = console
        columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bar = Bar(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._bar.add_task(what, total=total)
        self._what, self._total, self._done = what, total, 0
        self._last_line_time = time.monotonic()

    def __enter__(self) -> "Progress":
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def advance(self, steps: int = 1, what: str | None = None) -> None:
        """Add finished steps; ``what`` changes the description."""
        self._done += steps
        self._what = what or self._what
        self._bar.update(self._task, completed=self._done, description=self._what)
        if not self.console.is_terminal and time.monotonic() >= self._last_line_time + SECONDS_BETWEEN_LINES:
            self._last_line_time = time.monotonic()
            self.console.print(f"  {self._what}: {self._done} of {self._total}", markup=False)
