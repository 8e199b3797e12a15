"""Retrieval of replicates: whether fields of one well find each other on their plate, a score without labels."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from leigh_mlops.errors import LeighError
from leigh_mlops.scores.activity import chance_precision

__all__ = ["Retrieval", "replicate_retrieval", "well_precisions"]

_MOST_QUERIES = 1000

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


class Retrieval(NamedTuple):
    """Mean average precision with which fields of one well find each other among the fields of their plate.

    Attributes:
        precision: By cosine similarity, 0 to 1; mean over the fields.
        shuffled: Its expectation for shuffled wells.
        above_chance: Precision on a scale on which shuffled wells have 0 and perfect retrieval 1.
        position: On the same scale, the precision with which fields find those of the closest other wells; NaN where
            positions are not known or no further well is there.
    """

    precision: float
    shuffled: float
    above_chance: float
    position: float

    @property
    def score(self) -> float:
        """Precision above that of shuffled wells and of the position alone, at most 1."""
        return self.above_chance - (0.0 if np.isnan(self.position) else max(0.0, self.position))


def replicate_retrieval(
    profiles: ArrayLike,
    wells: ArrayLike,
    plates: ArrayLike,
    positions: ArrayLike | None = None,
    *,
    seed: int = 0,
) -> Retrieval:
    """Score features by the retrieval of fields of the same well (Kalinin et al. 2025), without any label.

    A network that sees the place on the plate finds the fields of the closest wells, too, so what it finds there is
    no merit.

    Args:
        profiles: Features of fields, shape (N, F); they are centred on each plate.
        wells: Well of each field, shape (N,).
        plates: Plate of each field, shape (N,).
        positions: Row and column of each field's well, shape (N, 2).
        seed: Seed of the fields that ask, at most 1,000 for each plate.

    Raises:
        LeighError: No well has two fields beside a field of another well on its plate.
    """
    rows, names, where = np.asarray(profiles, np.float64), np.asarray(wells), np.asarray(plates)
    places = None if positions is None else np.asarray(positions, np.float64)
    rng = np.random.default_rng(seed)
    found = []
    for plate in np.unique(where):
        own = np.flatnonzero(where == plate)
        found.append(_ask_plate(rows[own], names[own], None if places is None else places[own], rng))
    precision, chance, nearest, nearest_chance = np.concatenate(found).T
    asked, near = np.isfinite(precision), np.isfinite(precision) & np.isfinite(nearest)
    if not asked.any():
        raise LeighError(
            f"None of the {len(np.unique(names))} wells has two fields and another well on its plate, so that no "
            "field can find another of its well; add fields, or choose another metric."
        )
    return Retrieval(
        float(precision[asked].mean()),
        float(chance[asked].mean()),
        float(_precision_above_chance(precision, chance)[asked].mean()),
        float(_precision_above_chance(nearest, nearest_chance)[near].mean()) if near.any() else float("nan"),
    )


def well_precisions(profiles: ArrayLike, wells: ArrayLike, plates: ArrayLike) -> Array:
    """Mean average precision of the fields of each well that has two of them, in the sorted order of the wells.

    Args:
        profiles: Features of fields, shape (N, F).
        wells: Well of each field, shape (N,).
        plates: Plate of each field, shape (N,).

    Returns:
        Shape (W,); wells of one field, and those that are alone on their plate, are not among them.
    """
    rows, names, where = np.asarray(profiles, np.float64), np.asarray(wells), np.asarray(plates)
    precision = np.full(len(rows), np.nan)
    for plate in np.unique(where):
        own = np.flatnonzero(where == plate)
        precision[own] = _ask_plate(rows[own], names[own], None, np.random.default_rng(0), most=len(own))[:, 0]
    means = [precision[names == well].mean() for well in np.unique(names)]
    return np.array([mean for mean in means if np.isfinite(mean)])


def _ask_plate(
    profiles: Array,
    wells: NDArray[np.generic],
    places: Array | None,
    rng: np.random.Generator,
    most: int = _MOST_QUERIES,
) -> Array:
    """Average precision of each asking field for its well and its chance, and for the closest wells; shape (Q, 4)."""
    centred = profiles - profiles.mean(0)
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    unit = centred / np.where(lengths > 0, lengths, 1)
    queries = np.sort(rng.permutation(len(unit))[:most])
    # Features that do not differ rank at random, not in the order of the rows.
    order = np.argsort(1e-12 * rng.random((len(queries), len(unit))) - unit[queries] @ unit.T, axis=1)
    same = wells[queries][:, None] == wells
    own = _precisions(np.take_along_axis(same, order, 1), order != queries[:, None])
    if places is None:
        return np.column_stack([own, np.full_like(own, np.nan)])
    away = np.linalg.norm(places[queries][:, None] - places, axis=2)
    away[same] = np.inf
    closest = (away <= away.min(1, keepdims=True)) & ~same
    return np.column_stack([own, _precisions(*(np.take_along_axis(each, order, 1) for each in (closest, ~same)))])


def _precisions(hits: Mask, candidates: Mask) -> Array:
    """Average precision of each ranking, the nearest first, over its candidates, and its expectation, shape (Q, 2).

    Both are NaN where no candidate, or every one, is a hit.
    """
    relevant = hits & candidates
    count, of = relevant.sum(1), candidates.sum(1)
    precision = np.cumsum(relevant, axis=1) / np.maximum(np.cumsum(candidates, axis=1), 1)
    chance = chance_precision(count, np.maximum(of, 1) - count)
    both = np.column_stack([(precision * relevant).sum(1) / np.maximum(count, 1), chance])
    both[(count == 0) | (count == of)] = np.nan
    return both


def _precision_above_chance(precision: Array, chance: Array) -> Array:
    above: Array = (precision - chance) / (1 - chance)
    return above
