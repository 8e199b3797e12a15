"""The driver's side of a search, which restarts its process when it dies and resumes from the journal."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType

from rich.console import Console

from leigh_mlops.errors import LeighError
from leigh_mlops.search import SearchProcess, SearchRequest
from leigh_mlops.study.checkpoints import drop_checkpoints
from leigh_mlops.trials import Event, Journal, Trial, collect_trials

__all__ = ["StoppedError", "Supervisor"]

RESTART_WAIT_S = 1.0
_MAX_DEATHS = 5


class StoppedError(KeyboardInterrupt):
    """The user stopped the search; what ran is saved."""


class Supervisor:
    """Runs searches in a process that may die at any moment, and restarts it.

    Args:
        journal: Journal to which every event is written first.
        console: Console to print to.
        process: Search process; it is started if it does not run.
    """

    def __init__(self, journal: Journal, console: Console, process: SearchProcess) -> None:
        self.journal, self.console, self.process = journal, console, process
        self._stops = 0
        self._reason = ""

    def search(self, request: SearchRequest, hear: Callable[[Event], None]) -> list[Trial]:
        """Search one family, or the rest of it according to the journal.

        Args:
            request: Request of the search; its folder gets a number for each start.
            hear: Called with each new event, after the journal.

        Returns:
            All trials in the order in which they were drawn.

        Raises:
            StoppedError: The user stopped it.
            LeighError: The cluster or the disk can't be used, or the process died again and again.
        """
        family, deaths = request.space.family, 0
        deadline = None if request.time_budget_s is None else time.monotonic() + request.time_budget_s
        with self._handle_signals():
            while self.journal.find_first("searched", family=family) is None:
                left = None if deadline is None else max(1.0, deadline - time.monotonic())
                before = self._progress()
                how = self._attempt(replace(request, time_budget_s=left), hear)
                if self._stops:
                    raise StoppedError
                if how is not None:
                    self.journal.append("searched", family=family, how=how)
                    break
                deaths = 1 if self._progress() > before else deaths + 1
                self._restart_after_death(deaths)
        return list(collect_trials(self.journal.events, family).values())

    def _progress(self) -> int:
        return sum(event["what"] in ("epoch", "ended") for event in self.journal.events)

    def _attempt(self, request: SearchRequest, hear: Callable[[Event], None]) -> str | None:
        """Search until the end and return how it ended; return ``None`` if the process died."""
        family = request.space.family
        start = self.journal.append("started", family=family, start=len(self.journal.events))["start"]
        known = list(collect_trials(self.journal.events, family).values())
        self.process.start()
        place = request.folder.with_name(f"{request.folder.name}-{start}")
        self.process.send(replace(request, folder=place, trials=known))
        trials, asked = {trial.number: trial for trial in known}, False
        for message in self.process.messages():
            if self._stops and not asked:
                asked = True
                self.process.stop()
            if message["what"] == "done":
                over = all(trial.has_ended for trial in trials.values())
                return message["how"] if over or message["how"] == "stopped" else None
            if message["what"] == "refused":
                raise LeighError(message["reason"])
            if message["what"] == "broken":
                self._reason = message["reason"]
                break
            if message["what"] != "alive":
                hear(self._record_event(message, trials))
                if message["what"] == "ended":
                    drop_checkpoints(request.space, trials.values())
        self.process.terminate()
        return None

    def _record_event(self, message: Event, trials: dict[int, Trial]) -> Event:
        event = self.journal.append(**message)
        if event["what"] == "drawn":
            trials[event["number"]] = Trial(event["family"], event["number"], event["config"])
        else:
            trials[event["number"]].apply_event(event)
        return event

    def _restart_after_death(self, deaths: int) -> None:
        why = f" ({self._reason})" if self._reason else ""
        if deaths >= _MAX_DEATHS:
            raise LeighError(
                f"The search's process died {deaths} times without finishing an epoch{why}; look at the machine's "
                "memory, then go on with --resume."
            )
        self.console.print(f"  the search's process died{why}; it goes on where it was", style="yellow", markup=False)
        self._reason = ""
        wait = time.monotonic() + RESTART_WAIT_S * 2 ** (deaths - 1)
        while time.monotonic() < wait and not self._stops:
            time.sleep(0.05)
        if self._stops:
            raise StoppedError

    @contextmanager
    def _handle_signals(self) -> Iterator[None]:
        """Let running epochs finish at Ctrl-C or SIGTERM; a second signal stops at once."""

        def handle(number: int, frame: FrameType | None) -> None:
            self._stops += 1
            if self._stops == 1:
                self.console.print("  stopping when the epochs that run are saved; once more stops at once")
            else:
                self.process.kill_group()

        before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
