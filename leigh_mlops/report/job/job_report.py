"""HTML report of a job: a folder of pages that open from disk, without a network."""

import base64
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

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
from leigh_mlops.report.job.job_records import CounterfactualStep, FieldSection, JobReport, PlateMetric, ReportPicture
from leigh_mlops.report.job.links import relative_url
from leigh_mlops.report.job.page_tables import index_tables, plate_overview
from leigh_mlops.report.job.plate_map import fix_name_colours, legends, plate_grids
from leigh_mlops.report.job.plate_page import map_data, plate_thumbnails, write_plate_pages
from leigh_mlops.report.job.report_pages import PlatePart, ReportPages, report_pages
from leigh_mlops.report.job.templating import remove_other_pages, write_page
from leigh_mlops.report.job.well_page import Neighbour, WellPage, find_neighbour, write_well_page
from leigh_mlops.report.table_columns import group_rows, is_numeric, row_count, select_rows, table_rows

__all__ = ["FieldSection", "JobReport", "PlateMetric", "ReportPicture", "CounterfactualStep", "write_job_report"]

_INLINE_BYTES = 400_000
"""Maximal size of a picture that is embedded in the page, so that the page can be read alone."""


def write_job_report(folder: Path, report: JobReport) -> Path:
    """Write ``index.html`` and a page for each well, ``wells/<plate>_<well>.html``.

    ``index.html`` can be read alone: plates, charts and tables are part of it. Of more than four plates, each has
    a page of its own with its wells, ``plates/<plate>.html``, and ``index.html`` has a row for it. Pictures of
    fields are linked from the job's folder and loaded on demand.

    Args:
        folder: Folder of the report; created if it is missing.
        report: Content of the report.

    Returns:
        The path of ``index.html``.

    Raises:
        ValueError: The path of a picture or a download is absolute.
    """
    pages = report_pages(report)
    report = replace(report, metrics=[fix_name_colours(report.wells, metric) for metric in report.metrics])
    previews = _write_wells(folder, report, pages)
    overview = plate_overview(report, pages)
    write_plate_pages(folder, report, pages, previews, overview)
    wells = dict.fromkeys(report.wells, ()) if pages.has_plates else report.wells
    hrefs = () if pages.has_plates else pages.hrefs
    return write_page(
        folder / "index.html",
        "job_index.html",
        "job_script.html",
        title=report.title,
        report=report,
        plates=plate_grids(wells, hrefs),
        thumbnails=plate_thumbnails(report, pages),
        legends=legends(report.wells, report.metrics[:1] if pages.has_plates else report.metrics),
        map_data=map_data(report, wells, hrefs, previews),
        tables={table.key: table for table in index_tables(report, pages, overview)},
        strips=_score_strip_chart(report),
        latents=latent_chart(report.fields, wells, hrefs),
        neighbours=neighbour_chart(report.neighbours, wells, hrefs),
        curves=curve_charts(report.curves),
        doses=dose_charts(report.doses, report.headings.get(JobColumn.RESCUE, "rescue (%)")),
        dosed_compounds=len(set(report.doses.get("compound", ()))),
        failures=row_count(report.failures),
        pictures=[_picture_context(each, folder, report.root) for each in report.pictures],
        downloads=[(relative_url(report.root, path), path, what) for path, what in report.downloads.items()],
        inside=f"{report.root}/",
        url_of=lambda path: relative_url(report.root, path),
    )


def _write_wells(folder: Path, report: JobReport, pages: ReportPages) -> list[str]:
    """Write the pages of all wells, plate by plate; return the path of a picture of each, empty for none."""
    previews = [""] * len(pages.wells)
    named = list(map(Neighbour, pages.titles, pages.wells))
    for part in pages.parts:
        for place, preview in zip(part.wells, _write_wells_of_plate(folder, report, part, named), strict=True):
            previews[place] = preview
    remove_other_pages(folder / "wells", set(pages.wells))
    return previews


def _write_wells_of_plate(folder: Path, report: JobReport, part: PlatePart, named: Sequence[Neighbour]) -> list[str]:
    wells, fields = select_rows(report.wells, part.wells), select_rows(report.fields, part.fields)
    sections = report.field_sections(fields)
    by_well = group_rows(fields.get(Metadata.WELL, ()))
    plate = Neighbour(f"Plate {part.name}", f"../plates/{part.page}") if part.page else None
    previews = []
    for place, well in zip(part.wells, table_rows(wells), strict=True):
        own = select_rows(fields, by_well.get(well[Metadata.WELL], []))
        shown = [sections[name] for name in own.get(JobColumn.FIELD, ()) if name in sections]
        page = WellPage(
            title=named[place].name,
            well=well,
            key_columns=[name for name in report.well_columns if name in well],
            fields=own,
            field_sections=shown,
            previous=find_neighbour(named, place - 1),
            following=find_neighbour(named, place + 1),
            meanings=report.meanings.get("wells", {}),
            headings=report.headings,
            root=report.root,
            plate=plate,
        )
        write_well_page(folder / "wells" / named[place].href, page)
        previews.append(shown[0].image.path if shown and shown[0].image else "")
    return previews


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
