"""Clusters of wells, and what they may follow: positions, plates, classes, compounds and donors."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

from leigh_mlops.plates import plate_shape, well_name
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.plates.treatment import well_compounds
from leigh_mlops.scores.cluster_agreement import PositionAgreement, position_agreement
from leigh_mlops.screening.well_table import WELL_COLUMNS

__all__ = [
    "PlateShapes",
    "annotation_groups",
    "compare_positions",
    "compare_quarters",
    "known_classes",
    "measure_plates",
    "most_frequent_clusters",
    "position_groups",
]

_MIN_GROUP = 3  # wells of a group that is tested

PlateShapes = Mapping[str, tuple[int, int]]
"""Rows and columns of a plate by its name."""

_POSITIONS = {"row": Metadata.ROW, "column": Metadata.COLUMN, "plate": Metadata.PLATE}
_ANNOTATIONS = {Metadata.CONDITION: "class", Metadata.DONOR: "donor"}


def most_frequent_clusters(
    fields: pd.DataFrame, clusters: npt.NDArray[np.int64], wells: pd.DataFrame
) -> npt.NDArray[np.int64]:
    """Most frequent cluster of the fields of each well, the first of several, shape (W,).

    Args:
        fields: Table of N fields.
        clusters: Cluster of each field, shape (N,).
        wells: Table of their W wells.
    """
    found = pd.Series(clusters, fields.index).groupby([fields[key] for key in WELL_COLUMNS])
    modes = found.agg(lambda each: each.mode().iloc[0])
    return modes.loc[pd.MultiIndex.from_frame(wells[WELL_COLUMNS])].to_numpy(np.int64)


def known_classes(wells: pd.DataFrame) -> npt.NDArray[np.str_]:
    """Class of each well, empty for none, shape (W,)."""
    if Metadata.CONDITION not in wells:
        return np.full(len(wells), "")
    return wells[Metadata.CONDITION].astype(object).where(wells[Metadata.CONDITION].notna(), "").to_numpy(str)


def compare_positions(wells: pd.DataFrame, clusters: npt.NDArray[np.int64]) -> dict[str, PositionAgreement]:
    """Agreement of clusters of wells with ``row``, ``column`` and ``plate`` within classes, where there are several.

    Args:
        wells: Table of W wells.
        clusters: Cluster of each well, shape (W,).
    """
    return {
        name: position_agreement(clusters, wells[column].astype(str).to_numpy(str), known_classes(wells))
        for name, column in _POSITIONS.items()
        if column in wells and len(set(wells[column])) > 1
    }


def compare_quarters(wells: pd.DataFrame, clusters: npt.NDArray[np.int64]) -> PositionAgreement | None:
    """Agreement of clusters of wells with the quarters of their plates, whatever their classes.

    Clusters of classes that stand apart on the plate follow no position within them, and yet can't be told from it.
    Classes that alternate are in all quarters.

    Args:
        wells: Table of W wells.
        clusters: Cluster of each well, shape (W,).

    Returns:
        None where positions are unknown, or all wells in one quarter.
    """
    if not {Metadata.ROW, Metadata.COLUMN} <= set(wells):
        return None
    of_plate = wells.groupby(Metadata.PLATE)
    low, right = (
        (wells[name] > of_plate[name].transform("median")).to_numpy(int) for name in (Metadata.ROW, Metadata.COLUMN)
    )
    quarters = 2 * low + right
    return position_agreement(clusters, quarters) if len(np.unique(quarters)) > 1 else None


def measure_plates(fields: pd.DataFrame) -> dict[str, tuple[int, int]]:
    """Rows and columns of each plate, from all its wells: a part of them may leave its rim out."""
    if not {Metadata.ROW, Metadata.COLUMN} <= set(fields):
        return {}
    by_plate = fields.groupby(fields[Metadata.PLATE].astype(str))
    return {str(name): plate_shape(rows[Metadata.ROW], rows[Metadata.COLUMN]) for name, rows in by_plate}


def position_groups(wells: pd.DataFrame, shapes: PlateShapes) -> dict[str, npt.NDArray[np.bool_]]:
    """Rows, columns, edges and plates with at least three wells, but not all; shape (W,) each."""
    groups: dict[str, npt.NDArray[np.bool_]] = {}
    plates = wells[Metadata.PLATE].astype(str).to_numpy(object)
    for plate in sorted(set(plates)):
        groups[f"plate {plate}"] = plates == plate
    if shapes:
        rows, columns = (wells[name].to_numpy(np.int64) for name in (Metadata.ROW, Metadata.COLUMN))
        last_rows, last_columns = np.array([shapes[plate] for plate in plates]).T
        groups |= {f"row {well_name(int(row), 1)[:-2]}": rows == row for row in np.unique(rows)}
        groups |= {f"column {column}": columns == column for column in np.unique(columns)}
        groups["edge"] = (rows == 1) | (rows == last_rows) | (columns == 1) | (columns == last_columns)
    return _select_testable(groups)


def annotation_groups(wells: pd.DataFrame) -> dict[str, npt.NDArray[np.bool_]]:
    """Classes, compounds and donors with at least three wells, but not all; shape (W,) each."""
    known = {kind: wells[column] for column, kind in _ANNOTATIONS.items() if column in wells}
    names = known | {"compound": well_compounds(wells)}
    groups = {
        f"{kind} {name}": (column.astype(object) == name).to_numpy(bool)
        for kind, column in names.items()
        for name in sorted(set(column[column.notna() & (column != "")]))
    }
    return _select_testable(groups)


def _select_testable(groups: Mapping[str, npt.NDArray[np.bool_]]) -> dict[str, npt.NDArray[np.bool_]]:
    return {name: there for name, there in groups.items() if _MIN_GROUP <= there.sum() < len(there)}
