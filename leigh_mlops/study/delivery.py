"""Delivery of the journal to the store by a thread that catches up when the store answers and never blocks a trial."""

import json
import math
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from leigh_mlops.errors import LeighError
from leigh_mlops.events import CURVES, Drawn, Ended, EpochDone, Event, Metrics, Paused, Resumed
from leigh_mlops.models import MODELS
from leigh_mlops.study.trial_notes import drawn_note, ended_note
from leigh_mlops.tracking import NOTE, Measurement, Run, Store, StoreUnavailableError
from leigh_mlops.trials import Journal

__all__ = ["Delivery", "kept_step"]

_AT_ONCE = 500
_LONGEST_WAIT_S = 15.0
_LONGEST_TAG = 500


class Delivery:
    """Context manager that writes one run per trial below a search's run.

    All that it writes, times included, follows from the journal, so that delivery is idempotent. The number of
    delivered events is stored in a file, for a search that is resumed.

    Args:
        journal: Journal of the search.
        store: Store of the runs.
        parent: The search's run.
        facts: Tags of every run.
        spaces: Settings of each family's search, as in the journal.
        done: File that stores the number of delivered events.
    """

    def __init__(
        self,
        journal: Journal,
        store: Store,
        parent: Run,
        *,
        facts: Mapping[str, object],
        spaces: Mapping[str, Mapping[str, Any]],
        done: Path,
    ) -> None:
        self.journal, self.store, self.parent = journal, store, parent
        self.facts, self.spaces = dict(facts), dict(spaces)
        self.refused: list[str] = []
        self.problem = ""
        self._done = done
        self._position = _delivered_count(done, parent)
        self._runs: dict[str, Run] | None = None
        self._drawn = {event.trial_name: event for event in journal.events if isinstance(event, Drawn)}
        delivered = journal.events[: self._position]
        self._latest = {event.trial_name: event for event in delivered if isinstance(event, EpochDone)}
        self._ended = {event.trial_name for event in delivered if isinstance(event, Ended)}
        self._more = threading.Condition()
        self._closing = False
        self._is_over = False
        self._thread = threading.Thread(target=self._work, name="delivery", daemon=True)

    def __enter__(self) -> "Delivery":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        with self._more:
            self._closing = True
            self._more.notify_all()
        self._thread.join(timeout=_LONGEST_WAIT_S)
        # A thread that still waits for an answer must not write beside the delivery of whoever continues the search.
        self._is_over = True

    @property
    def waiting(self) -> int:
        """Events that are not in the store yet."""
        return len(self.journal.events) - self._position

    @property
    def _data_name(self) -> str:
        return str(self.facts["data"])

    @property
    def native_id(self) -> int:
        """Native id of the delivery thread."""
        return self._thread.native_id or 0

    def wake(self) -> None:
        """Notify the thread of new events in the journal."""
        with self._more:
            self._more.notify_all()

    def flush(self, timeout_s: float) -> bool:
        """Wait until all events are delivered, at most until the timeout; return whether they are."""
        deadline = time.monotonic() + timeout_s
        self.wake()
        while self.waiting and self._thread.is_alive() and time.monotonic() < deadline:
            time.sleep(0.02)
        return not self.waiting

    def run(self, name: str) -> Run:
        """Return a trial's run, started first if the store has none.

        Raises:
            StoreUnavailableError: The store does not answer.
        """
        if name not in self._known_runs():
            self._log_params(self._start(self._drawn[name]), self._drawn[name])
        return self._known_runs()[name]

    def _work(self) -> None:
        wait = 0.0
        while self._wait_for_work(wait):
            try:
                self._deliver(self.journal.events[self._position : self._position + _AT_ONCE])
                wait = 0.0
            except StoreUnavailableError:
                self._runs = None  # the last request may have arrived or not
                wait = min(_LONGEST_WAIT_S, 2 * wait or 0.5)
            except Exception as error:
                # If the thread ended here, all further events would be lost.
                self._runs, self.problem = None, f"{type(error).__name__}: {error}"
                wait = min(_LONGEST_WAIT_S, 2 * wait or 0.5)

    def _wait_for_work(self, wait: float) -> bool:
        """Sleep until there are events, or after an outage for ``wait`` seconds; return whether to continue."""
        with self._more:
            if wait:
                self._more.wait_for(lambda: self._closing, timeout=wait)
                return not self._closing
            self._more.wait_for(lambda: self._closing or self.waiting)
            return bool(self.waiting)

    def _deliver(self, events: Sequence[Event]) -> None:
        """Deliver some events, the metrics of a run in one request."""
        measured: defaultdict[str, list[Measurement]] = defaultdict(list)
        later: list[Ended | Paused | Resumed] = []
        latest = dict(self._latest)
        for event in events:
            match event:
                case Drawn():
                    self._begin(event)
                case EpochDone():
                    before = latest.get(event.trial_name)
                    measured[event.trial_name] += self._curves(event) + _kept_measurements(event, before)
                    latest[event.trial_name] = event
                case Ended() | Paused() | Resumed():
                    later.append(event)
        for name, measurements in measured.items():
            self._try_step(partial(self._log_measurements, name, measurements))
        ended = set(self._ended)
        for event in later:
            if isinstance(event, Ended):
                self._end(event, latest.get(event.trial_name))
                ended.add(event.trial_name)
            else:
                self._interrupt(event, ended)
        self._check_open()
        temporary = self._done.with_suffix(".part")
        temporary.write_text(json.dumps({"run": self.parent.id, "events": self._position + len(events)}))
        os.replace(temporary, self._done)
        self._latest, self._ended = latest, ended
        self._position += len(events)

    def _try_step(self, step: Callable[[], object]) -> None:
        """Run a step; note a refusal by the store, which would be repeated, and continue."""
        try:
            self._check_open()
            step()
        except StoreUnavailableError:
            raise
        except LeighError as error:
            self.refused.append(str(error))

    def _check_open(self) -> None:
        if self._is_over:
            raise StoreUnavailableError("The delivery is over; the rest follows when the search continues.")

    def _known_runs(self) -> dict[str, Run]:
        if self._runs is None:
            self._runs = self.store.children(self.parent)
        return self._runs

    def _begin(self, event: Drawn) -> None:
        """Start the run of a trial; one that exists may have been interrupted before it had its parameters."""
        self._drawn[event.trial_name] = event
        self._try_step(lambda: self._log_params(self._known_runs().get(event.trial_name) or self._start(event), event))

    def _start(self, event: Drawn) -> Run:
        space = self.spaces[event.family]
        tags = {"model": event.family, "trial": event.number, "task": MODELS[event.family].task} | self.facts
        note = drawn_note(space, self._data_name, event)
        run = self.store.start(event.trial_name, parent=self.parent, at=event.time, note=note, **tags)
        self._known_runs()[event.trial_name] = run
        return run

    def _log_params(self, run: Run, event: Drawn) -> None:
        params = {"family": event.family, "image_size": self.spaces[event.family]["image_size"]} | event.config
        self._try_step(lambda: run.log_params(params))

    def _curves(self, event: EpochDone) -> list[Measurement]:
        """An epoch's metrics, with the hyperparameters that a population has changed since the trial was drawn."""
        drawn = self._drawn[event.trial_name].config
        changed = {
            f"population/{key}": value
            for key, value in event.config.items()
            if isinstance(value, int | float) and drawn[key] != value
        }
        curves = {f"{CURVES}{name}": value for name, value in _finite_metrics(event.metrics).items()}
        return [Measurement(name, value, event.epoch, event.time) for name, value in (curves | changed).items()]

    def _log_measurements(self, name: str, measurements: Sequence[Measurement]) -> None:
        self.run(name).log_measurements(measurements)

    def _end(self, event: Ended, latest: EpochDone | None) -> None:
        name, failed = event.trial_name, event.state == "failed"
        tags: dict[str, object] = {"error": (event.error or "")[:_LONGEST_TAG], "stopped": event.stopped}
        tags[NOTE] = ended_note(self.spaces[event.family], self._data_name, latest, event)
        if latest is not None:
            self._try_step(lambda: self.run(name).log_metrics({"seconds": event.seconds}, at=event.time))
            tags["best_epoch"] = latest.best_epoch
        self._try_step(lambda: self.run(name).set_tags(tags))
        if trace := event.trace:
            self._try_step(lambda: self.run(name).log_text(trace, "error.txt"))
        self._try_step(lambda: self.run(name).end("FAILED" if failed else "FINISHED", at=event.time))

    def _interrupt(self, event: Paused | Resumed, ended: Collection[str]) -> None:
        """End open runs when the search is paused, and resume them when it is resumed.

        Args:
            event: The pause or its end.
            ended: Names of the trials that had ended before, although more may have by the time of the delivery.
        """
        open_runs = [run for name, run in self._known_runs().items() if name in self._drawn and name not in ended]
        for run in [self.parent, *open_runs]:
            if isinstance(event, Resumed):
                self._try_step(partial(run.remove_tag, "error"))
                self._try_step(run.resume)
            else:
                self._try_step(partial(run.set_tags, {"error": event.reason[:_LONGEST_TAG]}))
                self._try_step(partial(run.end, event.status, at=event.time))


