"""HTML report of a job: a folder of pages that open from disk, without a network."""

import base64
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from leigh_mlops.job_columns import JobColumn
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.report.job.charts import (
    PageChart,
    curve_charts,
    dose_charts,
    latent_chart,
    neighbour_chart,
    strip_chart,
)
from leigh_mlops.report.job.html_tables import Table, cell_text, table_from_columns
from leigh_mlops.report.job.job_records import CounterfactualStep, FieldSection, JobReport, PlateMetric, ReportPicture
from leigh_mlops.report.job.links import page_names, relative_url
from leigh_mlops.report.job.plate_map import legends, plate_grids, well_colours, well_sentence
from leigh_mlops.report.job.plate_parts import PlatePart, plate_parts
from leigh_mlops.report.job.templating import write_page
from leigh_mlops.report.job.well_page import Neighbour, WellPage, write_well_page
from leigh_mlops.report.table_columns import (
    Columns,
    group_rows,
    is_missing,
    is_numeric,
    row_count,
    select_rows,
    table_rows,
)

__all__ = ["FieldSection", "JobReport", "PlateMetric", "ReportPicture", "CounterfactualStep", "write_job_report"]

_WELL = [Metadata.PLATE, Metadata.WELL]
_MAX_LINKS = 8
_INLINE_BYTES = 400_000
"""Maximal size of a picture that is embedded in the page, so that the page can be read alone."""

_MAX_OPEN_PLATES = 4


def write_job_report(folder: Path, report: JobReport) -> Path:
    """Write ``index.html`` and a page for each well, ``wells/<plate>_<well>.html``.

    ``index.html`` can be read alone: plates, charts and tables are part of it. Pictures of
    fields are linked from the job's folder and loaded on demand.

    Args:
        folder: Folder of the report; created if it is missing.
        report: Content of the report.

    Returns:
        The path of ``index.html``.

    Raises:
        ValueError: The path of a picture or a download is absolute.
    """
    names = page_names([(str(plate), str(well)) for plate, well in _well_keys(report.wells)])
    previews = [""] * len(names)
    for part in plate_parts(report.wells, report.fields):
        for place, preview in zip(part.wells, _write_well_pages(folder, report, part, names), strict=True):
            previews[place] = preview
    for page in (folder / "wells").glob("*.html"):
        if page.name not in names:  # of a well that no longer exists
            page.unlink()
    hrefs = [f"wells/{name}" for name in names]
    return write_page(
        folder / "index.html",
        "job_index.html",
        "job_script.html",
        report=report,
        plates=plate_grids(report.wells, hrefs),
        open_plates=_MAX_OPEN_PLATES,
        legends=legends(report.wells, report.metrics),
        map_data=_map_data(report, hrefs, previews),
        tables={table.key: table for table in _tables(report, hrefs)},
        strips=_score_strip_chart(report),
        latents=latent_chart(report.fields, report.wells, hrefs),
        neighbours=neighbour_chart(report.neighbours, report.wells, hrefs),
        curves=curve_charts(report.curves),
        doses=dose_charts(report.doses, report.headings.get(JobColumn.RESCUE, "rescue (%)")),
        dosed_compounds=len(set(report.doses.get("compound", ()))),
        failures=row_count(report.failures),
        pictures=[_picture_context(each, folder, report.root) for each in report.pictures],
        downloads=[(relative_url(report.root, path), path, what) for path, what in report.downloads.items()],
        inside=f"{report.root}/",
        url_of=lambda path: relative_url(report.root, path),
    )


def _well_keys(table: Columns) -> list[tuple[Any, Any]]:
    """Plate and well of each row; none of an empty table."""
    return list(zip(*(table[name] for name in _WELL), strict=True)) if row_count(table) else []


def _write_well_pages(folder: Path, report: JobReport, part: PlatePart, names: Sequence[str]) -> list[str]:
    """Write the pages of a plate's wells; return the path of a picture of each, empty for none."""
    titles = [f"{plate}, well {well}" for plate, well in _well_keys(report.wells)]
    wells, fields = select_rows(report.wells, part.wells), select_rows(report.fields, part.fields)
    sections = report.field_sections(fields)
    by_well = group_rows(fields.get(Metadata.WELL, ()))
    previews = []
    for place, well in zip(part.wells, table_rows(wells), strict=True):
        own = select_rows(fields, by_well.get(well[Metadata.WELL], []))
        shown = [sections[name] for name in own.get(JobColumn.FIELD, ()) if name in sections]
        page = WellPage(
            title=titles[place],
            well=well,
            key_columns=[name for name in report.well_columns if name in well],
            fields=own,
            field_sections=shown,
            previous=Neighbour(titles[place - 1], names[place - 1]) if place else None,
            following=Neighbour(titles[place + 1], names[place + 1]) if place + 1 < len(names) else None,
            meanings=report.meanings.get("wells", {}),
            headings=report.headings,
            root=report.root,
        )
        write_well_page(folder / "wells" / names[place], page)
        previews.append(shown[0].image.path if shown and shown[0].image else "")
    return previews


