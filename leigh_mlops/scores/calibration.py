"""Calibration of probabilities: temperature scaling and calibration error."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from leigh_mlops.scores.log_probs import as_labels, as_log_probs

__all__ = ["scale_by_temperature", "expected_calibration_error", "fit_temperature"]

_MIN_TEMPERATURE, _MAX_TEMPERATURE = 0.02, 50.0

Array = NDArray[np.float64]


def scale_by_temperature(log_probs: ArrayLike, temperature: float) -> Array:
    """Log-probabilities at another temperature: softmax(log p / T).

    As a softmax determines its logits up to a constant, this is the softmax of logits / T (Guo et al.
    2017, eq. 9). The order of the classes is preserved, so that no prediction changes.

    Args:
        log_probs: Natural log-probabilities, shape (N, K).
        temperature: Temperature above 0; values above 1 make probabilities less certain.

    Raises:
        ValueError: The temperature is not above 0, or a log-probability is NaN.

    Example:
        >>> np.exp(scale_by_temperature(np.log([[0.8, 0.2]]), 2.0)).round(3).tolist()
        [[0.667, 0.333]]
    """
    if not temperature > 0:
        raise ValueError(f"the temperature is {temperature}; give one above 0")
    scaled: Array = log_softmax(as_log_probs(log_probs) / temperature, axis=1)
    return scaled


def fit_temperature(labels: ArrayLike, log_probs: ArrayLike) -> float:
    """Fit the temperature that minimises the log loss of some wells (Guo et al. 2017, sec. 4.2).

    Wells that are all classified as labelled do not show how often an uncertain one is wrong: their loss
    is least at full certainty, so that no temperature is fitted.

    Args:
        labels: Class of each well, shape (N,), N at least 1.
        log_probs: Natural log-probabilities, shape (N, K).

    Returns:
        The temperature, from 0.02 to 50; 1 if all wells are classified as labelled.

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
    best = minimize_scalar(
        loss, bounds=(np.log(_MIN_TEMPERATURE), np.log(_MAX_TEMPERATURE)), method="bounded", options={"xatol": 1e-6}
    )
    return float(np.exp(best.x))


def expected_calibration_error(labels: ArrayLike, log_probs: ArrayLike, *, bins: int = 15) -> float:
    """Mean distance between confidence and accuracy of a classifier (Guo et al. 2017, eq. 3).

    Wells are binned by the probability of their predicted class into bins of equal width; each
    is weighted by its wells. With few wells the error of a perfectly calibrated classifier is above 0, too.

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
    # A bin includes its upper end, as in the paper; rounding must not move certainty out of the last one.
    bin_of = np.clip(np.ceil(sure * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.bincount(bin_of, weights=right - sure, minlength=bins)
    return float(np.abs(gaps).sum() / truth.size)
