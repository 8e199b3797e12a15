"""Comparison of two models on the same wells by a paired bootstrap."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from leigh_mlops.scores.wells import aggregate_wells, well_index

__all__ = ["Difference", "paired_bootstrap", "per_well_log_loss", "per_well_mean"]


@dataclass(frozen=True)
class Difference:
    """Mean difference over wells and its 95 % interval.

    Attributes:
        mean: Mean of ours minus theirs, in the unit of the values.
        low: Lower end of the interval.
        high: Upper end of the interval.
        wells: Number of wells compared.
    """

    mean: float
    low: float
    high: float
    wells: int


def paired_bootstrap(
    ours: ArrayLike,
    theirs: ArrayLike,
    *,
    strata: ArrayLike | None = None,
    seed: int = 0,
    resamples: int = 10_000,
) -> Difference:
    """Mean of ours minus theirs, with a 95 % percentile interval over wells.

    Wells are drawn with replacement, within strata if given, and
    both models are compared on the wells drawn (Efron & Tibshirani 1993,
    ch. 13). For losses an interval below 0 means that ours is better. A stratum
    of a single well is in every resample and adds nothing to the width.

    Args:
        ours: One value per well, shape (W,), finite.
        theirs: Values of the same wells in the same order, shape (W,).
        strata: Group of each well, such as its class, shape (W,).
        seed: The same seed gives the same interval.
        resamples: Number of draws, at least 1.

    Returns:
        The difference over the W wells.

    Raises:
        ValueError: The shapes differ, a value is not finite, or no stratum has
            two wells, so that the spread is not known.

    Example:
        >>> difference = paired_bootstrap([0.1, 0.2, 0.3], [0.6, 0.7, 0.8])
        >>> round(difference.mean, 6), round(difference.high, 6), difference.wells
        (-0.5, -0.5, 3)
    """
    differences = _differences(ours, theirs)
    n = differences.size
    groups = np.zeros(n) if strata is None else np.asarray(strata)
    if groups.shape != (n,):
        raise ValueError(f"strata has the shape {groups.shape}; give one group for each of the {n} wells")
    _, group, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    if not sizes.size or sizes.max() < 2:
        raise ValueError(f"{n} wells in {sizes.size} strata tell no spread; give at least two wells in a stratum")
    rng = np.random.default_rng(seed)
    sums = np.zeros(resamples)
    for stratum, size in enumerate(sizes):
        drawn = rng.integers(size, size=(resamples, size))
        sums += differences[group == stratum][drawn].sum(axis=1)
    low, high = np.percentile(sums / n, [2.5, 97.5])
    return Difference(float(differences.mean()), float(low), float(high), n)


def per_well_log_loss(wells: Sequence[str], labels: ArrayLike, log_probs: ArrayLike) -> NDArray[np.float64]:
    """Log-loss of each well, from the mean log-probability of its fields.

    Args:
        wells: Well of each field, N of them.
        labels: Class of each field, shape (N,), the same within a well.
        log_probs: Natural log-probabilities, shape (N, K).

    Returns:
        Losses in nats, at least 0, shape (W,), in the sorted order of the wells.
        Their mean is the score ``wells/log_loss``.

    Raises:
        LeighError: A well holds fields of more than one class.
        ValueError: The shapes do not fit, or a log-probability is NaN.
    """
    grouped = aggregate_wells(wells, labels, log_probs)
    return -np.take_along_axis(grouped.log_probs, grouped.labels[:, None], axis=1)[:, 0]


def per_well_mean(wells: Sequence[str], values: ArrayLike) -> NDArray[np.float64]:
    """Mean over each well's fields.

    Args:
        wells: Well of each field, N of them.
        values: One value per field, shape (N,), any unit.

    Returns:
        Means, shape (W,), in the sorted order of the wells.

    Raises:
        ValueError: There is not one well per value.

    Example:
        >>> per_well_mean(["B03", "A01", "B03"], [1.0, 5.0, 2.0]).tolist()
        [5.0, 1.5]
    """
    array = np.asarray(values, dtype=np.float64)
    names, index = well_index(wells, array.size)
    return np.bincount(index, weights=array, minlength=len(names)) / np.bincount(index, minlength=len(names))


def _differences(ours: ArrayLike, theirs: ArrayLike) -> NDArray[np.float64]:
    first, second = np.asarray(ours, dtype=np.float64), np.asarray(theirs, dtype=np.float64)
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(f"the shapes {first.shape} and {second.shape} are no pairs; give one value per well")
    differences: NDArray[np.float64] = first - second
    if not np.isfinite(differences).all():
        raise ValueError("some wells have values that are not finite; drop them from both sides first")
    return differences