def _map_data(report: JobReport, hrefs: Sequence[str], previews: Sequence[str]) -> dict[str, Any]:
    """Data for the script of the page: colours and texts by metric, a sentence and a picture for each well."""
    if not row_count(report.wells):
        return {"metrics": [], "wells": []}
    named = [name for name in report.well_columns if name not in _WELL]
    wells = [
        [well_sentence(well, named, report.headings), relative_url(report.root, preview) if preview else "", href]
        for well, preview, href in zip(table_rows(report.wells), previews, hrefs, strict=True)
    ]
    return {"metrics": [well_colours(report.wells, metric) for metric in report.metrics], "wells": wells}


def _tables(report: JobReport, hrefs: Sequence[str]) -> list[Table]:
    shown = {name: report.wells[name] for name in report.well_columns if name in report.wells}
    found: list[tuple[str, str, Columns]] = [
        ("wells", "One row per well", shown),
        ("hits", f"One row per {report.group if report.group in report.hits else 'well'}", report.hits),
        ("plates", "One row per plate", report.plates),
        ("doses", "One row per compound and dose", report.doses),
        ("methods", "One row per method", report.methods),
        ("scores", "One row per predictor of the class", _score_columns(report)),
        ("verdicts", "One row per target class and kind of image", report.verdicts),
        ("clusters", "One row per cluster and position", report.clusters),
        ("failures", "Files that could not be explained", report.failures),
    ]
    tables = []
    for key, caption, table in found:
        if count := row_count(table):
            linked, links = _link_wells(_drop_interval_ends(table), report, hrefs if key != "doses" else ())
            # One name has another meaning in another table, such as the wells of a compound and those of a score.
            meanings, title = report.meanings.get(key, {}), f"{caption}, {count} in all"
            names = report.headings
            tables.append(table_from_columns(key, title, linked, meanings=meanings, links=links, headings=names))
    return tables


def _drop_interval_ends(table: Columns) -> Columns:
    """Drop the ends of an interval that is also given in one column."""
    if JobColumn.RESCUE_INTERVAL not in table:
        return table
    return {name: table[name] for name in table if name not in (JobColumn.RESCUE_LOW, JobColumn.RESCUE_HIGH)}


def _score_columns(report: JobReport) -> Columns:
    names = dict.fromkeys(name for scores in report.scores.values() for name in scores)
    table = {name: [scores.get(name, math.nan) for scores in report.scores.values()] for name in names}
    return {"predicted from": list(report.scores)} | table


def _link_wells(
    table: Columns, report: JobReport, hrefs: Sequence[str]
) -> tuple[Columns, dict[str, list[Sequence[tuple[str, str]]]]]:
    """Link the wells of a table to their pages; a table of compounds gets a column of their wells."""
    if not hrefs:
        return table, {}
    if set(_WELL) <= set(table):
        pages = dict(zip(_well_keys(report.wells), hrefs, strict=True))
        keys = _well_keys(table)
        return table, {Metadata.WELL: [[(cell_text(key[1]), pages[key])] if key in pages else [] for key in keys]}
    if report.group not in table or report.group not in report.wells:
        return table, {}
    members: dict[Any, list[tuple[str, str]]] = {}
    for key, well, href in zip(report.wells[report.group], report.wells[Metadata.WELL], hrefs, strict=True):
        if not is_missing(key):
            members.setdefault(key, []).append((well, href))
    found = [members.get(key, []) for key in table[report.group]]
    texts = [f"and {len(each) - _MAX_LINKS} more" if len(each) > _MAX_LINKS else "" for each in found]
    return {**table, "its wells": texts}, {"its wells": [each[:_MAX_LINKS] for each in found]}


def _score_strip_chart(report: JobReport) -> PageChart | None:
    """Strip chart of the score of each class's wells, or else of the first numeric metric."""
    numeric = [each for each in report.metrics if is_numeric(report.wells[each.column])]
    chosen = sorted(numeric, key=lambda metric: metric.column != JobColumn.SCORE)
    return strip_chart(report.wells, chosen[0]) if chosen else None


def _picture_context(picture: ReportPicture, folder: Path, root: str) -> dict[str, str]:
    """Template data of a picture of the whole job; a small one is embedded in the page."""
    src, file = relative_url(root, picture.path), folder / root / picture.path
    if file.suffix == ".png" and file.is_file() and file.stat().st_size <= _INLINE_BYTES:
        src = f"data:image/png;base64,{base64.b64encode(file.read_bytes()).decode('ascii')}"
    return {"src": src, "href": relative_url(root, picture.path), "title": picture.title, "caption": picture.caption}
