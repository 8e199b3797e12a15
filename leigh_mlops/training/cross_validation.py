"""Divisions of the training and validation wells for k-fold trials."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from leigh_mlops.errors import LeighError
from leigh_mlops.models import load_package
from leigh_mlops.plates import assign_folds
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.plates.groups import group_names
from leigh_mlops.training.data import PreparedData

__all__ = ["divide_folds", "initial_weight_digests", "redivide"]


def divide_folds(data: PreparedData, folds: int) -> list[PreparedData]:
    """Divide data into training and validation part in several ways; the test part stays.

    The first is the data's own division. In the others, the groups of its training part are
    validated in turn, so that over all of them each group is validated once; they are the
    same whatever the trial and its seed. Where intensities are scaled by controls, each has its own.

    Args:
        data: Prepared images and split.
        folds: Number of divisions, at least 1.

    Raises:
        LeighError: There are too few groups, or a part lacks a class.
    """
    if folds == 1:
        return [data]
    split, usable = data.table[Metadata.SPLIT], (data.labels >= 0) | (not data.needs_labels)
    trained = data.rows("train")
    rows = np.flatnonzero(split.isin(["train", "val"]) & usable)
    groups = group_names(data.table.iloc[rows], data.group).to_numpy(str)
    dealt = _assign_training_folds(data, trained, folds)
    seen = initial_weight_digests(data.starts.values())
    made = []
    for fold in range(folds - 1):
        validated = np.isin(groups, np.unique(groups[np.isin(rows, trained[dealt == fold])]))
        parts = split.copy()
        parts.iloc[rows] = np.where(validated, "val", "train")
        divided = replace(data, table=data.table.assign(Metadata_Split=parts)).drop_seen_wells(*seen)
        made.append(_scale_plates(_require_all_classes(divided, fold + 2, folds)))
    return [data, *made]


def redivide(data: PreparedData, split: "pd.Series[str]") -> PreparedData:
    """Return the data with another split, without wells that the starting weights have seen in validation or test.

    Where intensities are scaled by controls, the level is that of the new training part.

    Args:
        data: Prepared images.
        split: ``train``, ``val``, ``test`` or missing for each row, on the table's index.
    """
    divided = replace(data, table=data.table.assign(Metadata_Split=split))
    return _scale_plates(divided.drop_seen_wells(*initial_weight_digests(data.starts.values())))


def initial_weight_digests(starts: Iterable[str]) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """Digests of the fields on which the weights in some folders were trained, and on which they were selected."""
    arrays = [load_package(Path(folder)).arrays for folder in starts]
    none = np.array([], np.uint64)
    trained, chosen = (
        np.unique(np.concatenate([none, *(kept[name].astype(np.uint64) for kept in arrays)]))
        for name in ("training_digests", "validation_digests")
    )
    return trained, chosen


def _assign_training_folds(data: PreparedData, trained: npt.NDArray[np.int64], folds: int) -> npt.NDArray[np.int64]:
    """Fold of each training row from 0, shape (n,)."""
    if folds == 2:
        return np.zeros(len(trained), np.int64)
    try:
        dealt = assign_folds(data.table.iloc[trained], data.group, folds - 1, needs_labels=data.needs_labels)
        return np.asarray(dealt, dtype=np.int64)
    except LeighError as error:
        raise LeighError(
            f"folds is {folds}, so the training part must make {folds - 1} folds besides the validation part: {error}"
        ) from None


def _require_all_classes(data: PreparedData, number: int, folds: int) -> PreparedData:
    for part in ("train", "val"):
        if (absent := data.lacking_class(part)) is not None:
            of_class = f" of class {absent!r}" if absent else ""
            raise LeighError(
                f"Fold {number} of {folds} has no usable field{of_class} in its {part} part; use fewer folds, or add "
                "images of more wells."
            )
    return data


def _scale_plates(data: PreparedData) -> PreparedData:
    """Bring plates to one level by the controls of this division's own training part."""
    if data.controls is None:
        return data
    acquired = replace(data, cache=replace(data.cache, adjust=None), controls=None)
    return acquired.scale_by_controls((data.table[Metadata.SPLIT] == "train").to_numpy(bool, na_value=False))
