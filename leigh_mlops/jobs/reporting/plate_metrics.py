"""Columns by which the plates of a job can be coloured."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from leigh_mlops.job_columns import CALIBRATED, PROBABILITY, JobColumn
from leigh_mlops.jobs.reporting.direction_words import direction_words
from leigh_mlops.jobs.reporting.set_sentences import UNDECIDED
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.report.job.job_records import PlateMetric
from leigh_mlops.report.sentences import format_percent
from leigh_mlops.report.table_columns import Columns, float_values, is_missing, is_numeric
from leigh_mlops.screening.reference_classes import ReferenceClasses

__all__ = ["plate_metrics", "probability_columns"]


def probability_columns(wells: Columns, classes: Sequence[str], direction: ReferenceClasses | None) -> list[str]:
    """Return the columns of probabilities, calibrated if available; of two classes only that of the healthy one.

    Args:
        wells: The table of wells.
        classes: The model's classes; none if it does not classify.
        direction: The diseased and the healthy class, if known.
    """
    names = list(classes)
    if len(names) == 2:
        names = [names[-1] if direction is None else direction.target]
    family = CALIBRATED if all(CALIBRATED(name) in wells for name in names) else PROBABILITY
    return [family(name) for name in names if family(name) in wells]


def _probability_metric(column: str) -> PlateMetric:
    name, how = column.partition("_")[2], ", calibrated" if column in CALIBRATED else ""
    return PlateMetric(column, f"Probability of {name}", f"how sure the model is that a well is {name}{how}")


def plate_metrics(
    wells: Columns, probable: Sequence[str], reference: ReferenceClasses | None = None
) -> list[PlateMetric]:
    """Return metrics for the columns that have a value, each with one scale for the whole job.

    Args:
        wells: The table of wells.
        probable: Columns of probabilities, which are listed first.
        reference: Classes between which wells are scored; None if they are not known.
    """
    words = direction_words(reference)
    z = f"distance from {words.source}; beyond 3 is unusual"
    far = _upper_limit(wells, JobColumn.LATENT_DISTANCE)
    metrics = [
        *map(_probability_metric, probable),
        PlateMetric(JobColumn.PREDICTED, "Prediction", "the most probable class or cluster"),
        *_set_metrics(wells),
        PlateMetric(Metadata.CONDITION, "Label", "the class that the plate map or the folder says"),
        PlateMetric("compound", "Compound", "what was added"),
        _signed_metric(wells, JobColumn.SCORE, "Score (log-odds)", "median of the fields' log-odds; 0 is undecided"),
        PlateMetric(
            JobColumn.RESCUE,
            f"{words.heading[0].upper()}{words.heading[1:]}",
            f"0 is {words.source}, 100 {words.target}",
            -50,
            150,
            digits=0,
        ),
        PlateMetric(JobColumn.ROBUST_Z, "Robust z", z, -6, 6, signed=True, digits=1),
        PlateMetric(JobColumn.CELL_SHARE, "Cells", f"nuclei, relative to {words.source} of the plate", 0, 2),
        PlateMetric(
            JobColumn.OFF_AXIS,
            "Movement elsewhere",
            f"way from {words.source} in all directions but that to {words.target}, in standard deviations of control "
            "wells",
            0,
            _upper_limit(wells, JobColumn.OFF_AXIS),
            digits=1,
        ),
        PlateMetric("quality", "Quality: share of fields used", "fields good enough to count, of all of the well"),
        PlateMetric(
            JobColumn.FLAGGED, "Flags: share of fields to look at twice", "fields with a flag, of all of the well"
        ),
        PlateMetric(
            JobColumn.LATENT_DISTANCE, "Distance from training images", "how unlike these the well looks", 0, far
        ),
        PlateMetric(
            JobColumn.RECONSTRUCTION_ERROR,
            "Error of the reconstruction",
            "mean squared error in the model's units, median of the well's fields",
            0,
            _upper_limit(wells, JobColumn.RECONSTRUCTION_ERROR),
        ),
    ]
    return [metric for metric in metrics if not all(map(is_missing, wells.get(metric.column, ())))]


def _set_metrics(wells: Columns) -> list[PlateMetric]:
    """Metric of the prediction sets; none without sets."""
    stated = [share for share in wells.get(JobColumn.SET_COVERAGE, ()) if not is_missing(share)]
    if not stated:
        return []
    coverage = format_percent(stated[0])
    return [
        PlateMetric(
            JobColumn.SET,
            f"Prediction set ({coverage})",
            f"the class that remains when the sets contain the true class of {coverage} of the wells; "
            f"“{UNDECIDED}”: several remain, or none",
            names=list(PROBABILITY.select(wells)),
            undecided=UNDECIDED,
        )
    ]


def _signed_metric(wells: Columns, column: str, title: str, meaning: str) -> PlateMetric:
    known = _known_numbers(wells, column)
    limit = _round_limit(float(np.percentile(np.abs(known), 99))) if len(known) else 1.0
    return PlateMetric(column, title, meaning, -limit, limit, signed=True, digits=1)


def _upper_limit(wells: Columns, column: str) -> float:
    known = _known_numbers(wells, column)
    return _round_limit(float(known.max())) if len(known) else 1.0


def _known_numbers(wells: Columns, column: str) -> NDArray[np.float64]:
    values = wells.get(column, ())
    numbers = float_values(values if is_numeric(values) else ())
    return numbers[~np.isnan(numbers)]


def _round_limit(limit: float) -> float:
    """Round up to 1, 2, 3, 5, 10, 20 and so on, so that ticks are round and jobs share scales."""
    if limit <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(limit))
    return next(step * power for step in (1, 2, 3, 5, 10) if step * power >= limit * (1 - 1e-9))
