"""Rescue: shift of diseased cells towards healthy ones by a compound, with tests and intervals."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from leigh_mlops.scores.plate_replicates import MIN_PLATES, pool_plates

__all__ = ["PlateWells", "Rescue", "no_effect_p", "percent_rescue", "rescue", "robust_z"]

MIN_BOOTSTRAP_WELLS = 4
"""Fewest wells, of a compound and of its controls, for a bootstrap; with fewer, Student's interval is used."""

_MAD_TO_SD = 1.4826
_COVERAGE = 0.95

Array = NDArray[np.float64]


@dataclass(frozen=True)
class PlateWells:
    """Scores of a compound's wells and of controls on one plate, finite, in one unit.

    Attributes:
        wells: Scores of the compound, shape (n,), n at least 1.
        source: Scores of the diseased controls, shape (S,), S at least 2.
        target: Scores of the healthy controls, shape (T,), T at least 2.
    """

    wells: ArrayLike
    source: ArrayLike
    target: ArrayLike


@dataclass(frozen=True)
class Rescue:
    """Rescue of one compound in percent, with its 95 % interval.

    Attributes:
        percent: Mean over wells; 0 for the diseased controls, 100 for the healthy ones.
        low: Lower end of the interval; NaN for a single well.
        high: Upper end.
        wells: Number of wells.
        plates: Number of plates.
        interval_method: Method of the interval: ``plates``, ``bootstrap``, ``t`` or ``one well``.
        p: p of no rescue, with the plate as a random effect; NaN on fewer than three plates.
        between_plates: Standard deviation of the rescue between plates, percent; NaN in the same case.
    """

    percent: float
    low: float
    high: float
    wells: int
    plates: int
    interval_method: str
    p: float = math.nan
    between_plates: float = math.nan


def percent_rescue(scores: ArrayLike, source: ArrayLike, target: ArrayLike) -> Array:
    """Position of each well between the mean of the diseased controls (0 %) and of the healthy ones (100 %).

    Args:
        scores: Scores of any wells of a plate, shape (n,).
        source: Scores of that plate's diseased controls, shape (S,).
        target: Scores of its healthy controls, shape (T,).

    Returns:
        Percent, shape (n,); values below 0 and above 100 are possible. NaN if both means are equal.

    Example:
        >>> percent_rescue([1.0, 3.0], source=[0.0, 2.0], target=[4.0, 6.0]).tolist()
        [0.0, 50.0]
    """
    start, end = _mean(source), _mean(target)
    values = np.asarray(scores, dtype=np.float64)
    if math.isclose(start, end, rel_tol=1e-12):
        return np.full(values.shape, np.nan)
    return 100 * (values - start) / (end - start)


def robust_z(scores: ArrayLike, controls: ArrayLike) -> Array:
    """Distance from the median of the controls in units of their 1.4826 MAD, as pycytominer's ``mad_robustize``.

    Args:
        scores: Scores of any wells of a plate, shape (n,).
        controls: Scores of that plate's negative controls, shape (C,), C at least 1.

    Returns:
        Robust z, shape (n,); NaN if more than half of the controls have one value, so that the MAD is 0.

    Example:
        >>> robust_z([3.0], [-1.0, 0.0, 1.0]).round(4).tolist()
        [2.0235]
    """
    values, known = (np.asarray(each, dtype=np.float64) for each in (scores, controls))
    centre = np.median(known)
    spread = _MAD_TO_SD * float(np.median(np.abs(known - centre)))
    return (values - centre) / spread if spread > 0 else np.full(values.shape, np.nan)


def rescue(plates: Sequence[PlateWells], *, seed: int = 0, resamples: int = 4000) -> Rescue:
    """Mean rescue over the wells of a compound, each relative to the controls of its own plate.

    The interval includes the uncertainty of the controls. From four wells on it is a percentile
    bootstrap that draws the compound's wells and both groups of controls, plate by plate, its
    quantiles expanded for few wells (Hesterberg 2015, sec. 4.3). With two or three wells, of the
    compound or of one kind of controls on a plate, it is Student's on the delta-method variance,
    with Satterthwaite's degrees of freedom. Of normal scores with eight controls of each kind, 95 to
    97 in 100 intervals of four wells and more contain the truth, 93 of three wells and 89 of two; of
    four wells and more, 92 to 96 with two controls of each kind, and 95 to 98 with three.

    On three plates or more, the plate is a random effect: the plates' means are pooled by `pool_plates`, so that the
    interval is that of the effect on the average plate, and wells of one plate do not count as if they were
    independent.

    Args:
        plates: The compound's plates, at least one.
        seed: The same seed gives the same interval.
        resamples: Number of draws, at least 1.

    Returns:
        The rescue; NaN if both groups of controls of a plate have the same mean.
    """
    each = [percent_rescue(plate.wells, plate.source, plate.target) for plate in plates]
    values = np.concatenate(each)
    n, percent = values.size, float(values.mean())
    variances = [_mean_variance(plate) for plate in plates]
    if len(plates) >= MIN_PLATES and not math.isnan(percent) and min(variances) > 0:
        pooled = pool_plates([own.mean() for own in each], variances)
        ends = pooled.mean, pooled.low, pooled.high
        return Rescue(*ends, n, len(plates), "plates", pooled.p, pooled.between)
    if n < 2 or math.isnan(percent):
        return Rescue(percent, math.nan, math.nan, n, len(plates), "one well" if n < 2 else "t")
    fewest = min(n, *(np.size(group) for plate in plates for group in (plate.source, plate.target)))
    if fewest < MIN_BOOTSTRAP_WELLS:
        low, high = _student_interval(plates, each)
        return Rescue(percent, low, high, n, len(plates), "t")
    low, high = _bootstrap_interval(plates, n, np.random.default_rng(seed), resamples)
    return Rescue(percent, low, high, n, len(plates), "bootstrap")


