"""Fit of the maps between classes on the training wells of a study."""

from collections import Counter
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from leigh_mlops.images import IntensityScale
from leigh_mlops.models.transport import (
    REFERENCES,
    SHAM,
    TRANSPORT,
    ClassFields,
    ClassMap,
    ClassMaps,
    SlicedTransport,
    TransportPlan,
    fit_transport,
)
from leigh_mlops.models.transport.class_maps import Pair
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.study.transport_choice import TransportChoice, choose_transport, noisiest_choice
from leigh_mlops.training import PreparedData

__all__ = ["MOST_CLASSES", "class_fields", "class_pairs", "fit_class_maps", "fit_shams", "halve_wells", "match_plates"]

MOST_CLASSES = 4
"""Number of classes up to which there are maps between all pairs; with more, to and from the largest class only."""

_UNFITTED = "nothing"
_SHAM_PIXELS = 2**22  # half the wells hold half the fields

Rows = npt.NDArray[np.int64]


def fit_class_maps(data: PreparedData, scale: IntensityScale, seed: int = 0) -> ClassMaps:
    """Fit transport, references and shams for the pairs of classes on the training wells.

    Where plates hold both classes of a pair, only these plates are used, each with the same share of the wells of
    either class, so that the difference between plates is no part of the map.

    Args:
        data: Data of the study.
        scale: Intensity scale of the network, in whose units the maps are.
        seed: Of samples, shifts and rotations.
    """
    maps: dict[str, dict[Pair, ClassMap]] = {name: {} for name in (TRANSPORT, *REFERENCES) if name != _UNFITTED}
    train, wells, choices = data.rows("train"), data.wells, list[TransportChoice]()
    plates = data.table[Metadata.PLATE].astype(str).to_numpy(str)
    for pair in class_pairs(data.labels[train]):
        ours, theirs = (train[data.labels[train] == label] for label in pair)
        rows = match_plates(ours, theirs, wells, plates, np.random.default_rng(seed))
        source, target = (
            class_fields(data, scale, some, data.classes[label]) for some, label in zip(rows, pair, strict=True)
        )
        choice = choose_transport(source, target, scale, seed)
        maps[TRANSPORT][pair] = fit_transport(source, target, plan=choice.plan, seed=choice.seed, shrink=choice.shrink)
        choices.append(choice)
        for name in maps.keys() - {TRANSPORT}:
            maps[name][pair] = REFERENCES[name].fit(source, target, seed)
    noisiest = noisiest_choice(choices)
    maps[SHAM] = dict(fit_shams(data, scale, seed, noisiest.shrink, noisiest.plan))
    return ClassMaps(maps)


def fit_shams(
    data: PreparedData,
    scale: IntensityScale,
    seed: int = 0,
    shrink: float = 1.0,
    plan: TransportPlan | None = None,
) -> dict[Pair, SlicedTransport]:
    """Fit a transport from each class that has a map to itself, between random halves of its training wells.

    Each half has half the wells, so the noise of these maps is about 1.4 times that of the transport between classes.
    A class of a single well has none.

    Args:
        data: Data of the study.
        scale: Intensity scale of the network, in whose units the maps are.
        seed: Of halves, samples, shifts and rotations.
        shrink: That of the transport between classes whose noise these maps measure.
        plan: Layers of that transport; the default ones where ``None``.
    """
    train, wells = data.rows("train"), data.wells
    plates = data.table[Metadata.PLATE].astype(str).to_numpy(str)
    small = replace(plan or TransportPlan(), max_pixels=_SHAM_PIXELS)
    shams: dict[Pair, SlicedTransport] = {}
    for label in sorted({source for source, _ in class_pairs(data.labels[train])}):
        rows = train[data.labels[train] == label]
        halves = halve_wells(rows, wells, plates, np.random.default_rng(seed))
        if all(len(half) for half in halves):
            ours, theirs = (class_fields(data, scale, half, data.classes[label]) for half in halves)
            shams[label, label] = fit_transport(ours, theirs, plan=small, seed=seed, shrink=shrink)
    return shams


def class_pairs(labels: npt.NDArray[np.int64]) -> list[Pair]:
    """Ordered pairs of the classes that have fields; of more than `MOST_CLASSES`, those with the largest class.

    Example:
        >>> class_pairs(np.array([0, 2, 2]))
        [(0, 2), (2, 0)]
    """
    counts = Counter(labels.tolist())
    centre = min(counts, key=lambda label: (-counts[label], label), default=None)
    return [
        (source, target)
        for source in sorted(counts)
        for target in sorted(counts)
        if source != target and (len(counts) <= MOST_CLASSES or centre in (source, target))
    ]


def class_fields(data: PreparedData, scale: IntensityScale, rows: Rows, name: str) -> ClassFields:
    """Fields of some rows, read in network units."""
    return ClassFields(name, lambda some: scale.apply(data.cache.raw(rows[some])), data.wells[rows])


def halve_wells(
    rows: Rows, wells: npt.NDArray[np.str_], plates: npt.NDArray[np.str_], rng: np.random.Generator
) -> tuple[Rows, Rows]:
    """Rows of two random halves of the wells, each with half the wells of every plate.

    Args:
        rows: Row numbers, shape (n,).
        wells: Well of every row of the table, shape (N,).
        plates: Plate of every row of the table, shape (N,).
        rng: Generator that draws the halves.
    """
    in_order = [
        well
        for plate in np.unique(plates[rows])
        for well in rng.permutation(np.unique(wells[rows][plates[rows] == plate]))
    ]
    is_first = np.isin(wells[rows], in_order[::2])
    return rows[is_first], rows[~is_first]


def match_plates(
    source: Rows, target: Rows, wells: npt.NDArray[np.str_], plates: npt.NDArray[np.str_], rng: np.random.Generator
) -> tuple[Rows, Rows]:
    """Rows of two classes in which every plate has the same share of the wells of either class.

    Plates that hold one class alone are left out where another plate holds both; where none does, all rows stay.

    Args:
        source: Row numbers of one class, shape (n,).
        target: Row numbers of the other class, shape (m,).
        wells: Well of every row of the table, shape (N,).
        plates: Plate of every row of the table, shape (N,).
        rng: Generator that chooses wells where a plate has too many.
    """
    counts = [
        Counter(plate for plate, _ in set(zip(plates[rows], wells[rows], strict=True))) for rows in (source, target)
    ]
    common = sorted(counts[0].keys() & counts[1].keys())
    if not common:
        return source, target
    totals = [sum(count[plate] for plate in common) for count in counts]
    shares = {plate: min(count[plate] / total for count, total in zip(counts, totals, strict=True)) for plate in common}
    matched = []
    for rows, count in zip((source, target), counts, strict=True):
        size = min(count[plate] / shares[plate] for plate in common)
        kept = [
            rng.permutation(np.unique(wells[rows][plates[rows] == plate]))[: max(round(size * shares[plate]), 1)]
            for plate in common
        ]
        matched.append(rows[np.isin(wells[rows], np.concatenate(kept))])
    return matched[0], matched[1]
