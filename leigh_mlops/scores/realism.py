"""Realism of generated fields: how far their features are from those of real fields."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from leigh_mlops.errors import LeighError

__all__ = [
    "Typicality",
    "difference_shares",
    "fit_typicality",
    "frechet_distance",
    "real_against_real_auc",
    "realism_auc",
    "typicality",
]

Floats = npt.NDArray[np.float64]
Wells = npt.NDArray[Any]

_TREES, _LEAST_LEAF, _MOST_FOLDS = 300, 2, 5
_RESAMPLES, _LEAST_SPREADS = 200, 3
_ROUNDING = 1e-9
_CENTRAL = (5, 95)
_CENTRAL_TO_SD = 3.29  # of a normal distribution
_LEAST_SCALE = 1e-3
_LIMIT_PERCENTILE = 99


def realism_auc(
    real_features: Floats, other_features: Floats, real_wells: Wells, other_wells: Wells, seed: int
) -> float:
    """AUC of a random forest that distinguishes two sets of fields, cross-validated with wells kept whole.

    There are five folds, or as many as the smaller set has wells; a well that is in both sets is in one fold.

    Args:
        real_features: Features of real fields, shape (N, F), any unit.
        other_features: The same of other fields, shape (M, F).
        real_wells: Well of each real field, shape (N,).
        other_wells: Well of each other field, such as that of its original, shape (M,).
        seed: Seed of folds and forest.

    Returns:
        0.5 where the sets cannot be distinguished, 1 where they always can; below 0.5 by chance.
        NaN if a set has fewer than two wells.
    """
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(seed)
    folds = _fold_numbers(real_wells, other_wells, rng)
    if folds is None:
        return float("nan")
    features = np.concatenate([real_features, other_features])
    truth = np.repeat([0, 1], [len(real_features), len(other_features)])
    scores = np.empty(len(truth))
    for fold in np.unique(folds):
        forest = RandomForestClassifier(_TREES, min_samples_leaf=_LEAST_LEAF, random_state=seed)
        forest.fit(features[folds != fold], truth[folds != fold])
        scores[folds == fold] = forest.predict_proba(features[folds == fold])[:, 1]
    return float(roc_auc_score(truth, scores))


def real_against_real_auc(features: Floats, wells: Wells, seed: int) -> float:
    """AUC of the same forest between random halves of the wells of one class: the noise of :func:`realism_auc`.

    Args:
        features: Features of real fields of one class, shape (N, F).
        wells: Well of each, shape (N,).
        seed: Seed of halves, folds and forest.

    Returns:
        Near 0.5; NaN if there are fewer than four wells.
    """
    names = np.random.default_rng(seed).permutation(np.unique(wells))
    first = np.isin(wells, names[::2])
    return realism_auc(features[first], features[~first], wells[first], wells[~first], seed)


def frechet_distance(one: Floats, other: Floats) -> float:
    """Squared Fréchet distance of two sets of features, taken as normally distributed (Dowson and Landau 1982).

    Each covariance is shrunk towards a multiple of the identity (Ledoit and Wolf 2004), so that fewer samples than
    features give a stable distance. It is not 0 between two samples of one distribution, and larger for fewer
    samples: compare it with the distance between real fields, of as many samples.

    Args:
        one: Features in comparable units, such as those of a network, shape (N, D).
        other: The same of another set, shape (M, D).

    Returns:
        At least 0, in the square of the features' unit; NaN if a set has fewer than two fields.

    Example:
        >>> sample = np.random.default_rng(0).normal(size=(50, 4))
        >>> round(frechet_distance(sample, sample + 2), 6)
        16.0
    """
    from sklearn.covariance import ledoit_wolf

    if min(len(one), len(other)) < 2:
        return float("nan")
    covariances = [np.atleast_2d(ledoit_wolf(each)[0]) for each in (one, other)]
    values, vectors = np.linalg.eigh(covariances[0])
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    cross = np.linalg.eigvalsh(root @ covariances[1] @ root)
    spread = sum(np.trace(each) for each in covariances) - 2 * np.sqrt(np.maximum(cross, 0)).sum()
    return float(np.square(one.mean(axis=0) - other.mean(axis=0)).sum() + max(spread, 0.0))


def difference_shares(
    source: Floats, target: Floats, made: Floats, names: Sequence[str], seed: int = 0
) -> dict[str, float]:
    """Share of the real difference of two classes that generated fields make, of each feature.

    Args:
        source: Features of the fields from which others were generated, shape (N, F).
        target: The same of real fields of the other class, shape (M, F).
        made: The same of the generated fields, shape (L, F).
        names: Names of the F features.
        seed: Seed of the resampling.

    Returns:
        (median made - median source) / (median target - median source) by name: 0 for no change, 1 for the whole
        difference, negative for the wrong direction. NaN where the medians of the classes differ by at most three
        standard deviations of that difference over 200 bootstrap samples of the fields.
    """
    rng = np.random.default_rng(seed)
    medians = [np.median(each, axis=0) for each in (source, target, made)]
    spread = np.hypot(_median_spread(source, rng), _median_spread(target, rng))
    difference = medians[1] - medians[0]
    rounding = _ROUNDING * np.maximum(np.abs(medians[0]), np.abs(medians[1]))
    differs = np.abs(difference) > np.maximum(_LEAST_SPREADS * spread, rounding)
    shares = np.full(len(names), np.nan)
    np.divide(medians[2] - medians[0], difference, out=shares, where=differs)
    return dict(zip(names, shares.tolist(), strict=True))


@dataclass(frozen=True)
class Typicality:
    """Features of real fields of one class, by which others are compared with them.

    Attributes:
        center: Median of each feature, shape (F,).
        scale: Spread of each feature, above 0, shape (F,).
        limit: Distance below which 99 % of the real fields are, above 0, shape (1,).
    """

    center: Floats
    scale: Floats
    limit: Floats

    def __post_init__(self) -> None:
        every = (self.center, self.scale, self.limit)
        shaped = self.center.ndim == 1 and self.scale.shape == self.center.shape and self.limit.shape == (1,)
        numeric = all(each.dtype.kind == "f" and np.isfinite(each).all() for each in every)
        if not (shaped and numeric and (self.scale > 0).all() and (self.limit > 0).all()):
            raise LeighError("The stored features of real fields are damaged; train the model again.")

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the features as plain arrays."""
        return asdict(self)

    @classmethod
    def from_arrays(cls, arrays: dict[str, npt.NDArray[Any]]) -> "Typicality":
        """Create it from the arrays of :meth:`to_arrays`.

        Raises:
            LeighError: An array is missing, or they do not fit each other.
        """
        try:
            return cls(**arrays)
        except TypeError as error:
            raise LeighError(
                f"The stored features of real fields are incomplete ({error}); train the model again."
            ) from None


