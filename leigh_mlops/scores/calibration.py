"""Whether probabilities are as good as they say, and what makes them so."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from leigh_mlops.scores.log_probs import as_labels, as_log_probs

__all__ = ["calibrated", "expected_calibration_error", "fit_temperature"]

_COLDEST, _HOTTEST = 0.02, 50.0

Array = NDArray[np.float64]


def calibrated(log_probs: ArrayLike, temperature: float) -> Array:
    """Log-probabilities at another temperature: softmax(log p / T).

    As a softmax knows its logits up to a constant, this is the softmax of logits / T (Guo et al.
    2017, eq. 9). The order of the classes stays, so that no prediction changes.

    Args:
        log_probs: Natural log-probabilities, shape (N, K).
        temperature: Above 0; above 1 makes probabilities more doubtful.

    Raises:
        ValueError: The temperature is not above 0, or a log-probability is NaN.

    Example:
        >>> np.exp(calibrated(np.log([[0.8, 0.2]]), 2.0)).round(3).tolist()
        [[0.667, 0.333]]
    """
    if not temperature > 0:
        raise ValueError(f"the temperature is {temperature}; give one above 0")
    scaled: Array = log_softmax(as_log_probs(log_probs) / temperature, axis=1)
    return scaled


def fit_temperature(labels: ArrayLike, log_probs: ArrayLike) -> float:
    """The temperature at which the probabilities of some wells fit their classes best.

    Guo et al. 2017, sec. 4.2: the least log loss. Wells that are all classified as labelled tell
    nothing of how often a doubtful one is wrong: their least loss is certainty, and they change nothing.

    Args:
        labels: Class of each well, shape (N,), N at least 1.
        log_probs: Natural log-probabilities, shape (N, K).

    Returns:
        The temperature, from 0.02 to 50; 1 where all wells are classified as labelled.

    Raises:
        ValueError: There is no well, or the shapes do not fit.
    """
    log_p = as_log_probs(log_probs)
    truth = as_labels(labels, log_p)
    if not truth.size:
        raise ValueError("there is no well to fit a temperature to; give labelled wells")
    if (log_p.argmax(axis=1) == truth).all():
        return 1.0

    def loss(log_temperature: float) -> float:
        return -float(log_softmax(log_p / np.exp(log_temperature), axis=1)[np.arange(truth.size), truth].sum())

    # The loss is convex in 1 / T, so that it has one minimum in log T, too.
    best = minimize_scalar(loss, bounds=(np.log(_COLDEST), np.log(_HOTTEST)), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(best.x))


def expected_calibration_error(labels: ArrayLike, log_probs: ArrayLike, *, bins: int = 15) -> float:
    """Mean distance between how sure a classifier is and how often it is right (Guo et al. 2017, eq. 3).

    Wells are binned by the probability of their predicted class into bins of equal width; each
    counts by its wells. Few wells give an error above 0 to the best of classifiers, too.

    Args:
        labels: Class of each well, shape (N,), N at least 1.
        log_probs: Natural log-probabilities, shape (N, K).
        bins: Number of bins between 0 and 1, at least 1.

    Returns:
        The error, 0 (perfect) to 1.

    Raises:
        ValueError: There is no well, or the shapes do not fit.

    Example:
        >>> round(expected_calibration_error([0, 1], np.log([[0.9, 0.1], [0.9, 0.1]])), 3)
        0.4
    """
    log_p = as_log_probs(log_probs)
    truth = as_labels(labels, log_p)
    if not truth.size:
        raise ValueError("there is no well to measure calibration on; give labelled wells")
    sure = np.exp(log_p.max(axis=1))
    right = log_p.argmax(axis=1) == truth
    # A bin holds its upper end, as in the paper; rounding must not push certainty out of the last one.
    bin_of = np.clip(np.ceil(sure * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.bincount(bin_of, weights=right - sure, minlength=bins)
    return float(np.abs(gaps).sum() / truth.size)
