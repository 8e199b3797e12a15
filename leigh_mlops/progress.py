"""Progress of long work: a bar in a terminal, an occasional line in a log file, and the name of a long step."""

import threading
import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

__all__ = ["Progress", "Steps"]

SECONDS_BETWEEN_LINES = 30.0
SECONDS_OF_SILENCE = 15.0


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


class Steps:
    """Names of the steps of some work, printed while a step takes long; a context manager.

    Args:
        console: Where to print them.
        what: Description of the work.
        total: Number of steps; None where it is not known.
    """

    def __init__(self, console: Console, what: str, total: int | None = None) -> None:
        self.console = console
        self._what, self._total = what, total
        self._step, self._number, self._begin = "", 0, time.monotonic()
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> "Steps":
        self._end.clear()
        self._thread = threading.Thread(target=self._print_regularly, name="steps", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._end.set()
        if self._thread is not None:
            self._thread.join()

    def begin(self, step: str) -> None:
        """Begin the next step, which ends the one before; one without a name is not printed."""
        self._step, self._number, self._begin = step, self._number + 1, time.monotonic()

    def _print_regularly(self) -> None:
        while not self._end.wait(SECONDS_OF_SILENCE):
            self._print_step()

    def _print_step(self) -> None:
        seconds = time.monotonic() - self._begin
        place = "" if self._total is None else f", step {self._number} of {self._total}"
        if self._step:
            self.console.print(f"  {self._what}: {self._step}{place} ({seconds:.0f} s)", markup=False)
