"""The driver's side of a search: its process is started again when it dies, and the journal knows what is left."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import FrameType

from rich.console import Console

from leigh_mlops.errors import LeighError
from leigh_mlops.search import STOP, SearchRequest, serve
from leigh_mlops.trials import Event, Journal, Trial, trials_of

__all__ = ["StoppedError", "Supervisor"]

SILENCE_S = 120.0
START_S = 180.0
PATIENCE_S = 1.0
_DEATHS = 5


class StoppedError(KeyboardInterrupt):
    """The user stopped the search; what ran is saved."""


@dataclass
class _Worker:
    """The process that runs Ray Tune, and the driver's end of its pipe."""

    process: BaseProcess
    pipe: Connection
    heard: float = field(default_factory=time.monotonic)
    patience: float = field(default_factory=lambda: START_S)

    def messages(self) -> Iterator[Event]:
        """What it sends, until it dies or falls silent; what it sent before is not lost."""
        self.heard = time.monotonic()
        with suppress(EOFError, OSError):
            while True:
                if self.pipe.poll(0.5):
                    message = self.pipe.recv()
                    self.heard, self.patience = time.monotonic(), SILENCE_S
                    yield message
                elif time.monotonic() > self.heard + self.patience:
                    return
                else:
                    yield {"what": "alive"}

    def kill_group(self) -> None:
        """End it and all that it started, and wait for nothing: safe in the handler of a signal."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(int(self.process.pid or 0), signal.SIGKILL)

    def kill(self) -> None:
        """End it and all that it started."""
        self.kill_group()
        self.process.kill()
        self.process.join()
        self.pipe.close()


class Supervisor:
    """Runs searches in a process that may die at any moment; a context manager.

    Args:
        journal: Where every event goes before anything else is done about it.
        console: Where words go.
        address: Ray cluster; by default this machine.
        workers: Most trials at once.
        verbose: Let Ray speak.
    """

    def __init__(
        self,
        journal: Journal,
        console: Console,
        *,
        address: str | None = None,
        workers: int | None = None,
        verbose: bool = False,
    ) -> None:
        self.journal, self.console = journal, console
        self._arguments = (address, workers, verbose)
        self._worker: _Worker | None = None
        self._stops = 0
        self._reason = ""

    def __enter__(self) -> "Supervisor":
        return self

    def __exit__(self, *error: object) -> None:
        self.end()

    def begin(self) -> None:
        """Start the process, which takes some seconds, while other things are done."""
        self._living()

    def end(self) -> None:
        """End the process and all that it started; the next search starts another."""
        if self._worker is not None:
            self._worker.kill()
            self._worker = None

    def search(self, request: SearchRequest, hear: Callable[[Event], None]) -> list[Trial]:
        """Search one family, or what the journal leaves of it.

        Args:
            request: What to search; its folder gets a number for each start.
            hear: Hears of what is new, after the journal.

        Returns:
            All trials in the order in which they were drawn.

        Raises:
            StoppedError: The user stopped it.
            LeighError: The cluster or the disk can't be used, or the process died again and again.
        """
        family, deaths = request.space.family, 0
        deadline = None if request.time_budget_s is None else time.monotonic() + request.time_budget_s
        with self._signals():
            while self.journal.first("searched", family=family) is None:
                left = None if deadline is None else max(1.0, deadline - time.monotonic())
                before = self._progress()
                how = self._attempt(replace(request, time_budget_s=left), hear)
                if self._stops:
                    raise StoppedError
                if how is not None:
                    self.journal.append("searched", family=family, how=how)
                    break
                deaths = 1 if self._progress() > before else deaths + 1
                self._mourn(deaths)
        return list(trials_of(self.journal.events, family).values())

    def _progress(self) -> int:
        return sum(event["what"] in ("epoch", "ended") for event in self.journal.events)

    def _attempt(self, request: SearchRequest, hear: Callable[[Event], None]) -> str | None:
        """Search until the end, which it returns, or until the process is gone."""
        family = request.space.family
        start = self.journal.append("started", family=family, start=len(self.journal.events))["start"]
        known = list(trials_of(self.journal.events, family).values())
        worker = self._living()
        place = request.folder.with_name(f"{request.folder.name}-{start}")
        with suppress(OSError):
            worker.pipe.send(replace(request, folder=place, trials=known))
        trials, asked = {trial.number: trial for trial in known}, False
        for message in worker.messages():
            if self._stops and not asked:
                asked = True
                with suppress(OSError):
                    worker.pipe.send(STOP)
            if message["what"] == "done":
                over = all(trial.over for trial in trials.values())
                return message["how"] if over or message["how"] == "stopped" else None
            if message["what"] == "refused":
                raise LeighError(message["reason"])
            if message["what"] == "broken":
                self._reason = message["reason"]
                break
            if message["what"] != "alive":
                hear(self._kept(message, trials))
        self.end()
        return None

    def _kept(self, message: Event, trials: dict[int, Trial]) -> Event:
        event = self.journal.append(**message)
        if event["what"] == "drawn":
            trials[event["number"]] = Trial(event["family"], event["number"], event["config"])
        else:
            trials[event["number"]].take(event)
        return event

    def _living(self) -> _Worker:
        """The process, started where there is none."""
        if self._worker is None:
            context = multiprocessing.get_context("spawn")
            ours, theirs = context.Pipe()
            process = context.Process(target=serve, args=(theirs, *self._arguments), name="search")
            process.start()
            theirs.close()
            self._worker = _Worker(process, ours)
        return self._worker

    def _mourn(self, deaths: int) -> None:
        why = f" ({self._reason})" if self._reason else ""
        if deaths >= _DEATHS:
            raise LeighError(
                f"The search's process died {deaths} times without finishing an epoch{why}; look at the machine's "
                "memory, then go on with --resume."
            )
        self.console.print(f"  the search's process died{why}; it goes on where it was", style="yellow", markup=False)
        self._reason = ""
        wait = time.monotonic() + PATIENCE_S * 2 ** (deaths - 1)
        while time.monotonic() < wait and not self._stops:
            time.sleep(0.05)
        if self._stops:
            raise StoppedError

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Ctrl-C and SIGTERM let the epochs that run end; a second one stops at once."""

        def handle(number: int, frame: FrameType | None) -> None:
            self._stops += 1
            if self._stops == 1:
                self.console.print("  stopping when the epochs that run are saved; once more stops at once")
            elif self._worker is not None:
                self._worker.kill_group()

        before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
