"""Choice of a transport on training wells that did not fit it, by whether it makes the class and looks real."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from leigh_mlops.images import IntensityScale, texture_features
from leigh_mlops.models.transport import (
    COUNT_STEPS,
    ClassFields,
    ClassMap,
    TransportPlan,
    drop_small_changes,
    fit_transport,
)
from leigh_mlops.scores.realism import realism_auc

__all__ = ["CHOICES", "FEWEST_WELLS", "LONG_PLAN", "TransportChoice", "choose_transport", "noisiest_choice"]

FEWEST_WELLS = 8
"""Wells of each class from which a choice is made; half of them fit, half are compared."""

LONG_PLAN = TransportPlan(
    sides=(1, *(8, 4, 2, 16) * 9, 8, 4, 2, 1),
    mixes=(False, *(True, False, True, True) * 9, True, True, True, False),
    principal=(False, *(False, True, False, False) * 9, False, False, False, False),
)
"""Twice as many layers, some in principal directions, for classes that differ in texture more than in intensity."""

_MOST_FIELDS = 100
_FIT_PIXELS = 2**20
_EVERY_PIXEL = 2**62
_LEAST_SPREAD = 1e-6
_WHOLE = 0.85  # share of the difference of the classes from which a transport makes all of it

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]


class TransportChoice(NamedTuple):
    """Arguments of :func:`fit_transport`.

    Attributes:
        plan: Layers.
        shrink: Shrinkage.
        seed: Seed of shifts, rotations and samples.
    """

    plan: TransportPlan
    shrink: float
    seed: int


_SHRUNK = TransportChoice(TransportPlan(), 1.0, 0)
CHOICES = (
    *(TransportChoice(TransportPlan(), 0.0, number) for number in range(3)),
    _SHRUNK,
    TransportChoice(LONG_PLAN, 0.0, 0),
)
"""Transports from which one is chosen; the seed is added to the given one."""


def choose_transport(source: ClassFields, target: ClassFields, scale: IntensityScale, seed: int = 0) -> TransportChoice:
    """Choose layers, shrinkage and seed of a transport.

    Each choice is fitted on half of the wells, and applied to fields of the other half. Of the choices that make at
    least 85 % of the difference of the classes along their linear discriminant (in texture features of both halves),
    the one whose fields are least distinguishable from real ones is taken, by :func:`realism_auc`. If none makes as
    much, the long plan is tried, too, and the one that makes most is taken. Random rotations differ in how well they
    fit, and shrinkage helps only where wells are few.

    Args:
        source: Training fields of the class to lead from, in network units.
        target: Training fields of the class to lead to, in network units.
        scale: Intensity scale of the network.
        seed: Of halves, forest, and the first transport.

    Returns:
        The choice; the default plan with shrinkage 1 where a class has fewer wells than `FEWEST_WELLS`.
    """
    if min(len(np.unique(fields.wells)) for fields in (source, target)) < FEWEST_WELLS:
        return _SHRUNK._replace(seed=seed)
    rng = np.random.default_rng(seed)
    (ours, ours_held), (theirs, theirs_held) = (_split_wells(fields, rng) for fields in (source, target))
    held = _HeldFields.read(ours_held, theirs_held, scale, rng)
    axis = held.discriminant(*(_features(fields, scale, rng) for fields in (ours, theirs)))
    shares, made = list[float](), list[Doubles]()
    for plan, shrink, number in CHOICES:
        if plan == LONG_PLAN and max(shares) >= _WHOLE:
            break
        small = replace(plan, max_pixels=_FIT_PIXELS)
        features = held.apply(fit_transport(ours, theirs, plan=small, seed=seed + number, shrink=shrink), scale)
        shares.append(held.difference_share(features, axis))
        made.append(features)
    chosen = CHOICES[best_choice(shares, lambda number: held.realism(made[number], seed))]
    return chosen._replace(seed=seed + chosen.seed)


class _HeldFields(NamedTuple):
    """Fields of both classes that fit no transport; images in network units, their counts, texture features, wells."""

    images: Floats
    raw: Floats
    features: Doubles
    wells: npt.NDArray[np.str_]
    target_features: Doubles
    target_wells: npt.NDArray[np.str_]

    @classmethod
    def read(
        cls, source: ClassFields, target: ClassFields, scale: IntensityScale, rng: np.random.Generator
    ) -> "_HeldFields":
        """Read all fields."""
        images, wells = source.read_sample(_EVERY_PIXEL, rng)
        target_images, target_wells = target.read_sample(_EVERY_PIXEL, rng)
        raw, real = (_to_counts(each, scale) for each in (images, target_images))
        features, target_features = (texture_features(each, scale.full_scale) for each in (raw, real))
        return cls(images, raw, features, wells, target_features, target_wells)

    def apply(self, fitted: ClassMap, scale: IntensityScale) -> Doubles:
        """Features of the source's fields after a map."""
        made = drop_small_changes(self.raw, _to_counts(fitted.apply(self.images), scale), scale.full_scale)
        return texture_features(made, scale.full_scale)

    def discriminant(self, source: Doubles, target: Doubles) -> Doubles:
        """Weights of the features along which these and the fields that fit differ most, by class."""
        return _discriminant(np.concatenate([source, self.features]), np.concatenate([target, self.target_features]))

    def difference_share(self, features: Doubles, axis: Doubles) -> float:
        """Share of the classes' difference in the median along an axis; 1 where the axis says nothing of them."""
        before, goal, after = (
            float(np.median(each @ axis)) for each in (self.features, self.target_features, features)
        )
        return (after - before) / (goal - before) if goal > before else 1.0

    def realism(self, features: Doubles, seed: int) -> float:
        """AUC by which fields with these features, made of the source's, are told from the target's."""
        return realism_auc(self.target_features, features, self.target_wells, self.wells, seed)


