"""The page of one well: its fields, what explains them, and the way to its neighbours."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from leigh_mlops.report.job_addresses import address
from leigh_mlops.report.job_pages import write_page
from leigh_mlops.report.job_records import FieldStory, ReportPicture, Step
from leigh_mlops.report.job_tables import cell_text, heading, named_text, table_of_records

__all__ = ["Neighbour", "WellPage", "write_well_page"]

LIGHTS = {
    "green": "● green: holds",
    "amber": "▲ amber: holds, with a measure beyond its limit",
    "red": "■ red: did not arrive, explains nothing",
    "": "the image as it is",
}
"""Each with a sign of its own, for eyes that see no red."""


@dataclass(frozen=True)
class Neighbour:
    """Another well's name and page."""

    name: str
    href: str


@dataclass(frozen=True)
class WellPage:
    """What stands on the page of a well.

    Attributes:
        title: Plate and well.
        well: The well's row.
        essential: Columns of it that everybody reads.
        fields: Its fields' rows.
        stories: Of its fields, in their order.
        previous: The well before it.
        following: The well after it.
        meanings: What a column means, by its name.
        root: Way from the report's folder to the job's.
    """

    title: str
    well: Mapping[str, Any]
    essential: Sequence[str]
    fields: pd.DataFrame
    stories: Sequence[FieldStory]
    previous: Neighbour | None
    following: Neighbour | None
    meanings: Mapping[str, str]
    root: str


def write_well_page(path: Path, page: WellPage) -> Path:
    """Write a well's page: fields, channels, heatmaps, slider, certificate, numbers.

    Args:
        path: The file, one folder below the report's first page.
        page: What stands on it.
    """
    return write_page(
        path,
        "job_well.html",
        "job_well_script.html",
        title=page.title,
        facts={heading(name): named_text(name, page.well[name]) for name in page.essential},
        previous=page.previous,
        following=page.following,
        stories=[_shown(number, story, page.root) for number, story in enumerate(page.stories, start=1)],
        numbers=_numbers(page),
        field_titles=_titles(page),
    )


def _titles(page: WellPage) -> list[str]:
    """One for each field, also for one that has no story."""
    if len(page.stories) == len(page.fields):
        return [story.title for story in page.stories]
    return [str(name) for name in page.fields["field"]]


def _shown(number: int, story: FieldStory, root: str) -> dict[str, Any]:
    way = f"../{root}"
    return {
        "key": f"field-{number}",
        "title": story.title,
        "facts": story.facts,
        "flags": story.flags,
        "originals": [_picture(each, way) for each in (story.image, *story.channels) if each is not None],
        "maps": [_picture(each, way) for each in story.maps],
        "target": story.target,
        "steps": [_step(each, story.target, way) for each in story.steps],
        "certificates": table_of_records(
            f"certificates-{number}", f"{story.title}: one row per counterfactual", story.certificates
        ),
        "changes": table_of_records(f"changes-{number}", f"{story.title}: one row per measure", story.changes),
        "others": [_picture(each, way) for each in story.others],
        "notes": story.notes,
    }


def _picture(picture: ReportPicture, way: str) -> dict[str, str]:
    return {
        "src": address(way, picture.path),
        "title": picture.title,
        "caption": picture.caption[:1].upper() + picture.caption[1:],
        "warning": picture.warning,
    }


def _step(step: Step, target: str, way: str) -> dict[str, str]:
    known = "" if math.isnan(step.probability) else f"probability of {target} {step.probability:.3f}"
    light = LIGHTS[step.light]
    return {
        "src": address(way, step.path),
        "name": step.name,
        "probability": known,
        "light": light,
        "kind": step.light or "none",
        "said": ", ".join(part for part in (step.name, known, light) if part),
    }


def _numbers(page: WellPage) -> list[dict[str, Any]]:
    """All columns but those of files: of the well, and of each of its fields."""
    columns = [str(name) for name in dict.fromkeys([*page.well, *page.fields]) if not str(name).startswith("picture_")]
    return [
        {
            "name": name,
            "meaning": page.meanings.get(name, ""),
            "well": cell_text(page.well.get(name)),
            "fields": [cell_text(value) for value in page.fields[name]] if name in page.fields else None,
        }
        for name in columns
    ]
