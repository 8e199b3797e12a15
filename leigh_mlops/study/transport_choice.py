"""Choice of a transport by the realism of its images, on training wells that did not fit it."""

import numpy as np
import numpy.typing as npt

from leigh_mlops.images import IntensityScale, texture_features
from leigh_mlops.models.transport import (
    COUNT_STEPS,
    ClassFields,
    TransportPlan,
    drop_small_changes,
    fit_transport,
)
from leigh_mlops.scores.realism import realism_auc

__all__ = ["FEWEST_WELLS", "choose_transport"]

FEWEST_WELLS = 8
"""Wells of each class from which a choice is made; half of them fit, half are compared."""

_CHOICES = ((0.0, 0), (0.0, 1), (0.0, 2), (1.0, 0))  # shrinkage, and number that is added to the seed
_MOST_FIELDS = 100
_FIT_PIXELS = 2**20
_EVERY_PIXEL = 2**62

Floats = npt.NDArray[np.float32]


def choose_transport(
    source: ClassFields, target: ClassFields, scale: IntensityScale, seed: int = 0
) -> tuple[float, int]:
    """Choose shrinkage and seed of a transport.

    Each choice is fitted on half of the wells. Of the other half, transported fields of the source are compared with
    real fields of the target by :func:`realism_auc`, and the choice with the smallest AUC is taken. Random rotations
    differ in how well they fit, and shrinkage helps only where wells are few.

    Args:
        source: Training fields of the class to lead from, in network units.
        target: Training fields of the class to lead to, in network units.
        scale: Intensity scale of the network.
        seed: Of halves, forest, and the first transport.

    Returns:
        Shrinkage and seed for :func:`fit_transport`; 1 and the given seed where a class has fewer wells than
        `FEWEST_WELLS`.
    """
    if min(len(np.unique(fields.wells)) for fields in (source, target)) < FEWEST_WELLS:
        return 1.0, seed
    rng = np.random.default_rng(seed)
    (ours, ours_held), (theirs, theirs_held) = (_split_wells(fields, rng) for fields in (source, target))
    images, wells = ours_held.read_sample(_EVERY_PIXEL, rng)
    real_images, real_wells = theirs_held.read_sample(_EVERY_PIXEL, rng)
    raw, real = _to_counts(images, scale), texture_features(_to_counts(real_images, scale), scale.full_scale)
    plan, found = TransportPlan(max_pixels=_FIT_PIXELS), []
    for shrink, number in _CHOICES:
        fitted = fit_transport(ours, theirs, plan=plan, seed=seed + number, shrink=shrink)
        made = drop_small_changes(raw, _to_counts(fitted.apply(images), scale), scale.full_scale)
        features = texture_features(made, scale.full_scale)
        found.append(realism_auc(real, features, real_wells, wells, seed))
    shrink, number = _CHOICES[int(np.argmin(found))]
    return shrink, seed + number


def _split_wells(fields: ClassFields, rng: np.random.Generator) -> tuple[ClassFields, ClassFields]:
    """Fields of a random half of the wells, and at most 100 of the other half."""
    names = rng.permutation(np.unique(fields.wells))
    is_first = np.isin(fields.wells, names[::2])
    other = _select(fields, np.flatnonzero(~is_first))
    return _select(fields, np.flatnonzero(is_first)), _select(other, other.choose(_MOST_FIELDS, rng))


def _select(fields: ClassFields, rows: npt.NDArray[np.int64]) -> ClassFields:
    return ClassFields(fields.name, lambda some: fields.read(rows[some]), fields.wells[rows])


def _to_counts(images: Floats, scale: IntensityScale) -> Floats:
    """Raw intensities in the smallest steps of the file type."""
    step = np.float32(min(COUNT_STEPS) if scale.full_scale == 255 else 1)
    counts: Floats = np.rint(np.clip(scale.invert(images), 0, scale.full_scale) / step) * step
    return counts
