"""Events of a search: one frozen dataclass for each kind of line in its journal."""

import dataclasses
import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NotRequired, TypedDict

__all__ = [
    "CURVES",
    "Config",
    "DataFacts",
    "Drawn",
    "Ended",
    "EpochDone",
    "Event",
    "Metrics",
    "Opened",
    "Outcome",
    "Paused",
    "Resumed",
    "Searched",
    "Started",
    "StudySettings",
    "TrialEvent",
    "format_trial_name",
    "kept_metrics",
    "rename_old_metrics",
]

CURVES = "epoch/"
"""Prefix of a run's metrics of each epoch; without it, a trial's metrics are those of the network that is kept."""

_OLD_KEPT = "best/"

Config = dict[str, Any]
"""Flat hyperparameters, JSON values."""

Metrics = dict[str, float]

_Z_PRIME = re.compile(r"(?<![^/])z_prime(?=/|$)")

Outcome = Literal["complete", "time", "stopped"]
"""End of a family's search: all trials are done, its time is over, or the user stopped it."""


def rename_old_metrics(metrics: Mapping[str, float]) -> Metrics:
    """Return metrics by their present names: in version 0.1.0, ``z_prime`` was what ``z_prime_log_odds`` is now.

    Scores hold both or neither since, so that a ``z_prime`` alone is an old one.

    Example:
        >>> rename_old_metrics({"val/wells/z_prime": 0.19})
        {'val/wells/z_prime_log_odds': 0.19}
        >>> rename_old_metrics({"val/z_prime": 0.81, "val/z_prime_log_odds": 0.19})
        {'val/z_prime': 0.81, 'val/z_prime_log_odds': 0.19}
    """
    present = {name: _log_odds_name(name) for name in metrics}
    return {name if present[name] in metrics else present[name]: value for name, value in metrics.items()}


def kept_metrics(metrics: Mapping[str, float]) -> Metrics:
    """Select the metrics of the network that a trial keeps from the latest ones of its run; NaN stands for none.

    In runs of version 0.1.0 they have the prefix ``best/``, and those without it are of the last epoch.

    Example:
        >>> kept_metrics({"epoch/val/mse": 0.9, "val/mse": 0.5, "seconds": 3.0})
        {'val/mse': 0.5, 'seconds': 3.0}
        >>> kept_metrics({"best/val/mse": 0.5, "val/mse": 0.9, "seconds": 3.0})
        {'val/mse': 0.5, 'seconds': 3.0}
    """
    if any(name.startswith(CURVES) for name in metrics):
        kept = {name: value for name, value in metrics.items() if not name.startswith(CURVES)}
        return {name: value for name, value in kept.items() if not math.isnan(value)}
    of_epochs = ("val/", "train/")
    return {name.removeprefix(_OLD_KEPT): value for name, value in metrics.items() if not name.startswith(of_epochs)}


def _log_odds_name(metric: str) -> str:
    return _Z_PRIME.sub("z_prime_log_odds", metric, count=1)


class StudySettings(TypedDict):
    """Settings that determine the result of a study."""

    source: dict[str, Any]
    spaces: list[dict[str, Any]]
    store: str
    seed: int
    time_budget_s: float | None
    line: str
    checkpoints: NotRequired[str]
    judge_by: NotRequired[str]
    first_configs: NotRequired[dict[str, list[Config]]]


class DataFacts(TypedDict):
    """Facts about the data of a study."""

    demo: bool
    data: str
    data_fingerprint: str
    split_fingerprint: str
    git: str


def _read_clock() -> float:
    """Time of the clock; `time.time` itself would be fixed here, and no simulated clock could take its place."""
    return time.time()


