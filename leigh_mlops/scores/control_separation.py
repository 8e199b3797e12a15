"""Separation of two groups of control wells."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from scipy.special import expit

__all__ = ["probability_z_prime", "ssmd", "welch_p", "z_prime"]

_MAD_TO_SD = 1.4826  # of a normal distribution

# Means of equal numbers can differ by rounding, which is no separation of groups.
_RELATIVE_TOLERANCE = 1e-12


def z_prime(positive: ArrayLike, negative: ArrayLike, *, robust: bool = False) -> float:
    """Separation of two control groups (Zhang et al. 1999, eq. 6).

    1 means perfectly separated, at least 0.5 is the usual bar for a screen, and below 0 the
    bands of three standard deviations around both means overlap. The unit of n is the well:
    pass one score per well, not per field.

    Args:
        positive: Scores of the positive controls, shape (P,), any unit.
        negative: Scores of the negative controls, shape (N,), the same unit.
        robust: Whether to use median and 1.4826 * MAD instead of mean and standard deviation.

    Returns:
        The factor, at most 1; ``-inf`` if both groups have the same centre.

    Raises:
        ValueError: A group has fewer than two wells, or a score is not finite.

    Example:
        >>> round(z_prime([1.0, 0.9, 1.0], [0.0, 0.1, 0.0]), 3)
        0.629
    """
    center_p, spread_p = _center_and_spread(positive, "positive", robust)
    center_n, spread_n = _center_and_spread(negative, "negative", robust)
    if math.isclose(center_p, center_n, rel_tol=_RELATIVE_TOLERANCE):
        return -math.inf
    return 1 - 3 * (spread_p + spread_n) / abs(center_p - center_n)


def probability_z_prime(positive: ArrayLike, negative: ArrayLike) -> float:
    """Z' of the probabilities that two groups of log-odds stand for, as published (eq. 4.1 of the thesis).

    It saturates where predictions are near 0 and 1: for a screen, read the Z' of the log-odds.

    Args:
        positive: Log-odds of the positive controls, shape (P,), nats.
        negative: Log-odds of the negative controls, shape (N,), nats.

    Returns:
        The factor, at most 1; ``-inf`` if both groups have the same mean.

    Raises:
        ValueError: A group has fewer than two wells, or a score is not finite.

    Example:
        >>> apart = [1.0, 4.0, 9.0], [-9.0, -4.0, -1.0]
        >>> round(probability_z_prime(*apart), 2), round(z_prime(*apart), 2)
        (-0.12, -1.6)
    """
    groups = [np.asarray(group, dtype=np.float64).ravel() for group in (positive, negative)]
    # Of p and 1 - p the one that is near 0 has the digits.
    sign = -1.0 if np.concatenate(groups).sum() > 0 else 1.0
    return z_prime(*(np.where(np.isfinite(group), expit(sign * group), group) for group in groups))


def ssmd(positive: ArrayLike, negative: ArrayLike) -> float:
    """Strictly standardised mean difference of two independent groups (Zhang 2007).

    An absolute value of at least 3 is called very strong, 5 extremely strong.
    The unit of n is the well.

    Args:
        positive: Scores of the positive controls, shape (P,), any unit.
        negative: Scores of the negative controls, shape (N,), the same unit.

    Returns:
        The difference in units of its standard deviation, positive if the
        positive group lies higher; infinite if neither group varies, and 0
        if both groups have the same centre.

    Raises:
        ValueError: A group has fewer than two wells, or a score is not finite.

    Example:
        >>> round(ssmd([3.0, 4.0, 5.0], [0.0, 1.0, 2.0]), 3)
        2.121
    """
    center_p, spread_p = _center_and_spread(positive, "positive", robust=False)
    center_n, spread_n = _center_and_spread(negative, "negative", robust=False)
    if math.isclose(center_p, center_n, rel_tol=_RELATIVE_TOLERANCE):
        return 0.0
    difference = center_p - center_n
    spread = math.hypot(spread_p, spread_n)
    return difference / spread if spread else math.copysign(math.inf, difference)


def welch_p(positive: ArrayLike, negative: ArrayLike) -> float:
    """Two-sided p-value of Welch's t test that two groups of controls have one mean.

    Args:
        positive: Scores of the positive controls, shape (P,), any unit, one per well.
        negative: Scores of the negative controls, shape (N,), the same unit.

    Returns:
        p, 0 to 1; if neither group varies, 1 for equal and 0 for different means.

    Raises:
        ValueError: A group has fewer than two wells, or a score is not finite.

    Example:
        >>> round(welch_p([3.0, 4.0, 5.0], [0.0, 1.0, 2.0]), 4)
        0.0213
    """
    center_p, spread_p = _center_and_spread(positive, "positive", robust=False)
    center_n, spread_n = _center_and_spread(negative, "negative", robust=False)
    if not spread_p and not spread_n:
        return float(math.isclose(center_p, center_n, rel_tol=_RELATIVE_TOLERANCE))
    sizes = np.size(positive), np.size(negative)
    return float(
        stats.ttest_ind_from_stats(center_p, spread_p, sizes[0], center_n, spread_n, sizes[1], equal_var=False).pvalue
    )


def _center_and_spread(scores: ArrayLike, group: str, robust: bool) -> tuple[float, float]:
    values: NDArray[np.float64] = np.asarray(scores, dtype=np.float64).ravel()
    if values.size < 2:
        raise ValueError(f"the {group} group has {values.size} wells; give at least two")
    if not np.isfinite(values).all():
        raise ValueError(f"the {group} group has scores that are not finite; drop those wells first")
    if robust:
        center = float(np.median(values))
        return center, _MAD_TO_SD * float(np.median(np.abs(values - center)))
    return float(values.mean()), float(values.std(ddof=1))
