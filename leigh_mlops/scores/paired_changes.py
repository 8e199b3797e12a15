"""Changes made by counterfactuals, paired over wells, beside the real difference of the classes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from leigh_mlops.scores.bootstrap import Difference, paired_bootstrap
from leigh_mlops.scores.fdr import false_discovery_rate
from leigh_mlops.scores.wells import well_index

__all__ = ["PairedChange", "paired_changes", "well_means"]

Array = NDArray[np.float64]

SIGNIFICANCE_LEVEL = 0.05


@dataclass(frozen=True)
class PairedChange:
    """Change of one measure from images to their counterfactuals; NaN or ``None`` if not known.

    Attributes:
        before: Mean over wells of the images.
        after: Mean over wells of their counterfactuals.
        change: Mean over wells of after - before.
        low: Lower end of its 95 % interval, a bootstrap over wells.
        high: Upper end of it.
        wells: Number of wells of that mean.
        p: Two-sided p of a paired t test over wells, 0 to 1.
        q: p adjusted for the number of measures, as a false discovery rate.
        real: Mean of the target class's wells less that of the source class's.
        real_low: Lower end of its 95 % interval, a bootstrap over wells within the classes.
        real_high: Upper end of it.
        real_p: Two-sided p of Welch's t test over wells.
        real_q: real_p adjusted in the same way.
    """

    before: float
    after: float
    change: float
    low: float
    high: float
    wells: int
    p: float
    q: float
    real: float
    real_low: float
    real_high: float
    real_p: float
    real_q: float

    @property
    def is_significant(self) -> bool | None:
        """Return whether the change is significant at a false discovery rate of 5 %."""
        return None if math.isnan(self.q) else self.q < SIGNIFICANCE_LEVEL

    @property
    def has_class_difference(self) -> bool | None:
        """Return whether the difference of the classes is significant at a false discovery rate of 5 %."""
        return None if math.isnan(self.real_q) else self.real_q < SIGNIFICANCE_LEVEL

    @property
    def has_matching_sign(self) -> bool | None:
        """Return whether the change has the sign of the real difference of the classes."""
        product = self.change * self.real
        return None if math.isnan(product) else product > 0

    @property
    def ratio(self) -> float:
        """Change as a share of the real difference, below 0 if the signs differ."""
        return self.change / self.real if self.real else math.nan


def paired_changes(
    before: ArrayLike,
    after: ArrayLike,
    wells: Sequence[str],
    *,
    source: ArrayLike | None = None,
    target: ArrayLike | None = None,
    seed: int = 0,
    resamples: int = 10_000,
) -> list[PairedChange]:
    """Compute and test the change of each measure, field by field, then over wells.

    A well's value is the mean over its fields; a field counts if the measure is finite before
    and after. Tests are t tests, as means over pixels and fields are close to normal, and rank
    tests cannot fall below 5 % with five wells. Percentile intervals of few wells are too narrow
    (those of eight contain the truth in 89 of 100 cases): significance is decided by q.

    Args:
        before: F measures of N images, shape (N, F), any units.
        after: The same measures of their counterfactuals, shape (N, F).
        wells: Well of each image, such as ``plate/B03``, N of them.
        source: Measures of the source class's wells, shape (S, F), from `well_means`.
        target: Measures of the target class's wells, shape (T, F).
        seed: Seed of the bootstraps.
        resamples: Draws of each bootstrap, at least 1.

    Returns:
        F changes. Intervals and p need two wells, those of the real difference two in each class.

    Raises:
        ValueError: The shapes do not fit.

    Example:
        >>> found, = paired_changes([[1.0], [3.0], [2.0]], [[0.5], [2.0], [1.0]], ["A01", "A01", "A02"])
        >>> found.change, found.wells
        (-0.875, 2)
    """
    first, second = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    if first.ndim != 2 or first.shape != second.shape:
        raise ValueError(f"before {first.shape} and after {second.shape} do not fit; give (N, F) of each")
    for name, each in (("source", source), ("target", target)):
        if each is not None and np.shape(each)[1:] != first.shape[1:]:
            raise ValueError(f"{name} has the shape {np.shape(each)}; give (wells, {first.shape[1]})")
    unpaired = ~np.isfinite(first) | ~np.isfinite(second)
    befores, afters = (well_means(np.where(unpaired, np.nan, each), wells) for each in (first, second))
    nothing = np.full((0, first.shape[1]), np.nan)
    sources, targets = (nothing if each is None else np.asarray(each, np.float64) for each in (source, target))
    paired = [_test_paired_change(*each, seed, resamples) for each in zip(befores.T, afters.T, strict=True)]
    real = [_test_class_difference(*each, seed, resamples) for each in zip(sources.T, targets.T, strict=True)]
    qs = false_discovery_rate([p for *_, p in paired])
    real_qs = false_discovery_rate([p for *_, p in real])
    return [
        PairedChange(*means, *_interval(found), found.wells, p, float(q), *_interval(actual), real_p, float(real_q))
        for (means, found, p), q, (actual, real_p), real_q in zip(paired, qs, real, real_qs, strict=True)
    ]


def well_means(values: ArrayLike, wells: Sequence[str]) -> Array:
    """Mean over each well's fields; values that are not finite are left out.

    Args:
        values: F measures of N fields, shape (N, F).
        wells: Well of each field, N of them.

    Returns:
        Means, shape (W, F), in the sorted order of the wells; NaN where a well has no value.

    Raises:
        ValueError: There is not one well per field.
    """
    array = np.asarray(values, dtype=np.float64)
    names, index = well_index(wells, len(array))
    finite = np.isfinite(array)
    sums, counts = np.zeros((2, len(names), array.shape[1]))
    np.add.at(sums, index, np.where(finite, array, 0))
    np.add.at(counts, index, finite)
    return np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)


def _test_paired_change(
    before: Array, after: Array, seed: int, resamples: int
) -> tuple[tuple[float, float], Difference, float]:
    both = np.isfinite(before) & np.isfinite(after)
    first, second = before[both], after[both]
    means = _mean(first), _mean(second)
    if len(first) < 2:
        return means, Difference(means[1] - means[0], math.nan, math.nan, len(first)), math.nan
    change = second - first
    error = float(change.std(ddof=1)) / math.sqrt(len(change))
    interval = paired_bootstrap(second, first, seed=seed, resamples=resamples)
    return means, interval, _t_test(interval.mean, error, len(change) - 1)


def _test_class_difference(source: Array, target: Array, seed: int, resamples: int) -> tuple[Difference, float]:
    groups = source[np.isfinite(source)], target[np.isfinite(target)]
    sizes = [len(group) for group in groups]
    difference = _mean(groups[1]) - _mean(groups[0])
    if min(sizes) < 2:
        return Difference(difference, math.nan, math.nan, sum(sizes)), math.nan
    # With these weights the mean over all wells is the difference of the groups' means, also in every resample.
    weights = [sign * sum(sizes) / size for sign, size in zip((-1, 1), sizes, strict=True)]
    weighted = np.concatenate([weight * group for weight, group in zip(weights, groups, strict=True)])
    strata = np.repeat([0, 1], sizes)
    nothing = np.zeros_like(weighted)
    interval = paired_bootstrap(weighted, nothing, strata=strata, seed=seed, resamples=resamples)
    errors = [float(group.var(ddof=1)) / len(group) for group in groups]
    squared = sum(errors) ** 2
    spread = sum(error**2 / (size - 1) for error, size in zip(errors, sizes, strict=True))
    return interval, _t_test(difference, math.sqrt(sum(errors)), squared / spread if spread else math.inf)


def _t_test(mean: float, error: float, freedom: float) -> float:
    """Two-sided p of a mean with its standard error; without any error, 0 or 1."""
    if error == 0:
        return float(mean == 0)
    return float(2 * stats.t.sf(abs(mean) / error, freedom))


def _mean(values: Array) -> float:
    return float(values.mean()) if len(values) else math.nan


def _interval(found: Difference) -> tuple[float, float, float]:
    return found.mean, found.low, found.high