def fit_typicality(features: Floats) -> Typicality:
    """Fit centre, spread and limit on real training fields of one class.

    The spread is that of the central 90 %, as a normal distribution's standard deviation, or the standard deviation
    where they are all equal (as low percentiles of 8-bit files are), but at least 0.001 of 1 + |median|.

    Args:
        features: Features of real fields, shape (N, F).

    Raises:
        LeighError: There is no field.
    """
    if not len(features):
        raise LeighError("The class has no fields from which to know real ones; give fields of it.")
    center = np.median(features, axis=0)
    low, high = np.percentile(features, _CENTRAL, axis=0)
    spread = np.where(high > low, (high - low) / _CENTRAL_TO_SD, features.std(axis=0))
    scale = np.maximum(spread, _LEAST_SCALE * (1 + np.abs(center)))
    distances = _distances(features, center, scale)
    limit = max(float(np.percentile(distances, _LIMIT_PERCENTILE)), _LEAST_SCALE)
    return Typicality(center.astype(np.float64), scale.astype(np.float64), np.array([limit]))


def typicality(features: Floats, reference: Typicality) -> Floats:
    """Distance of each field from the real fields of a class, in units of their limit.

    Args:
        features: Features of fields, shape (N, F).
        reference: Features of the real fields.

    Returns:
        Root mean square over the features of (feature - centre) / spread, divided by the limit, shape (N,): at most
        1 is within what 99 % of the real training fields have.

    Raises:
        LeighError: The reference is of other features.
    """
    if features.shape[1] != len(reference.center):
        raise LeighError(
            f"Real fields are known by {len(reference.center)} features, not by {features.shape[1]}; train again."
        )
    return _distances(features, reference.center, reference.scale) / reference.limit


def _fold_numbers(real_wells: Wells, other_wells: Wells, rng: np.random.Generator) -> npt.NDArray[np.int64] | None:
    """Fold of each field of both sets, shape (N + M,), so that every fold has wells of both; ``None`` for none."""
    real, other = set(real_wells.tolist()), set(other_wells.tolist())
    count = min(_MOST_FOLDS, len(real), len(other))
    if count < 2:
        return None
    # Wells of a set follow each other, those of both sets in the middle, so that consecutive folds hold both sets.
    groups = [sorted(each) for each in (real - other, real & other, other - real)]
    order = [well for group in groups for well in rng.permutation(np.array(group, dtype=object)).tolist()]
    fold = {well: place % count for place, well in enumerate(order)}
    return np.array([fold[well] for well in [*real_wells.tolist(), *other_wells.tolist()]])


def _median_spread(features: Floats, rng: np.random.Generator) -> Floats:
    """Standard deviation of the median of each feature over resampled fields, shape (F,)."""
    samples = rng.integers(len(features), size=(_RESAMPLES, len(features)))
    spread: Floats = np.std([np.median(features[sample], axis=0) for sample in samples], axis=0)
    return spread


def _distances(features: Floats, center: Floats, scale: Floats) -> Floats:
    distances: Floats = np.sqrt(np.square((features - center) / scale).mean(axis=1))
    return distances