@dataclass(frozen=True)
class Event:
    """Event of a search; an instance of no subclass is of a kind that only later versions know.

    Attributes:
        what: Name of the kind in the journal.
        time: Its moment in seconds since 1970.
    """

    what: ClassVar[str] = ""
    time: float = field(default_factory=_read_clock, kw_only=True)

    def to_json(self) -> dict[str, Any]:
        """Line of the journal, in which values that are None are left out."""
        values = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}
        return {"what": self.what} | {key: value for key, value in values.items() if value is not None}

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> "Event":
        """Create the event of a line; keys of later versions are ignored.

        Raises:
            ValueError: A key is missing.
        """
        kind = _KINDS.get(values.get("what", ""), Event)
        facts = {}
        for each in dataclasses.fields(kind):
            if each.name in values:
                facts[each.name] = values[each.name]
            elif each.default is dataclasses.MISSING and each.name != "time":
                raise ValueError(f"an event {kind.what!r} without {each.name!r}")
        if kind is Opened and "version" not in facts:
            facts["study"] = _rename_old_objectives(facts["study"])
        facts |= {name: rename_old_metrics(facts[name]) for name in ("metrics", "best") if name in facts}
        return kind(**facts)


@dataclass(frozen=True)
class Opened(Event):
    """A search was opened.

    Attributes:
        study: Settings of its study.
        facts: Facts about its data.
        version: Version of the package; None where it was 0.1.0, which did not store it.
    """

    what = "opened"
    study: StudySettings
    facts: DataFacts
    version: str | None = None


@dataclass(frozen=True)
class Paused(Event):
    """A search was interrupted, for a ``reason``; ``status`` is that of its open runs."""

    what = "paused"
    reason: str
    status: Literal["KILLED", "FAILED"]


@dataclass(frozen=True)
class Resumed(Event):
    """A search was resumed."""

    what = "resumed"


@dataclass(frozen=True)
class Started(Event):
    """The process of a family's search was started; ``start`` numbers the folders of trials."""

    what = "started"
    family: str
    start: int


@dataclass(frozen=True)
class Searched(Event):
    """The search of a family ended."""

    what = "searched"
    family: str
    how: Outcome


def format_trial_name(family: str, number: int) -> str:
    """Format the name of a trial.

    Example:
        >>> format_trial_name("resnext", 1)
        'resnext-1'
    """
    return f"{family}-{number}"


@dataclass(frozen=True)
class TrialEvent(Event):
    """Event of one trial; see :class:`leigh_mlops.trials.Trial` for its attributes."""

    family: str
    number: int

    @property
    def trial_name(self) -> str:
        """Name of the trial, such as ``resnext-1``."""
        return format_trial_name(self.family, self.number)


@dataclass(frozen=True)
class Drawn(TrialEvent):
    """The configuration of a trial was drawn.

    Attributes:
        threads: CPU threads that train it; None is one. They change sums in the last bits, so a resumed trial has as
            many.
    """

    what = "drawn"
    config: Config
    threads: int | None = None


@dataclass(frozen=True)
class EpochDone(TrialEvent):
    """An epoch of a trial was done, and its checkpoint is on the disk."""

    what = "epoch"
    config: Config
    checkpoint: str
    epoch: int
    metrics: Metrics
    best_epoch: int
    best: Metrics


@dataclass(frozen=True)
class Ended(TrialEvent):
    """A trial ended.

    Attributes:
        state: Whether it finished or failed.
        error: Reason of its failure.
        trace: Traceback of its failure.
        stopped: Limit that ended it early.
        seconds: Time that its epochs took.
    """

    what = "ended"
    state: Literal["finished", "failed"]
    error: str | None = None
    trace: str | None = None
    stopped: str | None = None
    seconds: float = 0.0


def _rename_old_objectives(study: StudySettings) -> StudySettings:
    spaces = []
    for space in study["spaces"]:
        objectives = [each | {"metric": _log_odds_name(each["metric"])} for each in space["objectives"]]
        spaces.append(space | {"metric": _log_odds_name(space["metric"]), "objectives": objectives})
    return study | {"spaces": spaces}


_KINDS: dict[str, type[Event]] = {
    kind.what: kind for kind in (Opened, Paused, Resumed, Started, Searched, Drawn, EpochDone, Ended)
}
