"""What a search has shown, in sentences."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from leigh_mlops.report.search_records import COMPARED, STATUSES, SearchRecords, best_of, finite, metric_title, short
from leigh_mlops.report.tables import REFERENCES
from leigh_mlops.report.words import counted
from leigh_mlops.settings import SearchSpace

__all__ = ["summary"]

OPTIMISM = (
    "Each best trial was chosen on this validation part, which flatters its scores here, the more so the more trials "
    "there were; whether it is better than a reference is for the test wells to say, which are scored once."
)


def summary(found: SearchRecords) -> list[str]:
    """How the trials ended, and the best of each family beside what needs no network.

    Returns:
        Whole sentences, the most important first.
    """
    bests = [best_of(found.of(space), space) for space in found.spaces]
    sentences = [_endings(found.trials, len(found.spaces))]
    sentences += [_best(found, space, best) for space, best in zip(found.spaces, bests, strict=True)]
    return [*sentences, OPTIMISM] if any(bests) else sentences


def _endings(trials: pd.DataFrame, families: int) -> str:
    if trials.empty:
        return "No trial has begun."
    counts = trials["status"].value_counts()
    parts = [f"{counts[status]} {words}" for status, words in STATUSES.items() if status in counts]
    where = "1 family" if families == 1 else f"{families} families"
    hours = np.nansum(trials["seconds"].to_numpy(dtype=float)) / 3600
    spent = f"{hours:.1f} hours" if hours >= 1 else f"{60 * hours:.1f} minutes"
    return f"{counted(len(trials), 'trial')} in {where} ({', '.join(parts)}), {spent} of training in all."


def _best(found: SearchRecords, space: SearchSpace, best: Mapping[str, Any] | None) -> str:
    if best is None:
        return f"{space.family}: no trial gave a score."
    first = f"{space.family}: the best is {best['name']}, whose {in_words(space.metric)} is {short(best['score'])}."
    for metric in COMPARED:
        value = finite(best["metrics"], f"val/{metric}")
        if not math.isnan(value) and not math.isnan(found.reference(metric)):
            return f"{first} {_mse(found, value) if metric == 'mse' else _accuracy(found, value)}"
    return f"{first} Nothing that needs no network was scored beside it, so this does not show that it is needed."


def _accuracy(found: SearchRecords, value: float) -> str:
    scores = {kind: found.reference("wells/accuracy", kind=kind) for kind in REFERENCES}
    known = {kind: score for kind, score in scores.items() if not math.isnan(score)}
    said = " and ".join(f"{REFERENCES[kind]} {score:.3f}" for kind, score in known.items())
    text = f"Its accuracy on validation wells is {value:.3f}, that of {said}: "
    if value <= known.get("baseline", -math.inf):
        return text + "it does not beat the threshold, and has not shown that a network is needed."
    if value <= known.get("position", -math.inf):
        return text + "it does not beat the position, so that it may have learnt the layout of the plate."
    beaten = "it beats both, by" if len(known) > 1 else "it beats that by"
    return f"{text}{beaten} {value - max(known.values()):.3f}{' at least' if len(known) > 1 else ''}."


def _mse(found: SearchRecords, value: float) -> str:
    reference = found.reference("mse")
    beats = "which it beats" if value < reference else "which it does not beat"
    return (
        f"A mean squared error of {short(value)} on validation fields stands beside {short(reference)} of PCA with as "
        f"many numbers, {beats}."
    )


def in_words(metric: str) -> str:
    """A metric in a sentence, without its unit.

    Example:
        >>> in_words("val/log_loss"), in_words("val/wells/accuracy"), in_words("train/seconds")
        ('log loss on validation fields', 'accuracy on validation wells', 'seconds per epoch')
    """
    name, _, rest = metric_title(metric).partition(" (")
    where = rest.rpartition(", ")[2].rstrip(")")
    return f"{name} on {where}" if where else name
