"""Aggregation of scores from fields to wells."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp

from leigh_mlops.errors import LeighError
from leigh_mlops.scores.classification import classification_scores
from leigh_mlops.scores.log_probs import as_labels, as_log_probs

__all__ = ["WellScores", "all_scores", "aggregate_wells", "well_index"]


@dataclass(frozen=True)
class WellScores:
    """Predictions of a classifier for W wells.

    Attributes:
        wells: Sorted names, W of them.
        labels: Class of each well, shape (W,).
        log_probs: Natural log-probabilities, shape (W, K).
        fields: Number of fields of each well, shape (W,).
    """

    wells: tuple[str, ...]
    labels: NDArray[np.int64]
    log_probs: NDArray[np.float64]
    fields: NDArray[np.int64]


def well_index(wells: Sequence[str], rows: int) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Return the sorted wells, and for each field the index of its well among them.

    Args:
        wells: Well of each field, N of them.
        rows: Number of fields N of the other arrays.

    Returns:
        W sorted names, and indices 0 to W - 1 of shape (N,).

    Raises:
        ValueError: There is not one well per field.
    """
    if len(wells) != rows:
        raise ValueError(f"there are {len(wells)} wells for {rows} fields; give one well per field")
    names, index = np.unique(np.asarray(wells, dtype=np.str_), return_inverse=True)
    return tuple(names.tolist()), index.astype(np.int64)


def aggregate_wells(wells: Sequence[str], labels: ArrayLike, log_probs: ArrayLike) -> WellScores:
    """Mean log-probability over each well's fields, renormalised.

    This is the geometric mean of the fields' probabilities: fields are weighted by
    their certainty, and no single one decides unless it is certain.

    Args:
        wells: Well of each field, such as ``plate/B03``, N of them.
        labels: Class of each field, shape (N,), the same within a well.
        log_probs: Natural log-probabilities, shape (N, K).

    Returns:
        The wells, sorted by name.

    Raises:
        LeighError: A well holds fields of more than one class.
        ValueError: The shapes do not fit, or a log-probability is NaN.
    """
    log_p = as_log_probs(log_probs)
    truth = as_labels(labels, log_p)
    names, index = well_index(wells, len(truth))
    of_well = np.zeros(len(names), dtype=np.int64)
    of_well[index] = truth
    mixed = index[of_well[index] != truth]
    if mixed.size:
        raise LeighError(f"Well {names[mixed[0]]} holds fields of more than one class; give each well one class.")
    fields = np.bincount(index, minlength=len(names))
    sums = np.zeros((len(names), log_p.shape[1]))
    np.add.at(sums, index, log_p)
    means = sums / fields[:, None]
    return WellScores(names, of_well, means - logsumexp(means, axis=1, keepdims=True), fields)


def all_scores(
    wells: Sequence[str], labels: ArrayLike, log_probs: ArrayLike, classes: Sequence[str]
) -> dict[str, float]:
    """Compute every score per field, and under ``wells/`` the same per well.

    Args:
        wells: Well of each field, N of them.
        labels: Class of each field, shape (N,).
        log_probs: Natural log-probabilities, shape (N, K).
        classes: The K names, in the order of the columns.

    Returns:
        Finite numbers by name, as in `classification_scores`.

    Raises:
        LeighError: A well holds fields of more than one class.
        ValueError: The shapes do not fit, or a log-probability is NaN.
    """
    grouped = aggregate_wells(wells, labels, log_probs)
    of_wells = classification_scores(grouped.labels, grouped.log_probs, classes)
    of_fields = classification_scores(labels, log_probs, classes)
    return of_fields | {f"wells/{name}": value for name, value in of_wells.items()}
