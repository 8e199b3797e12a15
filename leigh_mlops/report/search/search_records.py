"""Records of a search for its page."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import pandas as pd

from leigh_mlops.report.sentences import metric_name
from leigh_mlops.report.terminal_tables import REFERENCE_NAMES
from leigh_mlops.settings import SearchSpace

__all__ = [
    "COMPARED_METRICS",
    "STATUSES",
    "SearchRecords",
    "best_trial",
    "finite_value",
    "metric_title",
    "reference_name",
    "format_value",
]

TRIAL_COLUMNS = (
    "name", "number", "family", "status", "error", "seconds", "epochs", "best_epoch", "winner", "config", "metrics",
)  # fmt: skip
CURVE_COLUMNS = ("run", "family", "epoch", "metric", "value")

STATUSES = {
    "finished": "finished",
    "stopped": "stopped early",
    "failed": "failed",
    "killed": "killed",
    "running": "still running",
}
"""Status of a trial to its name on the page."""

COMPARED_METRICS = {"wells/accuracy": "max", "mse": "min"}
"""Scores by which families and references are compared, the first that both have; which end is better."""


@dataclass(frozen=True)
class SearchRecords:
    """Records of a search of one or more families.

    Attributes:
        title: Heading of the page.
        spaces: Search spaces, one for each family, in the order in which they are shown.
        trials: One row per trial: ``name`` (unique), ``number`` (from 1 within its family), ``family``,
            ``status`` (a key of ``STATUSES``), ``error`` (reason of the failure, or None), ``seconds``,
            ``epochs`` (done), ``best_epoch`` (from 1; 0 if there is none), ``winner``, ``config``
            (flat hyperparameters) and ``metrics`` (at the best epoch, with names such as ``val/log_loss``).
        curves: One row per epoch and metric: ``run`` (a trial's name), ``family``, ``epoch`` (from 1),
            ``metric``, ``value``.
        references: References that need no network: ``model``, ``kind`` (such as ``baseline`` or ``position``)
            and scores on the same validation part, named without ``val/``, such as ``wells/accuracy``.
        facts: Further facts on the search, name to value.

    Raises:
        ValueError: A column is missing, a status is unknown, a name occurs twice, or a trial's family
            has no space.
    """

    title: str
    spaces: Sequence[SearchSpace]
    trials: pd.DataFrame
    curves: pd.DataFrame
    references: Sequence[Mapping[str, Any]]
    facts: Mapping[str, str]

    def __post_init__(self) -> None:
        for table, columns in ((self.trials, TRIAL_COLUMNS), (self.curves, CURVE_COLUMNS)):
            if missing := [name for name in columns if name not in table]:
                raise ValueError(f"the column {missing[0]!r} is missing: pass {', '.join(columns)}.")
        if unknown := sorted(set(self.trials["status"]) - set(STATUSES)):
            raise ValueError(f"the status {unknown[0]!r} is unknown: use one of {', '.join(STATUSES)}.")
        if homeless := sorted(set(self.trials["family"]) - {space.family for space in self.spaces}):
            raise ValueError(f"the family {homeless[0]!r} of a trial has no space: pass its SearchSpace.")
        twice = self.trials["name"][self.trials["name"].duplicated()]
        if len(twice):
            raise ValueError(f"two trials are called {twice.iloc[0]!r}: give each a name of its own.")

    def family_trials(self, space: SearchSpace) -> pd.DataFrame:
        """Trials of a family by number, with a column ``score``: the space's metric, NaN if it is missing."""
        trials = self.trials[self.trials["family"] == space.family].sort_values("number")
        return trials.assign(score=[finite_value(metrics, space.metric) for metrics in trials["metrics"]])

    def best_reference(self, metric: str, *, kind: str | None = None) -> float:
        """Best value of a metric (without ``val/``) among the references, of one kind or of all; NaN if none."""
        rows = [row for row in self.references if kind is None or row["kind"] == kind]
        values = [value for row in rows if not math.isnan(value := finite_value(row, metric))]
        better = min if COMPARED_METRICS.get(metric) == "min" else max
        return better(values, default=math.nan)


def best_trial(trials: pd.DataFrame, space: SearchSpace) -> Mapping[str, Any] | None:
    """Winner of a search, or if there is none yet the trial with the best score; None if no trial has a score.

    Args:
        trials: Trials of one family, with a column ``score``.
        space: Search space, whose mode decides which end of the metric is better.
    """
    scored = trials[trials["score"].notna()]
    won = scored[scored["winner"].astype(bool)]
    if not won.empty:
        scored = won
    if scored.empty:
        return None
    row = scored.sort_values("score", ascending=space.mode == "min", kind="stable").iloc[0]
    return {str(key): value for key, value in row.items()}


def finite_value(values: Mapping[str, Any], key: str) -> float:
    """Return a value as a float; NaN if it is missing or not finite.

    Example:
        >>> finite_value({"a": 1, "b": float("inf")}, "a"), finite_value({"b": float("inf")}, "b")
        (1.0, nan)
    """
    value = values.get(key)
    return float(value) if isinstance(value, Real) and math.isfinite(value) else math.nan


def format_value(value: object) -> str:
    """Format a value as text, numbers with four digits.

    Example:
        >>> format_value(0.00012345), format_value(20), format_value(None), format_value([1, 2])
        ('0.0001234', '20', 'null', '[1, 2]')
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def metric_title(metric: str) -> str:
    """Name of a metric in words.

    Example:
        >>> metric_title("train/seconds"), metric_title("val/wells/accuracy")
        ('seconds per epoch', 'accuracy (validation wells)')
    """
    return "seconds per epoch" if metric == "train/seconds" else metric_name(metric)


def reference_name(row: Mapping[str, Any]) -> str:
    """Name of a reference in a sentence."""
    return REFERENCE_NAMES.get(row["kind"], str(row["model"]))
