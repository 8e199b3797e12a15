"""Prediction sets that contain the true class with a stated probability: split conformal prediction by class."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from leigh_mlops.errors import LeighError
from leigh_mlops.scores.log_probs import as_labels, as_log_probs

__all__ = ["DEFAULT_COVERAGE", "CalibrationWells", "class_limits", "fewest_wells", "nonconformity", "prediction_sets"]

DEFAULT_COVERAGE = 0.9

# Probabilities that were stored in single precision do not tell smaller scores apart.
_LEAST_SCORE = 1e-6

Array = NDArray[np.float64]


@dataclass(frozen=True)
class CalibrationWells:
    """Wells of known class that calibrate prediction sets.

    Attributes:
        labels: Class of each well, shape (N,), integers from 0.
        scores: Score of its own class from `nonconformity`, shape (N,), nats.
    """

    labels: NDArray[np.int64]
    scores: Array

    def __post_init__(self) -> None:
        shaped = self.labels.ndim == 1 and self.labels.shape == self.scores.shape
        numeric = self.labels.dtype.kind == "i" and self.scores.dtype.kind == "f"
        if not (shaped and numeric and (self.labels >= 0).all() and np.isfinite(self.scores).all()):
            raise LeighError("The stored calibration wells are damaged; train the model again.")

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the wells as plain arrays."""
        return asdict(self)

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[Any]]) -> "CalibrationWells":
        """Create them from the arrays of :meth:`to_arrays`.

        Raises:
            LeighError: An array is missing, or they do not fit each other.
        """
        try:
            return cls(**arrays)
        except TypeError as error:
            raise LeighError(f"The stored calibration wells are incomplete ({error}); train the model again.") from None

    @classmethod
    def from_log_probs(cls, labels: ArrayLike, log_probs: ArrayLike) -> "CalibrationWells":
        """Create them from the labels, shape (N,), and log-probabilities of wells, shape (N, K).

        Raises:
            ValueError: The shapes do not fit, or a log-probability is NaN.
        """
        scores = nonconformity(log_probs)
        truth = as_labels(labels, scores)
        return cls(truth, scores[np.arange(len(truth)), truth])


def fewest_wells(coverage: float) -> int:
    """Fewest wells of a class from which a set can be built: ceil((n + 1) coverage) must be at most n.

    Args:
        coverage: Probability that a set contains the true class, above 0 and below 1.

    Raises:
        ValueError: The coverage is out of range.

    Example:
        >>> fewest_wells(0.9), fewest_wells(0.95)
        (9, 19)
    """
    _check_coverage(coverage)
    fewest = round(coverage / (1 - coverage)) or 1
    return fewest if _rank(fewest, coverage) <= fewest else fewest + 1


def nonconformity(log_probs: ArrayLike) -> Array:
    """Score how little each class conforms to each well: minus its log-probability, in nats.

    Scores below 1e-6 count as 1e-6, so that equal wells have equal scores in single precision, too.

    Args:
        log_probs: Natural log-probabilities of the wells, shape (N, K).

    Returns:
        Scores of the classes, shape (N, K), at least 1e-6.

    Raises:
        ValueError: A log-probability is NaN, or the shape does not fit.
    """
    scores: Array = np.maximum(-as_log_probs(log_probs), _LEAST_SCORE)
    return scores


def class_limits(wells: CalibrationWells, classes: int, coverage: float = DEFAULT_COVERAGE) -> Array:
    """Largest score with which each class is part of a set (label-conditional split conformal prediction).

    The limit of a class is the ceil((n + 1) coverage)-th smallest score of its n wells, the quantile of
    a finite sample. If a further well of the class is exchangeable with these, its set contains the class
    with at least the stated probability, whatever the classifier and its calibration (Vovk, Gammerman and
    Shafer 2005, sec. 2.2 and 4.5; Sadinle, Lei and Wasserman 2019, sec. 3, for one limit per class).
    The probability is over wells and calibrations together, and holds for each class by itself.

    Args:
        wells: Wells of known class.
        classes: Number of classes K.
        coverage: Probability that a set contains the true class, above 0 and below 1.

    Returns:
        Limits, shape (K,), nats; NaN for a class with fewer wells than `fewest_wells`.

    Raises:
        LeighError: A label is none of the classes.
        ValueError: The coverage is out of range.

    Example:
        >>> wells = CalibrationWells(np.repeat([0, 1], [9, 8]), np.arange(1.0, 18.0))
        >>> class_limits(wells, classes=2).tolist()
        [9.0, nan]
    """
    _check_coverage(coverage)
    if (wells.labels >= classes).any():
        raise LeighError(f"A calibration well is of none of the {classes} classes; train the model again.")
    limits = np.full(classes, np.nan)
    for label in range(classes):
        own = np.sort(wells.scores[wells.labels == label])
        if (rank := _rank(len(own), coverage)) <= len(own):
            limits[label] = own[rank - 1]
    return limits


def prediction_sets(log_probs: ArrayLike, limits: ArrayLike) -> NDArray[np.bool_]:
    """Classes that each well's set contains.

    A set with more than one class means that the well resembles several; an empty one, that it resembles none.

    Args:
        log_probs: Natural log-probabilities of the wells, shape (N, K).
        limits: Limits of the classes from `class_limits`, shape (K,), or of each well, shape (N, K); nats.

    Returns:
        Whether the set contains each class, shape (N, K).

    Raises:
        ValueError: A limit or a log-probability is NaN: there is no set then.

    Example:
        >>> prediction_sets(np.log([[0.95, 0.05], [0.6, 0.4]]), [1.0, 1.0]).tolist()
        [[True, False], [True, True]]
    """
    largest = np.asarray(limits, np.float64)
    if np.isnan(largest).any():
        raise ValueError("a class has no limit, as it has too few wells; give more wells or a lower coverage")
    contained: NDArray[np.bool_] = nonconformity(log_probs) <= largest
    return contained


def _rank(wells: int, coverage: float) -> int:
    # 10 * 0.9 is 9 and not above it, whatever floating point says.
    return math.ceil(round((wells + 1) * coverage, 9))


def _check_coverage(coverage: float) -> None:
    if not 0 < coverage < 1:
        raise ValueError(f"the coverage is {coverage}; give one above 0 and below 1, such as {DEFAULT_COVERAGE}")
