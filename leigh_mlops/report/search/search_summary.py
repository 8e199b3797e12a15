"""Summary of the results of a search, in sentences."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from leigh_mlops.report.class_balance import balance_sentences
from leigh_mlops.report.search.search_records import (
    COMPARED_METRICS,
    STATUSES,
    SearchRecords,
    best_trial,
    finite_value,
    format_value,
    metric_title,
)
from leigh_mlops.report.sentences import Z_PRIME_NOTE, format_count
from leigh_mlops.report.terminal_tables import REFERENCE_NAMES
from leigh_mlops.settings import SearchSpace

__all__ = ["summary"]

SELECTION_BIAS_NOTE = (
    "Each best trial was selected on these validation data, so its scores here are optimistic, the more so the more "
    "trials there are. Only the test wells, which are scored once, show whether it is better than a reference."
)


def summary(found: SearchRecords) -> list[str]:
    """Summarise how the trials ended, and compare the best of each family with references that need no network.

    Returns:
        Complete sentences, the most important first.
    """
    bests = [best_trial(found.family_trials(space), space) for space in found.spaces]
    sentences = [_status_sentence(found.trials, len(found.spaces))]
    sentences += [_best_trial_sentences(found, space, best) for space, best in zip(found.spaces, bests, strict=True)]
    if any("val/z_prime" in metrics for metrics in found.trials["metrics"]):
        sentences.append(Z_PRIME_NOTE)
    return [*sentences, SELECTION_BIAS_NOTE] if any(bests) else sentences


def _status_sentence(trials: pd.DataFrame, families: int) -> str:
    if trials.empty:
        return "No trial has started."
    counts = trials["status"].value_counts()
    parts = [f"{counts[status]} {words}" for status, words in STATUSES.items() if status in counts]
    where = "1 family" if families == 1 else f"{families} families"
    hours = np.nansum(trials["seconds"].to_numpy(dtype=float)) / 3600
    spent = f"{hours:.1f} hours" if hours >= 1 else f"{60 * hours:.1f} minutes"
    return f"{format_count(len(trials), 'trial')} in {where} ({', '.join(parts)}), {spent} of training in total."


def _best_trial_sentences(found: SearchRecords, space: SearchSpace, best: Mapping[str, Any] | None) -> str:
    if best is None:
        return f"{space.family}: no trial has a score."
    first = (
        f"{space.family}: the best trial is {best['name']}, "
        f"whose {metric_phrase(space.metric)} is {format_value(best['score'])}."
    )
    for metric in COMPARED_METRICS:
        value = finite_value(best["metrics"], f"val/{metric}")
        if not math.isnan(value) and not math.isnan(found.best_reference(metric)):
            said = (
                [_mse_sentence(found, value)] if metric == "mse" else _accuracy_sentences(found, best["metrics"], value)
            )
            return " ".join([first, *said])
    return f"{first} No reference was scored for comparison, so this does not show that a network is needed."


def _accuracy_sentences(found: SearchRecords, metrics: Mapping[str, Any], value: float) -> list[str]:
    scores = {kind: found.best_reference("wells/accuracy", kind=kind) for kind in REFERENCE_NAMES}
    known = {kind: score for kind, score in scores.items() if not math.isnan(score)}
    references = " and ".join(f"{REFERENCE_NAMES[kind]} {score:.3f}" for kind, score in known.items())
    text = f"Its accuracy on validation wells is {value:.3f}, that of {references}: {_compare(value, known)}"
    return [text, *balance_sentences(_balanced_scores(found, metrics), "validation wells")]


def _compare(value: float, known: Mapping[str, float]) -> str:
    if value <= known.get("baseline", -math.inf):
        return "it does not beat the threshold, so this does not show that a network is needed."
    if value <= known.get("position", -math.inf):
        return "it does not beat the position, so it may have learned the layout of the plate."
    beaten = "it beats both by at least" if len(known) > 1 else "it beats this reference by"
    return f"{beaten} {value - max(known.values()):.3f}."


def _balanced_scores(found: SearchRecords, metrics: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Scores of the best trial and of the references, as far as they are known, by name."""
    prefix = "wells/"
    rows = [("the trial", {name.removeprefix("val/"): value for name, value in metrics.items()})]
    rows += [(REFERENCE_NAMES[row["kind"]], dict(row)) for row in found.references if row["kind"] in REFERENCE_NAMES]
    names = ("accuracy", "balanced_accuracy", "majority_share")
    numbers = {who: {name: finite_value(scores, prefix + name) for name in names} for who, scores in rows}
    return {
        who: {name: value for name, value in scores.items() if not math.isnan(value)} for who, scores in numbers.items()
    }


def _mse_sentence(found: SearchRecords, value: float) -> str:
    reference = found.best_reference("mse")
    beats = "which it beats" if value < reference else "which it does not beat"
    return (
        f"Its mean squared error on validation fields is {format_value(value)}; that of PCA with as many numbers is "
        f"{format_value(reference)}, {beats}."
    )


def metric_phrase(metric: str) -> str:
    """Name of a metric within a sentence, without its unit.

    Example:
        >>> metric_phrase("val/log_loss"), metric_phrase("val/wells/accuracy"), metric_phrase("train/seconds")
        ('log loss on validation fields', 'accuracy on validation wells', 'seconds per epoch')
    """
    name, _, rest = metric_title(metric).partition(" (")
    where = rest.rpartition(", ")[2].rstrip(")")
    return f"{name} on {where}" if where else name
