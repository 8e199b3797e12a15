"""The report of a job: one folder of pages that open from disk, without a network."""

import base64
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from leigh_mlops.report.job_addresses import address, page_names
from leigh_mlops.report.job_charts import curve_charts, latent_chart, strip_chart
from leigh_mlops.report.job_doses import dose_charts
from leigh_mlops.report.job_pages import write_page
from leigh_mlops.report.job_records import FieldStory, JobReport, PlateMetric, ReportPicture, Step
from leigh_mlops.report.job_tables import Table, cell_text, table_of
from leigh_mlops.report.plate_map import legends, plate_grids, shown_values, well_sentence
from leigh_mlops.report.well_page import Neighbour, WellPage, write_well_page

__all__ = ["FieldStory", "JobReport", "PlateMetric", "ReportPicture", "Step", "write_job_report"]

_WELL = ["Metadata_Plate", "Metadata_Well"]
_MOST_LINKS = 8
_INLINE_BYTES = 400_000
"""Pictures up to this size lie within the page, so that it can be read alone."""

_OPEN_PLATES = 4


def write_job_report(folder: Path, report: JobReport) -> Path:
    """Write ``index.html`` and a page for each well, ``wells/<plate>_<well>.html``.

    ``index.html`` can be read alone: plates, charts and tables lie within it. Pictures of
    fields lie where the job left them, and are loaded when they are looked at.

    Args:
        folder: Where the report goes; made where it is missing.
        report: What it tells.

    Returns:
        The path of ``index.html``.

    Raises:
        ValueError: The path of a picture or a download is absolute.
    """
    names = page_names(zip(*(report.wells[name].map(str) for name in _WELL), strict=True)) if len(report.wells) else []
    meanings = _meanings(report)
    for path, page in zip(names, _well_pages(report, names, meanings), strict=True):
        write_well_page(folder / "wells" / path, page)
    for page in (folder / "wells").glob("*.html"):
        if page.name not in names:  # of a well that is there no more
            page.unlink()
    hrefs = [f"wells/{name}" for name in names]
    return write_page(
        folder / "index.html",
        "job_index.html",
        "job_script.html",
        report=report,
        plates=plate_grids(report.wells, hrefs),
        open_plates=_OPEN_PLATES,
        legends=legends(report.wells, report.metrics),
        map_data=_map_data(report, hrefs),
        tables={table.key: table for table in _tables(report, hrefs, meanings)},
        strips=_strips(report),
        latents=latent_chart(report.fields, report.wells),
        hrefs=hrefs,
        well_names=_well_names(report.wells),
        curves=curve_charts(report.curves),
        doses=dose_charts(report.doses),
        pictures=[_picture(each, folder, report.root) for each in report.pictures],
        downloads=[(address(report.root, path), path, what) for path, what in report.downloads.items()],
        inside=f"{report.root}/",
    )


def _well_names(wells: pd.DataFrame) -> list[str]:
    if wells.empty:
        return []
    return [f"{plate}, {well}" for plate, well in zip(*(wells[name] for name in _WELL), strict=True)]


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def _meanings(report: JobReport) -> Callable[[str], str]:
    return lambda name: report.columns.get(name, "")


def _well_pages(report: JobReport, names: Sequence[str], meanings: Callable[[str], str]) -> Any:  # noqa: ANN401
    """The page of each well, made one after the other."""
    if report.wells.empty:
        return
    titles = [f"{plate}, well {well}" for plate, well in zip(*(report.wells[name] for name in _WELL), strict=True)]
    by_well = dict(list(report.fields.groupby(_WELL))) if len(report.fields) else {}
    for place, well in enumerate(_records(report.wells)):
        fields = by_well.get((well["Metadata_Plate"], well["Metadata_Well"]), report.fields[:0])
        yield WellPage(
            title=titles[place],
            well=well,
            essential=[name for name in report.well_columns if name in well],
            fields=fields,
            stories=[report.stories[name] for name in fields.get("field", ()) if name in report.stories],
            previous=Neighbour(titles[place - 1], names[place - 1]) if place else None,
            following=Neighbour(titles[place + 1], names[place + 1]) if place + 1 < len(names) else None,
            meanings=report.columns,
            root=report.root,
        )


