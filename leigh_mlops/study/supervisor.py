"""The driver's side of a search, which restarts its process when it dies and resumes from the journal."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType

from rich.console import Console

from leigh_mlops.errors import LeighError, StoppedError
from leigh_mlops.events import Ended, EpochDone, Searched, Started, TrialEvent
from leigh_mlops.search import SearchProcess, SearchRequest
from leigh_mlops.search.cluster_start import StartPatience, describe_load
from leigh_mlops.search.request import (
    EventHandler,
    Heartbeat,
    ProcessFailure,
    SearchCompletion,
    SearchPlan,
    SearchRefusal,
    SearchStart,
    StartFailure,
)
from leigh_mlops.settings import SearchSpace
from leigh_mlops.study.checkpoints import drop_checkpoints, flush_checkpoint
from leigh_mlops.trials import Journal, Trial, collect_trials, update_trials

__all__ = ["Supervisor"]

RESTART_WAIT_S = 1.0
_MAX_DEATHS = 5
_SECONDS_BETWEEN_LINES = 20.0


class Supervisor:
    """Runs searches in a process that may die at any moment, and restarts it.

    Args:
        journal: Journal to which every event is written first.
        console: Console to print to.
        process: Search process; it is started if it does not run.
    """

    def __init__(self, journal: Journal, console: Console, process: SearchProcess) -> None:
        self.journal, self.console, self.process = journal, console, process
        self._signals: list[int] = []
        self._announced: set[str] = set()

    def search(
        self, plan: SearchPlan, handle: EventHandler, announce: Callable[[SearchStart], None] = lambda start: None
    ) -> dict[str, list[Trial]]:
        """Search some families, or the rest of them according to the journal.

        Args:
            plan: Request of each family; its folder gets a number for each start.
            handle: Called with each new event, after the journal.
            announce: Called when the search of a family starts for the first time.

        Returns:
            All trials of each family in the order in which they were drawn.

        Raises:
            StoppedError: A signal stopped it; what ran is saved.
            LeighError: The cluster or the disk can't be used, the process died again and again, or Ray did not start.
        """
        deaths = 0
        patience = StartPatience(self.console, self.process.start_patience_s, self._pause)
        deadline = None if plan.time_budget_s is None else time.monotonic() + plan.time_budget_s
        with self._handle_signals():
            while requests := [request for request in plan.requests if not self._is_searched(request)]:
                left = None if deadline is None else max(1.0, deadline - time.monotonic())
                before = self._progress()
                result = self._attempt(SearchPlan(requests, left), handle, announce)
                self._raise_if_stopped()
                match result:
                    case StartFailure(reason):
                        patience.wait(reason)
                    case ProcessFailure(reason):
                        patience.reset()
                        deaths = 1 if self._progress() > before else deaths + 1
                        self._restart_after_death(deaths, reason)
        families = [request.space.family for request in plan.requests]
        return {family: list(collect_trials(self.journal.events, family).values()) for family in families}

    def _is_searched(self, request: SearchRequest) -> bool:
        return self.journal.find_first(Searched, family=request.space.family) is not None

    def _progress(self) -> int:
        return sum(isinstance(event, EpochDone | Ended) for event in self.journal.events)

    def _attempt(
        self, plan: SearchPlan, handle: EventHandler, announce: Callable[[SearchStart], None]
    ) -> ProcessFailure | StartFailure | None:
        """Search until the end, or until the process dies; return why it did."""
        start = len(self.journal.events)
        trials = {family: collect_trials(self.journal.events, family) for family in plan.spaces}
        requests = [self._begin_request(request, start, trials[request.space.family]) for request in plan.requests]
        self.process.start()
        self.process.send(replace(plan, requests=requests))
        stop_sent, begin, families = False, time.monotonic(), set(trials)
        for message in self.process.messages():
            if self._signals and not stop_sent:
                stop_sent = True
                self.process.stop()
            match message:
                case Heartbeat():
                    begin = self._report_start(begin)
                case SearchStart(family):
                    if family not in self._announced:
                        announce(message)
                    self._announced.add(family)
                case TrialEvent():
                    self._record_event(message, plan.spaces[message.family], trials[message.family])
                    handle(message)
                case SearchCompletion(family, how):
                    if how != "stopped" and not all(trial.has_ended for trial in trials[family].values()):
                        self.process.terminate()
                        return ProcessFailure()
                    if how != "stopped":
                        self.journal.append(Searched(family, how))
                    families.remove(family)
                    if not families:
                        return None
                case SearchRefusal(reason):
                    raise LeighError(reason)
                case ProcessFailure() | StartFailure():
                    self.process.terminate()
                    return message
        failure = ProcessFailure() if self.process.is_ready else StartFailure(self.process.describe_end())
        self.process.terminate()
        return failure

    def _begin_request(self, request: SearchRequest, start: int, trials: dict[int, Trial]) -> SearchRequest:
        self.journal.append(Started(request.space.family, start))
        folder = request.folder.with_name(f"{request.folder.name}-{start}")
        return replace(request, folder=folder, trials=list(trials.values()))

    def _report_start(self, last_line: float) -> float:
        """Print now and then that Ray is still starting; return the time of the last line."""
        if self.process.is_ready or time.monotonic() < last_line + _SECONDS_BETWEEN_LINES:
            return last_line
        self.console.print(f"  waiting for Ray to start ({describe_load()})", markup=False)
        return time.monotonic()

    def _record_event(self, event: TrialEvent, space: SearchSpace, trials: dict[int, Trial]) -> None:
        if isinstance(event, EpochDone):
            flush_checkpoint(Path(event.checkpoint))
        self.journal.append(event)
        update_trials(trials, event)
        if isinstance(event, Ended):
            drop_checkpoints(space, trials.values())

    def _restart_after_death(self, deaths: int, reason: str) -> None:
        why = f" ({reason})" if reason else ""
        if deaths >= _MAX_DEATHS:
            raise LeighError(
                f"The search's process died {deaths} times without finishing an epoch{why}; check the machine's "
                "memory, then continue with --resume."
            )
        self.console.print(
            f"  the search's process died{why}; restarting it where it stopped", style="yellow", markup=False
        )
        self._pause(RESTART_WAIT_S * 2 ** (deaths - 1))

    def _pause(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self._signals:
            time.sleep(0.05)
        self._raise_if_stopped()

    def _raise_if_stopped(self) -> None:
        if self._signals:
            raise StoppedError(self._signals[-1])

    @contextmanager
    def _handle_signals(self) -> Iterator[None]:
        """Let running epochs finish at Ctrl-C or SIGTERM; a second signal stops at once."""

        def handle(number: int, frame: FrameType | None) -> None:
            self._signals.append(number)
            if len(self._signals) == 1:
                self.console.print("  stopping after the running epochs are saved; interrupt again to stop at once")
            else:
                self.process.kill_group()

        before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
