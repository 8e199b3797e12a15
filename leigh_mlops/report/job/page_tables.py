"""Tables of the pages of a report, with links to the pages of wells and plates."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from leigh_mlops.job_columns import JobColumn
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.report.job.html_tables import Table, cell_text, table_from_columns
from leigh_mlops.report.job.job_records import JobReport
from leigh_mlops.report.job.report_pages import MAX_OPEN_PLATES, WELL_KEY, ReportPages, well_keys
from leigh_mlops.report.table_columns import Columns, float_values, is_missing, row_count, select_rows, table_rows

__all__ = ["PlateOverview", "index_tables", "plate_overview", "plate_tables"]

_MAX_LINKS = 8
_MAX_ROWS = 200
"""Number of rows of a table on the first page of a job whose plates have pages of their own."""

_CAPTIONS = {
    "wells": "One row per well",
    "hits": "One row per {group}",
    "plates": "One row per plate",
    "doses": "One row per compound and dose",
    "methods": "One row per method",
    "scores": "One row per predictor of the class",
    "verdicts": "One row per target class and kind of image",
    "clusters": "One row per cluster and position",
    "failures": "Files that could not be explained",
}
_OVERVIEW_MEANINGS = {
    "wells": "number of wells",
    "fields": "number of fields",
    "hits": "number of hits with a well on the plate",
    JobColumn.FLAGGED: "mean share of the wells' fields with a flag, 0 to 1",
}

Links = dict[str, list[Sequence[tuple[str, str]]]]


class PlateOverview(NamedTuple):
    """Hits and numbers of the plates of a report.

    Attributes:
        table: Wells, fields, flags and hits of each plate, and the quality of its controls, a row for each.
        hits: Numbers of the rows of the hits with a well on each plate, or of its wells of another class, by its name.
    """

    table: Columns
    hits: Mapping[str, Sequence[int]]


def index_tables(report: JobReport, pages: ReportPages, overview: PlateOverview) -> list[Table]:
    """Build the tables of the first page.

    Where plates have pages of their own, these show the wells, and other tables end after 200 rows.
    """
    found: dict[str, Columns] = {
        "wells": {} if pages.has_plates else _shown_columns(report, report.wells),
        "hits": report.hits,
        "plates": {} if pages.has_plates else report.plates,
        "doses": report.doses,
        "methods": report.methods,
        "scores": _score_columns(report),
        "verdicts": report.verdicts,
        "clusters": report.clusters,
        "failures": report.failures,
    }
    most = _MAX_ROWS if pages.has_plates else None
    tables = [
        _page_table(report, key, table, report.wells, pages.hrefs if key != "doses" else (), most)
        for key, table in found.items()
        if row_count(table)
    ]
    return [*tables, _overview_table(report, pages, overview.table)] if pages.has_plates else tables


def plate_tables(report: JobReport, hits: Sequence[int], wells: Columns, hrefs: Sequence[str]) -> list[Table]:
    """Build the tables of the page of a plate: its hits, if there are any, and its wells.

    Args:
        report: The report.
        hits: Numbers of the rows of its hits, see `PlateOverview`.
        wells: The wells of the plate.
        hrefs: URL of the page of each.
    """
    found = {"hits": select_rows(report.hits, hits), "wells": _shown_columns(report, wells)}
    return [_page_table(report, key, table, wells, hrefs) for key, table in found.items() if row_count(table)]


def _page_table(
    report: JobReport, key: str, table: Columns, wells: Columns, hrefs: Sequence[str], most: int | None = None
) -> Table:
    """Build a table with links to the pages of some wells; rows after the first ``most`` are left out."""
    count = row_count(table)
    caption = f"{_CAPTIONS[key].format(group=report.group if report.group in report.hits else 'well')}, {count} in all"
    if most is not None and count > most:
        table = select_rows(table, range(most))
        caption = f"{caption}; the first {most} are shown, the files under Downloads hold all"
    linked, links = _link_wells(_drop_interval_ends(table), report, wells, hrefs)
    # One name has another meaning in another table, such as the wells of a compound and those of a score.
    meanings = report.meanings.get(key, {})
    return table_from_columns(key, caption, linked, meanings=meanings, links=links, headings=report.headings)


def _overview_table(report: JobReport, pages: ReportPages, table: Columns) -> Table:
    """Build the table of plates that have pages of their own."""
    caption = f"{_CAPTIONS['plates']}, {len(pages.parts)} in all"
    links: Links = {Metadata.PLATE: [[(part.name, f"plates/{part.page}")] for part in pages.parts]}
    meanings = {**report.meanings.get("plates", {}), **_OVERVIEW_MEANINGS}
    return table_from_columns("plates", caption, table, meanings=meanings, links=links, headings=report.headings)


def _shown_columns(report: JobReport, wells: Columns) -> Columns:
    return {name: wells[name] for name in report.well_columns if name in wells}


def plate_overview(report: JobReport, pages: ReportPages) -> PlateOverview:
    """Summarise the plates, in the order of their parts."""
    parts, hits = pages.parts, _hits_by_plate(report)
    table: dict[str, Sequence[Any]] = {
        Metadata.PLATE: [part.name for part in parts],
        "wells": [len(part.wells) for part in parts],
        "fields": [len(part.fields) for part in parts],
    }
    if JobColumn.FLAGGED in report.wells:
        flagged = float_values(report.wells[JobColumn.FLAGGED])
        table[JobColumn.FLAGGED] = [float(np.mean(flagged[list(part.wells)])) for part in parts]
    if row_count(report.hits):
        table["hits"] = [len(hits.get(part.name, ())) for part in parts]
    by_name = {str(row[Metadata.PLATE]): row for row in table_rows(report.plates)}
    quality = {
        name: [by_name.get(part.name, {}).get(name) for part in parts] for name in report.plates if name not in table
    }
    return PlateOverview(table | quality, hits)


def _hits_by_plate(report: JobReport) -> dict[str, list[int]]:
    hits, found = report.hits, dict[str, list[int]]()
    if report.group not in hits or report.group not in report.wells:
        for place, plate in enumerate(hits.get(Metadata.PLATE, ())):
            found.setdefault(str(plate), []).append(place)
        return found
    called = {name: place for place, (name, is_hit) in enumerate(
        zip(hits[report.group], hits.get("hit", [False] * row_count(hits)), strict=True)) if is_hit}  # fmt: skip
    pairs = zip(report.wells[Metadata.PLATE], report.wells[report.group], strict=True)
    for plate, name in sorted({(str(plate), name) for plate, name in pairs if name in called}):
        found.setdefault(plate, []).append(called[name])
    return {plate: sorted(places) for plate, places in found.items()}


def _drop_interval_ends(table: Columns) -> Columns:
    """Drop the ends of an interval that is also given in one column."""
    if JobColumn.RESCUE_INTERVAL not in table:
        return table
    return {name: table[name] for name in table if name not in (JobColumn.RESCUE_LOW, JobColumn.RESCUE_HIGH)}


def _score_columns(report: JobReport) -> Columns:
    names = dict.fromkeys(name for scores in report.scores.values() for name in scores)
    table = {name: [scores.get(name, math.nan) for scores in report.scores.values()] for name in names}
    return {"predicted from": list(report.scores)} | table


def _link_wells(table: Columns, report: JobReport, wells: Columns, hrefs: Sequence[str]) -> tuple[Columns, Links]:
    """Link the wells of a table to their pages; a table of compounds gets a column of their wells."""
    if not hrefs:
        return table, {}
    if set(WELL_KEY) <= set(table):
        pages = dict(zip(well_keys(wells), hrefs, strict=True))
        keys = well_keys(table)
        return table, {Metadata.WELL: [[(cell_text(key[1]), pages[key])] if key in pages else [] for key in keys]}
    if report.group not in table or report.group not in wells:
        return table, {}
    members: dict[Any, list[tuple[str, str]]] = {}
    has_many = len(set(wells[Metadata.PLATE])) > MAX_OPEN_PLATES
    for key, (plate, well), href in zip(wells[report.group], well_keys(wells), hrefs, strict=True):
        if not is_missing(key):
            members.setdefault(key, []).append((f"{plate} {well}" if has_many else well, href))
    found = [members.get(key, []) for key in table[report.group]]
    texts = [f"and {len(each) - _MAX_LINKS} more" if len(each) > _MAX_LINKS else "" for each in found]
    return {**table, "its wells": texts}, {"its wells": [each[:_MAX_LINKS] for each in found]}
