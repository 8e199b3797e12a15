"""From the journal to the store: a thread that catches up whenever the store answers, and never holds up a trial."""

import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from leigh_mlops.errors import LeighError
from leigh_mlops.tracking import Measured, Run, Store, StoreAwayError
from leigh_mlops.trials import Event, Journal

__all__ = ["Delivery"]

_AT_ONCE = 500
_LONGEST_WAIT_S = 15.0
_IMAGE_SIZE = "image_size"


class Delivery:
    """Writes one run per trial below a search's run; a context manager.

    What it writes follows from the journal, moments included, so that a part delivered twice stands there once. How
    far it is stands in a file, for a search that goes on.

    Args:
        journal: What happened.
        store: Where the runs are.
        parent: The search's run.
        facts: Tags of every run.
        image_sizes: Side in pixels by family.
        done: File that keeps the number of delivered events.
    """

    def __init__(
        self,
        journal: Journal,
        store: Store,
        parent: Run,
        *,
        facts: Mapping[str, Any],
        image_sizes: Mapping[str, int],
        done: Path,
    ) -> None:
        self.journal, self.store, self.parent = journal, store, parent
        self.facts, self.image_sizes = dict(facts), dict(image_sizes)
        self.refused: list[str] = []
        self._done = done
        self._position = int(done.read_text()) if done.exists() else 0
        self._runs: dict[str, Run] | None = None
        self._drawn = {_name(event): event["config"] for event in journal.events if event["what"] == "drawn"}
        self._latest = {_name(event): event for event in journal.events if event["what"] == "epoch"}
        self._more = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="delivery", daemon=True)

    def __enter__(self) -> "Delivery":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        with self._more:
            self._closing = True
            self._more.notify_all()
        self._thread.join(timeout=_LONGEST_WAIT_S)

    @property
    def waiting(self) -> int:
        """Events that are not in the store yet."""
        return len(self.journal.events) - self._position

    @property
    def native_id(self) -> int:
        """The operating system's number of its thread."""
        return self._thread.native_id or 0

    def wake(self) -> None:
        """There is something new in the journal."""
        with self._more:
            self._more.notify_all()

    def flush(self, timeout_s: float) -> bool:
        """Wait until all is delivered, or for so long; returns whether it is."""
        deadline = time.monotonic() + timeout_s
        self.wake()
        while self.waiting and self._thread.is_alive() and time.monotonic() < deadline:
            time.sleep(0.02)
        return not self.waiting

    def run(self, name: str) -> Run:
        """A trial's run; everything must be delivered.

        Raises:
            StoreAwayError: The store does not answer.
        """
        return self._known()[name]

    def _work(self) -> None:
        wait = 0.0
        while self._awake(wait):
            try:
                self._deliver(self.journal.events[self._position : self._position + _AT_ONCE])
                wait = 0.0
            except StoreAwayError:
                self._runs = None  # what was asked for last may stand there or not
                wait = min(_LONGEST_WAIT_S, 2 * wait or 0.5)

    def _awake(self, wait: float) -> bool:
        """Sleep until there is something to do, after an outage for so many seconds; returns whether to go on."""
        with self._more:
            if wait:
                self._more.wait_for(lambda: self._closing, timeout=wait)
                return not self._closing
            self._more.wait_for(lambda: self._closing or self.waiting)
            return bool(self.waiting)

    def _deliver(self, events: Sequence[Event]) -> None:
        """Hand over some events, the numbers of a run in one request."""
        measured: defaultdict[str, list[Measured]] = defaultdict(list)
        later: list[Callable[[], None]] = []
        for event in events:
            if event["what"] == "drawn":
                self._begin(event)
            elif event["what"] == "epoch":
                self._latest[_name(event)] = event
                measured[_name(event)] += self._numbers(event)
            elif event["what"] == "ended":
                later.append(lambda event=event: self._end(event))  # type: ignore[misc]
            elif event["what"] in ("paused", "resumed"):
                later.append(lambda event=event: self._interrupt(event))  # type: ignore[misc]
        for name, numbers in measured.items():
            self._try(lambda name=name, numbers=numbers: self._known()[name].log_measured(numbers))  # type: ignore[misc]
        for step in later:
            self._try(step)
        self._position += len(events)
        temporary = self._done.with_suffix(".part")
        temporary.write_text(str(self._position))
        os.replace(temporary, self._done)

    def _try(self, step: Callable[[], None]) -> None:
        """What the store refuses once it would refuse again: it is noted, and the rest goes on."""
        try:
            step()
        except StoreAwayError:
            raise
        except LeighError as error:
            self.refused.append(str(error))

    def _known(self) -> dict[str, Run]:
        if self._runs is None:
            self._runs = self.store.children(self.parent)
        return self._runs

    def _begin(self, event: Event) -> None:
        name, family = _name(event), event["family"]
        self._drawn[name] = event["config"]
        if name not in self._known():
            tags = {"model": family, "trial": event["number"]} | self.facts
            self._known()[name] = self.store.start(name, parent=self.parent, at=event["time"], **tags)
        facts = {"family": family, _IMAGE_SIZE: self.image_sizes[family]}
        self._try(lambda: self._known()[name].log_params(facts | event["config"]))

    def _numbers(self, event: Event) -> list[Measured]:
        """An epoch's metrics, with the hyperparameters that a population has changed since the trial was drawn."""
        drawn = self._drawn[_name(event)]
        changed = {
            f"population/{key}": value
            for key, value in event["config"].items()
            if isinstance(value, int | float) and drawn[key] != value
        }
        numbers = event["metrics"] | changed
        return [Measured(name, value, event["epoch"], event["time"]) for name, value in numbers.items()]

    def _end(self, event: Event) -> None:
        run = self._known()[_name(event)]
        if (latest := self._latest.get(_name(event))) is not None:
            best = {f"best/{name}": value for name, value in latest["best"].items()}
            run.log_metrics(best | {"seconds": event["seconds"]}, at=event["time"])
            run.set_tags({"best_epoch": latest["best_epoch"]})
        if event["state"] == "failed":
            run.set_tags({"error": event["error"][:500]})
        elif "stopped" in event:
            run.set_tags({"stopped": event["stopped"]})
        if event.get("trace"):
            run.log_text(event["trace"], "error.txt")
        run.end("FAILED" if event["state"] == "failed" else "FINISHED", at=event["time"])

    def _interrupt(self, event: Event) -> None:
        """Runs that are open stop with the search, and go on with it."""
        over = {_name(each) for each in self.journal.events if each["what"] == "ended"}
        left = [run for name, run in self._known().items() if name in self._drawn and name not in over]
        for run in [self.parent, *left]:
            if event["what"] == "resumed":
                run.set_tags({"error": ""})
                run.go_on()
            else:
                run.set_tags({"error": event["reason"]})
                run.end(event["status"], at=event["time"])


def _name(event: Event) -> str:
    return f"{event['family']}-{event['number']}"
