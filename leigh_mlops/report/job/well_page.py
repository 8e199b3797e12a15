"""Page of one well: its fields, their explanations, and links to the neighbouring wells."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from leigh_mlops.job_columns import PICTURE
from leigh_mlops.report.job.html_tables import cell_text, column_text, heading, table_from_records
from leigh_mlops.report.job.job_records import CounterfactualStep, FieldSection, ReportPicture
from leigh_mlops.report.job.links import relative_url
from leigh_mlops.report.job.templating import write_page
from leigh_mlops.report.table_columns import Columns, row_count

__all__ = ["Neighbour", "WellPage", "find_neighbour", "write_well_page"]

STATUS_TEXTS = {
    "green": "● green: holds",
    "amber": "▲ amber: holds, with reservations",
    "red": "■ red: did not arrive, explains nothing",
    "": "the image as it is",
}
"""Each has a symbol of its own, for colour-blind readers."""


@dataclass(frozen=True)
class Neighbour:
    """Name and page of another well or plate."""

    name: str
    href: str


def find_neighbour(named: Sequence[Neighbour], place: int) -> Neighbour | None:
    """Return the page at a place, from 0; None before the first and after the last one."""
    return named[place] if 0 <= place < len(named) else None


@dataclass(frozen=True)
class WellPage:
    """Content of the page of a well.

    Attributes:
        title: Plate and well.
        well: Row of the well.
        essential: Columns of the well that are shown at the top.
        fields: Columns of its fields.
        field_sections: Sections of its fields, in their order.
        previous: The well before it.
        following: The well after it.
        meanings: Meaning of each column, by its name.
        root: Relative path from the report's folder to the job's.
        headings: Heading of a column, where it is not the usual one.
        plate: The page of its plate; None where plates have no pages.
    """

    title: str
    well: Mapping[str, Any]
    key_columns: Sequence[str]
    fields: Columns
    field_sections: Sequence[FieldSection]
    previous: Neighbour | None
    following: Neighbour | None
    meanings: Mapping[str, str]
    root: str
    headings: Mapping[str, str] = field(default_factory=dict)
    plate: Neighbour | None = None


def write_well_page(path: Path, page: WellPage) -> Path:
    """Write a well's page: fields, channels, heatmaps, slider, verification, numbers.

    Args:
        path: The file to write, one folder below the report's first page.
        page: Content of the page.
    """
    return write_page(
        path,
        "job_well.html",
        "job_well_script.html",
        title=page.title,
        facts={heading(name, page.headings): column_text(name, page.well[name]) for name in page.key_columns},
        previous=page.previous,
        following=page.following,
        plate=page.plate,
        sections=[
            _section_context(number, section, page.root) for number, section in enumerate(page.field_sections, start=1)
        ],
        numbers=_number_rows(page),
        field_titles=_field_titles(page),
    )


def _field_titles(page: WellPage) -> list[str]:
    """Title of each field, also of fields without a section."""
    if len(page.field_sections) == row_count(page.fields):
        return [section.title for section in page.field_sections]
    return [str(name) for name in page.fields["field"]]


def _section_context(number: int, section: FieldSection, root: str) -> dict[str, Any]:
    way = f"../{root}"
    return {
        "key": f"field-{number}",
        "title": section.title,
        "facts": section.facts,
        "flags": section.flags,
        "originals": [_picture_context(each, way) for each in (section.image, *section.channels) if each is not None],
        "maps": [_picture_context(each, way) for each in section.maps],
        "target": section.target,
        "references": [_picture_context(each, way) for each in section.references],
        "steps": [_step_context(each, section.target, way) for each in section.steps],
        "verification": table_from_records(
            f"verification-{number}", f"{section.title}: one row per counterfactual", section.verification
        ),
        "changes": table_from_records(f"changes-{number}", f"{section.title}: one row per measure", section.changes),
        "others": [_picture_context(each, way) for each in section.others],
        "notes": section.notes,
    }


def _picture_context(picture: ReportPicture, way: str) -> dict[str, str]:
    return {
        "src": relative_url(way, picture.path),
        "title": picture.title,
        "caption": picture.caption[:1].upper() + picture.caption[1:],
        "warning": picture.warning,
    }


def _step_context(step: CounterfactualStep, target: str, way: str) -> dict[str, str]:
    known = "" if math.isnan(step.probability) else f"probability of {target} {step.probability:.3f}"
    status = STATUS_TEXTS[step.status]
    return {
        "src": relative_url(way, step.path),
        "name": step.name,
        "probability": known,
        "status": status,
        "kind": step.status or "none",
        "verdict": step.verdict,
        "said": ", ".join(part for part in (step.name, known, status, step.verdict) if part),
    }


def _number_rows(page: WellPage) -> list[dict[str, Any]]:
    """Rows of all columns except paths of pictures: values of the well and of each of its fields."""
    columns = [str(name) for name in dict.fromkeys([*page.well, *page.fields]) if name not in PICTURE]
    nothing = [""] * row_count(page.fields)
    return [
        {
            "name": name,
            "meaning": page.meanings.get(name, ""),
            "cells": [cell_text(page.well.get(name)), *map(cell_text, page.fields.get(name, nothing))],
        }
        for name in columns
    ]
