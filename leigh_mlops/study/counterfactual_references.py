"""Data by which a job evaluates counterfactuals: independent classifiers, and measures of real training fields."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from leigh_mlops.images import region_features, texture_features
from leigh_mlops.models.oracles import fit_panel
from leigh_mlops.models.package import ORACLES, TYPICALITY
from leigh_mlops.models.transport import ClassFields
from leigh_mlops.scores.realism import fit_typicality
from leigh_mlops.training import PreparedData

__all__ = ["cell_area", "oracle_arrays", "typicality_arrays"]

_MOST_FIELDS = 256  # of each class are enough for a percentile of 99

Arrays = dict[str, npt.NDArray[Any]]
Rows = npt.NDArray[np.int64]


def oracle_arrays(data: PreparedData, full_scale: int, seed: int = 0) -> Arrays:
    """Arrays of the panel of independent classifiers, trained on the training wells; none without validation fields.

    Args:
        data: Data of the study.
        full_scale: Largest raw intensity of the file type.
        seed: Seed of the panel.
    """
    train, val = ([_class_rows(data, part, label) for label in range(len(data.classes))] for part in ("train", "val"))
    if not all(len(rows) for rows in (*train, *val)):
        return {}
    panel = fit_panel(_class_fields(data, train), _class_fields(data, val), full_scale, seed + 1)
    return {f"{ORACLES}{name}": array for name, array in panel.to_arrays().items()}


def typicality_arrays(data: PreparedData, full_scale: int) -> Arrays:
    """Texture of the real training fields of each class, from which the realism of a field is measured."""
    arrays: Arrays = {}
    for label in range(len(data.classes)):
        rows = _class_rows(data, "train", label)
        if len(rows):
            fitted = fit_typicality(texture_features(data.cache.raw(_spread(rows)), full_scale))
            arrays |= {f"{TYPICALITY}{label}/{name}": array for name, array in fitted.to_arrays().items()}
    return arrays


def cell_area(data: PreparedData, thresholds: Sequence[float]) -> dict[str, str | float]:
    """Measure of the area of cells in the first channel, and its median over the training fields."""
    raw = data.cache.raw(_spread(data.rows("train")))
    measured = [region_features(field, data.channels, thresholds) for field in raw]
    name = next(name for name in measured[0] if "area" in name)
    return {"measure": name, "median": float(np.median([each[name] for each in measured]))}


def _class_rows(data: PreparedData, part: str, label: int) -> Rows:
    rows = data.rows(part)
    of_class: Rows = rows[data.labels[rows] == label]
    return of_class


def _class_fields(data: PreparedData, rows: Sequence[Rows]) -> list[ClassFields]:
    """Fields of every class in raw intensities."""

    def fields(name: str, some: Rows) -> ClassFields:
        return ClassFields(name, lambda chosen: data.cache.raw(some[chosen]), data.wells[some])

    return [fields(name, some) for name, some in zip(data.classes, rows, strict=True)]


def _spread(rows: Rows) -> Rows:
    """Select at most 256 rows, evenly spaced."""
    chosen: Rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _MOST_FIELDS)).astype(int))]
    return chosen