def _map_data(report: JobReport, hrefs: Sequence[str]) -> dict[str, Any]:
    """What the page's script needs: colours and texts by metric, a sentence and a picture for each well."""
    if report.wells.empty:
        return {"metrics": [], "wells": []}
    first = report.fields.groupby(_WELL)["field"].first() if len(report.fields) else pd.Series(dtype=object)
    wells = []
    for well, href in zip(_records(report.wells), hrefs, strict=True):
        story = report.stories.get(str(first.get((well["Metadata_Plate"], well["Metadata_Well"]))))
        picture = address(report.root, story.image.path) if story and story.image else ""
        said = well_sentence(well, [name for name in report.well_columns if name not in _WELL])
        wells.append([said, picture, href])
    return {"metrics": [shown_values(report.wells, metric) for metric in report.metrics], "wells": wells}


def _tables(report: JobReport, hrefs: Sequence[str], meanings: Callable[[str], str]) -> list[Table]:
    shown = report.wells[[name for name in report.well_columns if name in report.wells]]
    found = [
        ("wells", "One row per well", shown),
        ("hits", f"One row per {report.group if report.group in report.hits else 'well'}", report.hits),
        ("plates", "One row per plate", report.plates),
        ("doses", "One row per compound and dose", report.doses),
        ("methods", "One row per method", report.methods),
        ("scores", "One row per way of telling the classes apart", _scores(report)),
        ("failures", "Files that could not be explained", report.failures),
    ]
    tables = []
    for key, caption, frame in found:
        if frame.empty:
            continue
        linked, links = _linked(_without_ends(frame), report, hrefs if key != "doses" else ())
        tables.append(table_of(key, f"{caption}, {len(frame)} in all", linked, meanings=meanings, links=links))
    return tables


def _without_ends(frame: pd.DataFrame) -> pd.DataFrame:
    """Without the ends of an interval that stands in one column as well."""
    return frame.drop(columns=["rescue_low", "rescue_high"], errors="ignore") if "rescue_interval" in frame else frame


def _scores(report: JobReport) -> pd.DataFrame:
    frame = pd.DataFrame.from_dict({name: dict(scores) for name, scores in report.scores.items()}, orient="index")
    return frame.reset_index(names="predicted from")


def _linked(
    frame: pd.DataFrame, report: JobReport, hrefs: Sequence[str]
) -> tuple[pd.DataFrame, dict[str, list[Sequence[tuple[str, str]]]]]:
    """A table whose wells lead to their pages; where it names compounds, with a column of their wells."""
    if not hrefs:
        return frame, {}
    if set(_WELL) <= set(frame):
        pages = dict(zip(zip(*(report.wells[name] for name in _WELL), strict=True), hrefs, strict=True))
        keys = zip(*(frame[name] for name in _WELL), strict=True)
        return frame, {"Metadata_Well": [[(cell_text(key[1]), pages[key])] if key in pages else [] for key in keys]}
    if report.group not in frame or report.group not in report.wells:
        return frame, {}
    groups = report.wells.assign(page=list(hrefs)).groupby(report.group)[["Metadata_Well", "page"]]
    members = {key: list(of_key.itertuples(index=False, name=None)) for key, of_key in groups}
    found = [members.get(key, []) for key in frame[report.group]]
    texts = [f"and {len(each) - _MOST_LINKS} more" if len(each) > _MOST_LINKS else "" for each in found]
    return frame.assign(**{"its wells": texts}), {"its wells": [each[:_MOST_LINKS] for each in found]}


def _strips(report: JobReport) -> Any:  # noqa: ANN401
    """How the wells of each class lie along their score, else along the first metric that is a number."""
    numeric = [each for each in report.metrics if pd.api.types.is_numeric_dtype(report.wells[each.column])]
    chosen = sorted(numeric, key=lambda metric: metric.column != "score")
    return strip_chart(report.wells, chosen[0]) if chosen else None


def _picture(picture: ReportPicture, folder: Path, root: str) -> dict[str, str]:
    """A picture of the whole job: within the page where it is small."""
    src, file = address(root, picture.path), folder / root / picture.path
    if file.suffix == ".png" and file.is_file() and file.stat().st_size <= _INLINE_BYTES:
        src = f"data:image/png;base64,{base64.b64encode(file.read_bytes()).decode('ascii')}"
    return {"src": src, "href": address(root, picture.path), "title": picture.title, "caption": picture.caption}