def best_choice(shares: Sequence[float], auc: Callable[[int], float]) -> int:
    """Number of the choice with the smallest AUC of those with a share of at least 85 %, else the largest share.

    Args:
        shares: Shares by choice.
        auc: AUC of a choice by its number; it is called only where several choices have such a share.

    Example:
        >>> best_choice([0.9, 1.1, 0.5], [0.8, 0.7, 0.6].__getitem__)
        1
        >>> best_choice([0.2, 0.4], [0.7, 0.8].__getitem__)
        1
    """
    whole = [number for number, share in enumerate(shares) if share >= _WHOLE]
    if len(whole) < 2:
        return whole[0] if whole else int(np.argmax(shares))
    return min(whole, key=auc)


def noisiest_choice(choices: Sequence[TransportChoice]) -> TransportChoice:
    """Choice of the least shrinkage, and of those the one with most layers; the default plan, shrunk, of none.

    Example:
        >>> noisiest_choice([]).shrink
        1.0
    """
    return min(choices, key=lambda each: (each.shrink, -len(each.plan.sides)), default=_SHRUNK)


def _features(fields: ClassFields, scale: IntensityScale, rng: np.random.Generator) -> Doubles:
    """Texture features of at most as many fields as a choice is fitted on."""
    images, _ = fields.read_sample(_FIT_PIXELS, rng)
    return texture_features(_to_counts(images, scale), scale.full_scale)


def _discriminant(ours: Doubles, theirs: Doubles) -> Doubles:
    """Weights of the features along which two classes differ most (Fisher), covariance after Ledoit and Wolf."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    features = np.concatenate([ours, theirs])
    spread = np.maximum(features.std(axis=0), _LEAST_SPREAD)
    labels = np.repeat([0, 1], [len(ours), len(theirs)])
    fitted = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(features / spread, labels)
    weights: Doubles = fitted.coef_[0] / spread
    return weights


def _split_wells(fields: ClassFields, rng: np.random.Generator) -> tuple[ClassFields, ClassFields]:
    """Fields of a random half of the wells, and at most 100 of the other half."""
    names = rng.permutation(np.unique(fields.wells))
    is_first = np.isin(fields.wells, names[::2])
    other = fields.take(np.flatnonzero(~is_first))
    return fields.take(np.flatnonzero(is_first)), other.take(other.choose(_MOST_FIELDS, rng))


def _to_counts(images: Floats, scale: IntensityScale) -> Floats:
    """Raw intensities in the smallest steps of the file type."""
    step = np.float32(min(COUNT_STEPS) if scale.full_scale == 255 else 1)
    counts: Floats = np.rint(np.clip(scale.invert(images), 0, scale.full_scale) / step) * step
    return counts