def no_effect_p(wells: Sequence[ArrayLike], controls: Sequence[ArrayLike]) -> float:
    """Two-sided p-value of a compound's wells against negative controls of the same plates.

    The t test of the compound in a linear model with a mean for each plate; on one plate it is
    Student's test with pooled variance, and a single well is compared with the controls' spread.

    Args:
        wells: Values of the compound's wells, plate by plate.
        controls: Values of the negative controls of the same plates, in the same order.

    Returns:
        p, 0 to 1; NaN if no plate has both, or nothing varies.

    Example:
        >>> round(no_effect_p([[3.0, 4.0, 5.0]], [[0.0, 1.0, 2.0]]), 4)
        0.0213
    """
    estimate = weight = within = 0.0
    freedom = -1
    for treated, known in zip(wells, controls, strict=True):
        a, b = np.asarray(treated, dtype=np.float64), np.asarray(known, dtype=np.float64)
        if not a.size or not b.size:
            continue
        share = a.size * b.size / (a.size + b.size)
        estimate += share * float(a.mean() - b.mean())
        weight += share
        # Each plate's mean takes one degree of freedom, the common effect one more.
        within += float(np.square(np.concatenate([a, b]) - np.concatenate([a, b]).mean()).sum())
        freedom += a.size + b.size - 1
    if not weight or freedom < 1:
        return math.nan
    effect = estimate / weight
    residual = max(within - weight * effect**2, 0.0)
    if residual <= 1e-12 * within:
        return math.nan
    return float(2 * stats.t.sf(abs(effect) / math.sqrt(residual / freedom / weight), freedom))


def _mean(values: ArrayLike) -> float:
    return float(np.asarray(values, dtype=np.float64).mean())


def _bootstrap_interval(
    plates: Sequence[PlateWells], n: int, rng: np.random.Generator, resamples: int
) -> tuple[float, float]:
    sums = np.zeros(resamples)
    for plate in plates:
        wells, source, target = (
            np.asarray(group, dtype=np.float64) for group in (plate.wells, plate.source, plate.target)
        )
        drawn = [_resample_means(group, rng, resamples) for group in (wells, source, target)]
        width = drawn[2] - drawn[1]
        # Equal control means in a draw make the interval as wide as possible.
        sums += 100 * wells.size * (drawn[0] - drawn[1]) / np.where(width == 0, np.finfo(float).tiny, width)
    # An ordinary percentile interval of few wells is too narrow, by their number and by Student's tails.
    tail = stats.norm.cdf(-math.sqrt(n / (n - 1)) * stats.t.ppf((1 + _COVERAGE) / 2, n - 1))
    low, high = np.quantile(sums / n, [tail, 1 - tail])
    return float(low), float(high)


def _resample_means(values: Array, rng: np.random.Generator, resamples: int) -> Array:
    means: Array = values[rng.integers(values.size, size=(resamples, values.size))].mean(axis=1)
    return means


def _mean_variance(plate: PlateWells) -> float:
    """Squared standard error of a plate's mean rescue, to first order in the controls' means; 0 if nothing varies.

    Wells vary as the diseased controls do, since a plate often has a single well of a compound.
    """
    wells, source, target = (np.asarray(group, np.float64) for group in (plate.wells, plate.source, plate.target))
    width = float(target.mean() - source.mean())
    if not width:
        return 0.0
    freedom = wells.size + source.size - 2
    squares = sum(float(np.square(group - group.mean()).sum()) for group in (wells, source))
    way = float(wells.mean() - source.mean()) / width
    of_wells = squares / freedom / wells.size if freedom else 0.0
    of_source = float(source.var(ddof=1)) / source.size * (1 - way) ** 2
    of_target = float(target.var(ddof=1)) / target.size * way**2
    return (100 / width) ** 2 * (of_wells + of_source + of_target)


def _student_interval(plates: Sequence[PlateWells], each: Sequence[Array]) -> tuple[float, float]:
    """Student's interval on the variance of the mean, to first order in the controls' means."""
    values = np.concatenate(each)
    n, percent = values.size, float(values.mean())
    parts = [(float(values.var(ddof=1)) / n, n - 1)]
    for plate, own in zip(plates, each, strict=True):
        share, way = own.size / n, float(own.mean()) / 100
        width = _mean(plate.target) - _mean(plate.source)
        for group, lever in ((plate.source, 1 - way), (plate.target, way)):
            known = np.asarray(group, dtype=np.float64)
            of_mean = float(known.var(ddof=1)) / known.size
            parts.append((of_mean * (100 * share * lever / width) ** 2, known.size - 1))
    variance = sum(part for part, _ in parts)
    if not variance:
        return percent, percent
    freedom = variance**2 / sum(part**2 / free for part, free in parts)
    # Degrees of freedom from uncertain controls must not make the interval narrower than certain controls would.
    quantiles = stats.t.ppf((1 + _COVERAGE) / 2, [freedom, parts[0][1]])
    reach = float(max(quantiles[0] * math.sqrt(variance), quantiles[1] * math.sqrt(parts[0][0])))
    return percent - reach, percent + reach
