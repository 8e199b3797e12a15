"""Outputs of a job: tables, contact sheet and report, from the records of its fields."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from leigh_mlops.errors import escape_unprintable
from leigh_mlops.job_columns import PICTURE, JobColumn
from leigh_mlops.jobs.colour_limits import select_colour_limit
from leigh_mlops.jobs.options import SCREEN_OPTIONS
from leigh_mlops.jobs.records import (
    FAILURE,
    NUMBERS,
    PATH,
    PICTURES,
    TEXTS,
    record_table,
    split_failures,
)
from leigh_mlops.jobs.reporting.build_report import Findings, build_report
from leigh_mlops.jobs.reporting.captions import JobSummary, captions, field_title, map_title, summarise_job
from leigh_mlops.jobs.reporting.card_sections import (
    card_sections,
    card_table,
    describe_cards,
    draw_mean_maps,
    sort_cluster_pictures,
)
from leigh_mlops.jobs.reporting.change_report import write_changes
from leigh_mlops.jobs.reporting.cluster_sentences import describe_clusters
from leigh_mlops.jobs.reporting.column_descriptions import write_columns
from leigh_mlops.jobs.reporting.job_tables import job_tables
from leigh_mlops.jobs.reporting.latent_report import write_latents
from leigh_mlops.jobs.reporting.screen_summary import ScreenSummary, summarise_screen
from leigh_mlops.jobs.worker import field_ids
from leigh_mlops.models import ModelPackage
from leigh_mlops.plates import write_table
from leigh_mlops.plates.columns import is_metadata
from leigh_mlops.plates.spreadsheet_text import unquote_formulas
from leigh_mlops.report.image_files import Rgb
from leigh_mlops.report.image_sentences import width_sentences
from leigh_mlops.report.job.job_report import write_job_report
from leigh_mlops.report.sheets import Panel, SheetRow, contact_sheet
from leigh_mlops.report.style import save_figure
from leigh_mlops.report.table_columns import Columns, row_count, table_row
from leigh_mlops.screening.cluster_cards import describe_members
from leigh_mlops.screening.counterfactual_table import Textures, counterfactual_table
from leigh_mlops.screening.map_clusters import FieldMaps, MeanMap, cluster_table, mean_maps
from leigh_mlops.screening.screen import Screen, screen

__all__ = ["build_tables", "write_outputs"]

_SHEET_ROWS = 8
_SHEET_PANELS = 8
_WIDE_PICTURES = ("sweep.png", "interpolation.png")
FAILURE_COLUMNS = ["field", "path", "reason"]


def collect_textures(out: Path) -> Textures:
    """Read the texture of the fields that have it, by field and image."""
    return _read_texts(out, "texture")


def collect_maps(out: Path) -> tuple[str, FieldMaps]:
    """Read the heatmaps that are kept at low resolution: the name of their method, and the maps by field."""
    kept = _read_texts(out, "map")
    method = next((each["method"] for each in kept.values()), "")
    return method, {field: each["values"] for field, each in kept.items() if each["method"] == method}


def _read_texts(out: Path, name: str) -> dict[str, Any]:
    """Values of the fields whose records have one of that name."""
    table = record_table(out, [TEXTS(name)]).to_pydict()
    texts = zip(table[JobColumn.FIELD], table.get(TEXTS(name), [None] * len(table[JobColumn.FIELD])), strict=True)
    return {field: json.loads(text) for field, text in texts if text is not None}


def build_tables(out: Path, table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Build the table of fields and the table of failures, both in the order of the image table."""
    metadata = table[[name for name in table if is_metadata(name)]].assign(field=field_ids(table))
    done, failed = split_failures(record_table(out, [NUMBERS, PICTURES, FAILURE, PATH]))
    plain = {JobColumn.FIELD: JobColumn.FIELD, JobColumn.SEEN: JobColumn.SEEN}
    plain |= {name: short for short, name in NUMBERS.select(done.column_names).items()}
    plain |= {name: PICTURE(short) for short, name in PICTURES.select(done.column_names).items()}
    # Before they are copied into a data frame, since a hundred plates are large.
    explained = done.select(list(plain)).rename_columns(list(plain.values())).to_pandas()
    del done
    return metadata.merge(explained, on=JobColumn.FIELD), _failure_table(failed.to_pandas(), metadata)


def _failure_table(failed: pd.DataFrame, metadata: pd.DataFrame) -> pd.DataFrame:
    if not len(failed):
        return pd.DataFrame(columns=FAILURE_COLUMNS)
    texts = {name: [escape_unprintable(json.loads(text)) for text in failed[column]]
             for name, column in (("path", PATH), ("reason", FAILURE))}  # fmt: skip
    return metadata[["field"]].merge(pd.DataFrame({"field": failed["field"].tolist(), **texts}), on="field")


