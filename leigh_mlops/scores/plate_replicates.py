"""Replicates over plates: one effect from the effects on several plates, which differ by chance (random effects)."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

__all__ = ["MIN_PLATES", "PooledEffect", "pool_plates"]

MIN_PLATES = 3
"""Fewest plates from which a variance between plates is estimated."""

_ITERATIONS = 100

Array = NDArray[np.float64]


@dataclass(frozen=True)
class PooledEffect:
    """Effect over plates, in the unit of the effects.

    Attributes:
        mean: Mean of the plates, each weighed by its precision.
        low: Lower end of the 95 % interval of the effect on the average plate.
        high: Upper end.
        p: Two-sided p of no effect, 0 to 1.
        between: Standard deviation between plates, beyond the errors of their effects.
    """

    mean: float
    low: float
    high: float
    p: float
    between: float


def pool_plates(effects: ArrayLike, variances: ArrayLike) -> PooledEffect:
    """Pool the effects on several plates, with the plate as a random effect.

    The variance between plates is that of Paule & Mandel (1982); interval and p are those of Hartung & Knapp (2001)
    with Student's quantiles on K - 1 degrees of freedom, and never narrower than the errors of the plates
    imply (Röver et al. 2015).

    Args:
        effects: Effect on each plate, shape (K,), K at least 3.
        variances: Squared standard error of each, above 0, shape (K,).

    Raises:
        ValueError: There are fewer than three plates, or a variance is not above 0.

    Example:
        >>> found = pool_plates([50.0, 60.0, 70.0], [4.0, 4.0, 4.0])
        >>> round(found.mean), round(found.between, 2), round(found.low, 1), round(found.high, 1)
        (60, 9.8, 35.2, 84.8)
    """
    y, v = np.asarray(effects, np.float64), np.asarray(variances, np.float64)
    if len(y) < MIN_PLATES or not (v > 0).all():
        raise ValueError(f"effects {y.tolist()} with variances {v.tolist()}; give three or more, variances above 0")
    between = _between_variance(y, v)
    weights = 1 / (v + between)
    mean = float(weights @ y / weights.sum())
    spread = max(1.0, float(weights @ np.square(y - mean)) / (len(y) - 1))
    error = math.sqrt(spread / float(weights.sum()))
    reach = float(stats.t.ppf(0.975, len(y) - 1)) * error
    p = float(2 * stats.t.sf(abs(mean) / error, len(y) - 1))
    return PooledEffect(mean, mean - reach, mean + reach, p, math.sqrt(between))


def _between_variance(y: Array, v: Array) -> float:
    """Solve for the variance between plates at which the weighted squares are what K plates should have."""

    def excess(between: float) -> float:
        weights = 1 / (v + between)
        mean = weights @ y / weights.sum()
        return float(weights @ np.square(y - mean)) - (len(y) - 1)

    if excess(0.0) <= 0:
        return 0.0
    low, high = 0.0, float(np.var(y, ddof=1)) + float(v.max())
    while excess(high) > 0:
        high *= 2
    for _ in range(_ITERATIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    return high