def kept_step(epochs: Sequence[EpochDone]) -> int:
    """Step of the metrics of the network that a trial keeps, from all its epochs.

    It is the best epoch; in a population, where a network may come from another member, the epoch since which it is
    kept.
    """
    pairs = zip(epochs, [None, *epochs], strict=False)
    return max(event.epoch for event, before in pairs if _kept_measurements(event, before))


def _kept_measurements(event: EpochDone, before: EpochDone | None) -> list[Measurement]:
    """Metrics of the network that is kept, if it is another one than after the epoch before.

    Their step is the epoch since which it is kept, so that the latest value in the store is the kept network's: also
    that of a metric which only an earlier network had, of which NaN says that there is none any more.
    """
    kept = _finite_metrics(event.best)
    earlier = {} if before is None else _finite_metrics(before.best)
    if before is not None and (event.best_epoch, kept) == (before.best_epoch, earlier):
        return []
    metrics = dict.fromkeys(earlier, math.nan) | kept
    return [Measurement(name, value, event.epoch, event.time) for name, value in metrics.items()]


def _finite_metrics(metrics: Metrics) -> Metrics:
    return {name: value for name, value in metrics.items() if math.isfinite(value)}


def _delivered_count(done: Path, parent: Run) -> int:
    """Number of delivered events in a run's file; 0 if it is another run's or truncated."""
    try:
        about = json.loads(done.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return 0
    return int(about["events"]) if about["run"] == parent.id else 0