def write_outputs(
    out: Path, fields: pd.DataFrame, failures: pd.DataFrame, package: ModelPackage, job: dict[str, Any]
) -> None:
    """Write all tables of a job, the meanings of their columns, the figures and the report."""
    # Jobs of earlier versions lack later options.
    options = {argument: job[name] for name, argument in SCREEN_OPTIONS.items() if name in job}
    summary = summarise_screen(screen(fields, package, **options))
    screened, classes = summary.screen, package.model.spec.classes
    _write_tables(out, screened, failures)
    verdicts = counterfactual_table(screened.fields, collect_textures(out), package)
    _write_or_remove(verdicts, out / "counterfactuals.csv")
    method, maps = collect_maps(out)
    maps = _drop_maps(maps, screened)
    clusters = cluster_table(screened.fields, maps)
    _write_or_remove(clusters, out / "clusters.csv")
    tables = job_tables(screened, failures, _read_methods(out / "methods.csv"), verdicts, clusters)
    if row_count(tables.fields):
        save_figure(_draw_contact_sheet(out, tables.fields, job), out / "contact_sheet.png")
    job_summary = summarise_job(tables.fields, tables.wells, row_count(tables.failures), classes, tables.verdicts)
    changed = write_changes(out, tables.fields, classes)
    write_columns(
        out / "columns.md",
        [*screened.fields, *screened.wells],
        changes=(out / "changes.csv").exists(),
        compounds=(out / "plates.csv").exists(),
    )
    means = mean_maps(screened.fields, maps, method) if package.model.task == "cluster" else {}
    cards = _write_cards(out, screened, tables.fields, package, job, (method, means))
    findings = Findings(
        sentences=[*_order_sentences(summary, job_summary), *job_summary.counterfactuals],
        changes=changed,
        warnings=[*width_sentences(package.about.get("field_um"), job.get("other_widths", {})), *summary.warnings],
        details=[*job_summary.details, *write_latents(out, tables.fields, package)],
        clusters=describe_clusters(tables.clusters, map_title(method) or method),
        **cards,
    )
    write_job_report(out / "report", build_report(out, tables, package, job, findings))


def _write_cards(
    out: Path,
    screened: Screen,
    fields: Columns,
    package: ModelPackage,
    job: dict[str, Any],
    maps: tuple[str, Mapping[str, MeanMap]],
) -> dict[str, Any]:
    """Write the table and the pictures of clusters; return their cards and sentences, none for other models."""
    if package.model.task != "cluster":
        return {}
    found, names = describe_members(screened.fields), job.get("cluster_names") or {}
    _write_or_remove(card_table(found, names), out / "cluster_cards.csv")
    epoch, (method, means) = int(package.about.get("best_epoch", 0)), maps
    sort_cluster_pictures(out, fields, epoch)
    limit, size = select_colour_limit(method, job.get("full_colour", {})), package.model.spec.image_size
    drawn = draw_mean_maps(out, means, method=method, epoch=epoch, size=size, limit=limit)
    return {"cards": card_sections(found, fields, names, drawn), "card_sentences": describe_cards(found)}


def _drop_maps(maps: FieldMaps, screened: Screen) -> FieldMaps:
    """Leave out the maps of fields that count nowhere: what an empty or blurred field shows is no strategy."""
    out = set(screened.fields.loc[screened.out.index[screened.out], JobColumn.FIELD])
    return {name: each for name, each in maps.items() if name not in out}


def _read_methods(path: Path) -> list[dict[str, Any]]:
    rows = unquote_formulas(pd.read_csv(path)).to_dict("records") if path.exists() else []
    return [{str(name): value for name, value in row.items()} for row in rows]


def _order_sentences(summary: ScreenSummary, job_summary: JobSummary) -> list[str]:
    """Order the sentences: those on compounds come first, if there are any."""
    has_compounds = "compound" in summary.screen.hits
    parts = (summary.sentences, job_summary.job) if has_compounds else (job_summary.job[::-1], summary.sentences)
    return [sentence for part in parts for sentence in part]


def _write_tables(out: Path, screened: Screen, failures: pd.DataFrame) -> None:
    for table, name in ((screened.fields, "fields.parquet"), (screened.wells, "wells.parquet")):
        write_table(table, out / name)
    write_table(screened.hits, out / "hits.csv")
    write_table(failures, out / "failures.csv")
    for table, name in ((screened.plates, "plates.csv"), (screened.doses, "doses.csv")):
        _write_or_remove(table, out / name)


def _write_or_remove(table: pd.DataFrame, path: Path) -> None:
    if len(table):
        write_table(table, path)
    else:  # a file of an earlier start with other options
        path.unlink(missing_ok=True)


def _draw_contact_sheet(out: Path, fields: Columns, job: dict[str, Any]) -> Any:  # noqa: ANN401
    """Draw fields that are evenly spread over the table, to cover all classes and regions."""
    rows, count = [], row_count(fields)
    for place in np.unique(np.linspace(0, count - 1, min(_SHEET_ROWS, count)).astype(int)):
        row = table_row(fields, place)
        stills = [(path, caption) for path, caption in captions(row) if path.endswith(".png")]
        narrow = [(path, caption) for path, caption in stills if not path.endswith(_WIDE_PICTURES)]
        panels = [Panel(_read_png(out / path), caption) for path, caption in narrow[:_SHEET_PANELS]]
        rows.append(SheetRow(field_title(row), panels))
    return contact_sheet(rows, f"{job['model']} on {job['data']}", "All images on one intensity scale.")


def _read_png(path: Path) -> Rgb:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))
