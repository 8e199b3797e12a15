"""Transports between both classes, and the fields before and after them."""

from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks.transport import Floats, Plate, class_fields
from leigh_mlops.images import IntensityScale
from leigh_mlops.models.transport import ClassFields, SlicedTransport, fit_transport
from leigh_mlops.study.transport_choice import choose_transport

DIVISIONS = 3


class Direction(NamedTuple):
    """Fields of one class, in network units, and those of the class to lead to.

    ``divisions`` are the training fields of random halves of the wells, each after a transport that was fitted on the
    other half; ``changed`` are the evaluated fields after the transport of all training wells.
    """

    source: int
    images: Floats
    divisions: tuple[tuple[Floats, Floats], ...]
    real: Floats
    evaluated: Floats
    changed: Floats
    draws: tuple[SlicedTransport, ...]

    @property
    def moved(self) -> Floats:
        """All fields of the first division."""
        return np.concatenate(self.divisions[0])


def fit_direction(plate: Plate, scale: IntensityScale, source: int, seed: int) -> Direction:
    """Fit the transport as a package does, two more draws of it, and one on each half of the wells, three times."""
    ours, theirs = (class_fields(plate, 0, label, scale) for label in (source, 1 - source))
    plan, shrink, chosen = choose_transport(ours, theirs, scale, seed)
    fit = partial(fit_transport, plan=plan, shrink=shrink)
    draws = tuple(fit(ours, theirs, seed=chosen + 10 * number) for number in range(3))
    images, real = (each.read(np.arange(len(each.wells))) for each in (ours, theirs))
    divisions = list[tuple[Floats, Floats]]()
    for number in range(DIVISIONS):
        our_halves, their_halves = (halves(each, seed + number) for each in (ours, theirs))
        pairs = zip(our_halves, their_halves, strict=True)
        fitted = [fit(ours.take(one), theirs.take(other), seed=chosen) for one, other in pairs]
        divisions.append((fitted[1].apply(images[our_halves[0]]), fitted[0].apply(images[our_halves[1]])))
    evaluated = scale.apply(plate.cache.raw(plate.rows(2, source)))
    return Direction(source, images, tuple(divisions), real, evaluated, draws[0].apply(evaluated), draws)


def halves(fields: ClassFields, seed: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Rows of a random half of the wells, and those of the other half."""
    is_first = np.isin(fields.wells, np.random.default_rng(seed).permutation(np.unique(fields.wells))[::2])
    return np.flatnonzero(is_first), np.flatnonzero(~is_first)
