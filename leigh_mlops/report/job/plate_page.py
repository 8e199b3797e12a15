"""Page of one plate, for jobs of many plates: its wells as a map and a table, its hits, and its quality."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from leigh_mlops.plates.columns import Metadata
from leigh_mlops.report.job.charts import latent_chart
from leigh_mlops.report.job.html_tables import cell_text, heading
from leigh_mlops.report.job.job_records import JobReport
from leigh_mlops.report.job.links import relative_url
from leigh_mlops.report.job.page_tables import PlateOverview, plate_tables
from leigh_mlops.report.job.plate_map import legends, plate_grids, thumbnail, well_colours, well_sentence
from leigh_mlops.report.job.report_pages import WELL_KEY, PlatePart, ReportPages
from leigh_mlops.report.job.templating import remove_other_pages, write_page
from leigh_mlops.report.job.well_page import Neighbour, find_neighbour
from leigh_mlops.report.table_columns import Columns, row_count, select_rows, table_row, table_rows

__all__ = ["map_data", "plate_thumbnails", "write_plate_pages"]

_PIXELS = 5
"""Side of a well in the thumbnail of a plate."""


def write_plate_pages(
    folder: Path, report: JobReport, pages: ReportPages, previews: Sequence[str], overview: PlateOverview
) -> None:
    """Write the page of each plate, ``plates/<plate>.html``, and remove those of plates that no longer exist.

    Args:
        folder: Folder of the report.
        report: Content of the report; the texts of its metrics have colours that all plates share.
        pages: Names of the pages.
        previews: Path of a picture of each well, empty for none.
        overview: Hits and numbers of the plates.
    """
    parts = pages.parts if pages.has_plates else ()
    named = [Neighbour(f"Plate {part.name}", part.page) for part in parts]
    for place, part in enumerate(parts):
        wells = select_rows(report.wells, part.wells)
        hrefs = [f"../wells/{pages.wells[row]}" for row in part.wells]
        own = replace(report, root=f"../{report.root}")
        write_page(
            folder / "plates" / part.page,
            "job_plate.html",
            "job_script.html",
            title=f"Plate {part.name}",
            previous=find_neighbour(named, place - 1),
            following=find_neighbour(named, place + 1),
            facts=_facts(report, table_row(overview.table, place)),
            plates=plate_grids(wells, hrefs),
            legends=legends(wells, report.metrics),
            map_data=map_data(own, wells, hrefs, [previews[row] for row in part.wells]),
            tables=plate_tables(own, overview.hits.get(part.name, ()), wells, hrefs),
            headings={"hits": "Hits" if "compound" in report.hits else "Wells of another class", "wells": "Wells"},
            latents=latent_chart(select_rows(report.fields, part.fields), wells, hrefs),
        )
    remove_other_pages(folder / "plates", {part.page for part in parts})


def map_data(report: JobReport, wells: Columns, hrefs: Sequence[str], previews: Sequence[str]) -> dict[str, Any]:
    """Data for the script of a page: colours and texts by metric, a sentence and a picture for each well.

    Args:
        report: The report; its root is that of the page.
        wells: The wells on the page.
        hrefs: URL of the page of each.
        previews: Path of a picture of each, empty for none.
    """
    if not row_count(wells):
        return {"metrics": [], "wells": []}
    named = [name for name in report.well_columns if name not in WELL_KEY]
    entries = [
        [well_sentence(well, named, report.headings), relative_url(report.root, preview) if preview else "", href]
        for well, preview, href in zip(table_rows(wells), previews, hrefs, strict=True)
    ]
    return {"metrics": [well_colours(wells, metric) for metric in report.metrics], "wells": entries}


def plate_thumbnails(report: JobReport, pages: ReportPages) -> list[dict[str, Any]]:
    """Name, URL and thumbnail of each plate, coloured by the first metric; without a picture where wells have no place.

    None where plates have no pages.
    """
    if not pages.has_plates:
        return []
    grids = {grid.name: grid for grid in plate_grids(report.wells, pages.hrefs)} if report.metrics else {}
    colours = well_colours(report.wells, report.metrics[0]) if grids else []
    return [_thumbnail_context(part, grids, colours) for part in pages.parts]


def _thumbnail_context(part: PlatePart, grids: Any, colours: Sequence[tuple[str, str]]) -> dict[str, Any]:  # noqa: ANN401
    found = {"name": part.name, "href": f"plates/{part.page}", "src": "", "width": 0, "height": 0}
    if (grid := grids.get(part.name)) is None:
        return found
    size = {"width": _PIXELS * len(grid.columns), "height": _PIXELS * len(grid.rows)}
    return found | {"src": thumbnail(grid, colours)} | size


def _facts(report: JobReport, row: dict[str, Any]) -> dict[str, Any]:
    texts = {heading(name, report.headings): value for name, value in row.items() if name != Metadata.PLATE}
    return {name: value for name, value in texts.items() if cell_text(value) not in ("-", "")}
