"""Groups of wells in which clusters may be enriched: positions, plates, classes, compounds and donors."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

from leigh_mlops.plates import plate_shape, well_name
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.plates.treatment import well_compounds

__all__ = ["PlateShapes", "annotation_groups", "measure_plates", "position_groups"]

_MIN_GROUP = 3  # wells of a group that is tested

PlateShapes = Mapping[str, tuple[int, int]]
"""Rows and columns of a plate by its name."""

_ANNOTATIONS = {Metadata.CONDITION: "class", Metadata.DONOR: "donor"}


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
