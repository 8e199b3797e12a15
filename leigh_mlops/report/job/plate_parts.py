"""Rows of a report by plate, so that only the fields of one plate have to be in memory as plain values."""

from collections.abc import Sequence
from dataclasses import dataclass

from leigh_mlops.plates.columns import Metadata
from leigh_mlops.report.table_columns import Columns, group_rows, row_count

__all__ = ["PlatePart", "plate_parts"]


@dataclass(frozen=True)
class PlatePart:
    """Rows of one plate.

    Attributes:
        name: Name of the plate.
        wells: Numbers of its rows in the table of wells.
        fields: Numbers of its rows in the table of fields.
    """

    name: str
    wells: Sequence[int]
    fields: Sequence[int]


def plate_parts(wells: Columns, fields: Columns) -> list[PlatePart]:
    """Divide wells and fields by plate, in the order of the wells; fields of a plate without a well are left out."""
    if not row_count(wells):
        return []
    of_fields = group_rows(fields.get(Metadata.PLATE, ()))
    return [
        PlatePart(str(plate), rows, of_fields.get(plate, ()))
        for plate, rows in group_rows(wells[Metadata.PLATE]).items()
    ]
