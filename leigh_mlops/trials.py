"""Trials of a search, and the journal of events that holds the whole state of the search."""

import json
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from leigh_mlops.errors import LeighError

__all__ = ["END_STATES", "Event", "Journal", "Trial", "collect_trials"]

Event = dict[str, Any]
"""One line of a journal: ``what`` happened, to which ``family`` and ``number``, and at what ``time`` (s since 1970)."""

END_STATES = ("finished", "failed")
"""States of a trial that has ended; any other trial continues when its search is resumed."""


@dataclass
class Trial:
    """One trial of a family's search.

    Attributes:
        family: Family of its network.
        number: Its place, from 1, in the order in which trials are drawn; 1 is the published configuration.
        config: Flat hyperparameters; a population changes them between epochs.
        epochs: Metrics of every epoch, in order.
        best_epoch: The epoch that is kept, from 1; 0 where there is none.
        best: Metrics of that epoch.
        checkpoint: Folder with its last state and best weights.
        state: ``drawn``, ``finished`` or ``failed``.
        error: Why it failed, if it did.
    """

    family: str
    number: int
    config: dict[str, Any]
    epochs: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    best: dict[str, float] = field(default_factory=dict)
    checkpoint: Path | None = None
    state: str = "drawn"
    error: str | None = None

    @property
    def name(self) -> str:
        """Name of the trial, such as ``resnext-1``."""
        return f"{self.family}-{self.number}"

    @property
    def has_ended(self) -> bool:
        """Return whether the trial has ended, so that nothing more is to be done for it."""
        return self.state in END_STATES

    @property
    def seconds(self) -> float:
        """Time that its epochs took."""
        return sum(epoch.get("train/seconds", 0.0) for epoch in self.epochs)

    def apply_event(self, event: Event) -> bool:
        """Apply an event of this trial; an epoch that is known already, or an event after the end, changes nothing.

        Returns:
            Whether the event changed the trial.
        """
        if self.has_ended:
            return False
        if event["what"] == "epoch":
            if event["epoch"] <= len(self.epochs):
                return False
            self.epochs.append(event["metrics"])
            self.best_epoch, self.best = event["best_epoch"], event["best"]
            self.config, self.checkpoint = event["config"], Path(event["checkpoint"])
        elif event["what"] == "ended":
            self.state, self.error = event["state"], event.get("error")
        return True


def collect_trials(events: Iterable[Event], family: str) -> dict[int, Trial]:
    """Collect the trials of one family, by number, from a journal's events."""
    trials: dict[int, Trial] = {}
    for event in events:
        if event.get("family") != family:
            continue
        if event["what"] == "drawn":
            trials.setdefault(event["number"], Trial(family, event["number"], event["config"]))
        elif "number" in event:
            trials[event["number"]].apply_event(event)
    return trials


class Journal:
    """Append-only file of JSON lines; each is on disk before it is acted on, and an incomplete last line is dropped.

    One process writes at a time: the process that opens a journal holds the lock of its search.

    Args:
        path: Its file; created where it does not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._cut_torn_line()
        self.events = list(self._read())

    def append(self, what: str, **facts: Any) -> Event:  # noqa: ANN401
        """Append an event and return it with its time.

        Raises:
            LeighError: The disk is full, or the file can't be written; the journal is as before then.
        """
        event = {"what": what, "time": time.time()} | facts
        line = (json.dumps(event) + "\n").encode()
        size = self.path.stat().st_size if self.path.exists() else 0
        try:
            with self.path.open("ab", buffering=0) as file:
                written = file.write(line)
                os.fsync(file.fileno())
            if written < len(line):
                raise OSError("there is no space left")
        except OSError as error:
            if self.path.exists():
                os.truncate(self.path, size)
            raise LeighError(
                f"{self.path} can't be written ({error.strerror or error}); make space, then go on with --resume."
            ) from None
        self.events.append(event)
        return event

    def find_first(self, what: str, **facts: Any) -> Event | None:  # noqa: ANN401
        """Find the first event of a kind with the given facts, if there is one."""
        wanted = {"what": what} | facts
        return next((event for event in self.events if wanted.items() <= event.items()), None)

    def _cut_torn_line(self) -> None:
        if not self.path.exists():
            return
        content = self.path.read_bytes()
        if not content.endswith(b"\n"):
            os.truncate(self.path, content.rfind(b"\n") + 1)

    def _read(self) -> Iterator[Event]:
        if self.path.exists():
            with self.path.open(encoding="utf-8") as file:
                for line in file:
                    yield json.loads(line)
