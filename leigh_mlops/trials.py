"""Trials of a search, and the journal of events that holds the whole state of the search."""

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from leigh_mlops.errors import LeighError
from leigh_mlops.events import Config, Drawn, Ended, EpochDone, Event, Metrics, TrialEvent, format_trial_name

__all__ = ["END_STATES", "Journal", "Trial", "collect_trials", "update_trials"]

E = TypeVar("E", bound=Event)

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
        threads: CPU threads that train it.
    """

    family: str
    number: int
    config: Config
    epochs: list[Metrics] = field(default_factory=list)
    best_epoch: int = 0
    best: Metrics = field(default_factory=dict)
    checkpoint: Path | None = None
    state: str = "drawn"
    error: str | None = None
    threads: int = 1

    @property
    def name(self) -> str:
        """Name of the trial, such as ``resnext-1``."""
        return format_trial_name(self.family, self.number)

    @property
    def has_ended(self) -> bool:
        """Return whether the trial has ended, so that nothing more is to be done for it."""
        return self.state in END_STATES

    @property
    def seconds(self) -> float:
        """Time that its epochs took."""
        return sum(epoch.get("train/seconds", 0.0) for epoch in self.epochs)

    def apply_event(self, event: TrialEvent) -> bool:
        """Apply an event of this trial; an epoch that is known already, or an event after the end, changes nothing.

        Returns:
            Whether the event changed the trial.
        """
        if self.has_ended:
            return False
        match event:
            case EpochDone() if event.epoch > len(self.epochs):
                self.epochs.append(event.metrics)
                self.best_epoch, self.best = event.best_epoch, event.best
                self.config, self.checkpoint = event.config, Path(event.checkpoint)
            case Ended():
                self.state, self.error = event.state, event.error
            case _:
                return False
        return True


def update_trials(trials: dict[int, Trial], event: TrialEvent) -> bool:
    """Apply an event to the trials of its family, by number; return whether it changed them."""
    if isinstance(event, Drawn) and event.number not in trials:
        trials[event.number] = Trial(event.family, event.number, event.config, threads=event.threads or 1)
        return True
    return trials[event.number].apply_event(event)


def collect_trials(events: Iterable[Event], family: str) -> dict[int, Trial]:
    """Collect the trials of one family, by number, from a journal's events."""
    trials: dict[int, Trial] = {}
    for event in events:
        if isinstance(event, TrialEvent) and event.family == family:
            update_trials(trials, event)
    return trials


class Journal:
    """Append-only file of JSON lines; each is on disk before it is acted on, and an incomplete last line is dropped.

    One process writes at a time: the process that opens a journal holds the lock of its search.

    Args:
        path: Its file; created where it does not exist yet.

    Raises:
        LeighError: A line is no event.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._cut_torn_line()
        self.events = list(self._read())

    def append(self, event: Event) -> None:
        """Append an event.

        Raises:
            LeighError: The disk is full, or the file can't be written; the journal is as before then.
        """
        line = (json.dumps(event.to_json()) + "\n").encode()
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
                f"{self.path} can't be written ({error.strerror or error}); free space, then continue with --resume."
            ) from None
        self.events.append(event)

    def find_first(self, kind: type[E], **facts: object) -> E | None:
        """Find the first event of a kind with the given facts, if there is one."""
        for event in self.events:
            if isinstance(event, kind) and all(getattr(event, key) == value for key, value in facts.items()):
                return event
        return None

    def _cut_torn_line(self) -> None:
        if not self.path.exists():
            return
        content = self.path.read_bytes()
        if not content.endswith(b"\n"):
            os.truncate(self.path, content.rfind(b"\n") + 1)

    def _read(self) -> Iterator[Event]:
        if not self.path.exists():
            return
        with self.path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                try:
                    yield Event.from_json(json.loads(line))
                except ValueError as error:
                    raise LeighError(
                        f"{self.path}:{number} can't be read ({error}); move {self.path.parent} away to give this "
                        "search up."
                    ) from None
