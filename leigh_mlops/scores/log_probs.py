"""Log-probabilities as finite arrays, and the log-odds between classes."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp

__all__ = ["as_labels", "as_log_probs", "log_odds"]

# A probability of exactly zero would make one field's loss infinite and hide all others.
_MIN_LOG_PROB = float(np.log(np.finfo(np.float64).tiny))


def as_log_probs(log_probs: ArrayLike) -> NDArray[np.float64]:
    """Convert to log-probabilities from which every score can be computed.

    Args:
        log_probs: Natural logarithms of probabilities, shape (N, K), K >= 2.

    Returns:
        The same values in float64, with none below -708 (the smallest normal
        float64), so that every sum of them is finite.

    Raises:
        ValueError: The shape is not (N, K), or a value is NaN or above 0.
    """
    array = np.asarray(log_probs, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] < 2:
        raise ValueError(f"log_probs has the shape {array.shape}; give (N, K) with K of at least 2")
    if not (array <= 1e-3).all():
        raise ValueError("log_probs has values that are NaN or above 0; give the log-softmax of the logits")
    return np.maximum(array, _MIN_LOG_PROB)


def as_labels(labels: ArrayLike, log_probs: NDArray[np.float64]) -> NDArray[np.int64]:
    """Convert and check labels against the rows and columns of ``log_probs``.

    Args:
        labels: Class of each row, shape (N,), integers from 0 to K - 1.
        log_probs: Log-probabilities, shape (N, K).

    Returns:
        The labels as int64, shape (N,).

    Raises:
        ValueError: There is not one label per row, or a label is not a class.
    """
    array = np.asarray(labels)
    n, k = log_probs.shape
    if array.shape != (n,):
        raise ValueError(f"labels has the shape {array.shape}; give one label for each of the {n} rows")
    if n and not (np.issubdtype(array.dtype, np.integer) and array.min() >= 0 and array.max() < k):
        raise ValueError(f"labels must be integers from 0 to {k - 1}; drop the fields without a class first")
    return array.astype(np.int64)


def log_odds(log_probs: NDArray[np.float64], index: int) -> NDArray[np.float64]:
    """Log-odds of one class against all others, log p - log(1 - p).

    Computed from the other classes' log-probabilities, because 1 - p is 0 in
    floating point long before a confident network's logits saturate.

    Args:
        log_probs: Finite log-probabilities, shape (N, K).
        index: The class, 0 to K - 1.

    Returns:
        Log-odds, shape (N,).
    """
    others = np.delete(log_probs, index, axis=1)
    odds: NDArray[np.float64] = log_probs[:, index] - logsumexp(others, axis=1)
    return odds
