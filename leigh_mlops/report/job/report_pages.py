"""Pages of a report: their names, and the rows of each plate, so that one plate at a time is in memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from leigh_mlops.plates.columns import Metadata
from leigh_mlops.report.job.job_records import JobReport
from leigh_mlops.report.job.links import page_names
from leigh_mlops.report.table_columns import Columns, group_rows, row_count

__all__ = ["MAX_OPEN_PLATES", "WELL_KEY", "PlatePart", "ReportPages", "report_pages", "well_keys"]

MAX_OPEN_PLATES = 4
"""Number of plates that the first page shows with their wells; of more, each has a page of its own."""

WELL_KEY = (Metadata.PLATE, Metadata.WELL)
"""Columns that identify a well."""


@dataclass(frozen=True)
class PlatePart:
    """Rows of one plate.

    Attributes:
        name: Name of the plate.
        wells: Numbers of its rows in the table of wells.
        fields: Numbers of its rows in the table of fields.
        page: File name of its page; empty where plates have none.
    """

    name: str
    wells: Sequence[int]
    fields: Sequence[int]
    page: str = ""


@dataclass(frozen=True)
class ReportPages:
    """Pages of a report.

    Attributes:
        parts: Rows of each plate, by the plate's name.
        titles: Title of the page of each well, in the order of the table of wells.
        wells: File name of each of these pages.
    """

    parts: Sequence[PlatePart]
    titles: Sequence[str]
    wells: Sequence[str]

    @cached_property
    def hrefs(self) -> list[str]:
        """URL of the page of each well, from the first page."""
        return [f"wells/{name}" for name in self.wells]

    @property
    def has_plates(self) -> bool:
        """Return whether each plate has a page."""
        return any(part.page for part in self.parts)


def report_pages(report: JobReport) -> ReportPages:
    """Name the pages of a report, and divide wells and fields by plate; fields without a well are left out."""
    keys = [(str(plate), str(well)) for plate, well in well_keys(report.wells)]
    of_wells = group_rows(report.wells[Metadata.PLATE]) if keys else {}
    of_fields = group_rows(report.fields.get(Metadata.PLATE, ()))
    plates = sorted(of_wells, key=str)
    files = page_names([[str(plate)] for plate in plates]) if len(plates) > MAX_OPEN_PLATES else [""] * len(plates)
    parts = [
        PlatePart(str(plate), of_wells[plate], of_fields.get(plate, ()), file)
        for plate, file in zip(plates, files, strict=True)
    ]
    return ReportPages(parts, [f"{plate}, well {well}" for plate, well in keys], page_names(keys))


def well_keys(table: Columns) -> list[tuple[Any, Any]]:
    """Plate and well of each row; none of an empty table."""
    return list(zip(*(table[name] for name in WELL_KEY), strict=True)) if row_count(table) else []
