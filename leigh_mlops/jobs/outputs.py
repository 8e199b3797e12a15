"""From a job's records to its tables, its contact sheet and its page."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from leigh_mlops.jobs.changes import write_changes
from leigh_mlops.jobs.columns import explain_columns, write_columns
from leigh_mlops.jobs.latents import write_latents
from leigh_mlops.jobs.said import captions, field_title, sentences
from leigh_mlops.jobs.wells import hits_of, well_table
from leigh_mlops.jobs.worker import field_id
from leigh_mlops.models import ModelPackage
from leigh_mlops.plates import write_table
from leigh_mlops.report.files import Rgb
from leigh_mlops.report.page import ReportPicture, write_report
from leigh_mlops.report.sheets import Panel, Row, contact_sheet
from leigh_mlops.report.style import save_figure
from leigh_mlops.scores import LIGHT_RULE

__all__ = ["collect", "records_of", "write_outputs"]

_IN_REPORT = 48
_SHEET_ROWS = 8
_TOO_WIDE = "sweep.png"
_IN_TABLES_ONLY = ("picture_", "image_", "latent_", "sweep_")
FAILURE_COLUMNS = ["field", "path", "reason"]


def collect(out: Path) -> list[dict[str, Any]]:
    """The newest record of each field that workers have left."""
    parts = sorted((out / "parts").glob("[!.]*.json"), key=lambda path: path.stat().st_mtime_ns)
    records = {record["field"]: record for part in parts for record in json.loads(part.read_text())}
    return list(records.values())


def records_of(out: Path, table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The table of fields in the order of the image table, and that of failures."""
    metadata = table[[name for name in table if str(name).startswith("Metadata_")]]
    metadata = metadata.assign(field=[field_id(row) for _, row in metadata.iterrows()])
    fields, failures = [], []
    for record in collect(out):
        if "failure" in record:
            failures.append([record["field"], record["path"], record["failure"]])
            continue
        pictures = {f"picture_{name}": path for name, path in record["pictures"].items()}
        fields.append({"field": record["field"], "seen": record["seen"]} | record["numbers"] | pictures)
    explained = pd.DataFrame(fields, columns=None if fields else ["field", "seen"])
    known = pd.DataFrame(failures, columns=FAILURE_COLUMNS)
    return metadata.merge(explained, on="field"), known[known["field"].isin(metadata["field"])]


def write_outputs(
    out: Path, fields: pd.DataFrame, failures: pd.DataFrame, package: ModelPackage, job: dict[str, Any]
) -> None:
    """Write the tables of fields, wells, hits, failures and changes, what they mean, the figures and the page."""
    classes = package.model.spec.classes if package.model.task == "classify" else ()
    wells = well_table(fields, classes)
    for table, name in ((fields, "fields.parquet"), (wells, "wells.parquet")):
        write_table(table, out / name)
    write_table(hits_of(wells, classes), out / "hits.csv")
    write_table(failures, out / "failures.csv")
    if len(fields):
        save_figure(_sheet(out, fields, job), out / "contact_sheet.png")
    arrived, said = sentences(fields, wells, failures, package)
    changed = write_changes(out, fields, package)
    write_columns(out / "columns.md", [*fields, *wells], changes=(out / "changes.csv").exists())
    found = [*arrived, *changed, *said, *write_latents(out, fields, package)]
    _report(out, fields, wells, failures, package, job, found)


def _spread(fields: pd.DataFrame, count: int) -> pd.DataFrame:
    """Some fields from all over the table, so that every class and region is seen."""
    return fields.iloc[np.unique(np.linspace(0, len(fields) - 1, min(count, len(fields))).astype(int))]


def _sheet(out: Path, fields: pd.DataFrame, job: dict[str, Any]) -> Any:  # noqa: ANN401
    rows = []
    for _, row in _spread(fields, _SHEET_ROWS).iterrows():
        stills = [(path, caption) for path, caption in captions(row) if path.endswith(".png")]
        panels = [Panel(_read_png(out / path), caption) for path, caption in stills if not path.endswith(_TOO_WIDE)]
        rows.append(Row(field_title(row), panels))
    return contact_sheet(rows, f"{job['model']} on {job['data']}", "All images on one intensity scale.")


def _read_png(path: Path) -> Rgb:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def _report(
    out: Path,
    fields: pd.DataFrame,
    wells: pd.DataFrame,
    failures: pd.DataFrame,
    package: ModelPackage,
    job: dict[str, Any],
    said: list[str],
) -> None:
    shown = _spread(fields, _IN_REPORT)
    pictures = [
        ReportPicture(f"../{path}", caption, index)
        for index, row in shown.iterrows()
        for path, caption in captions(row)
    ]
    summary = {
        "title": f"{job['model']} on {Path(job['data']).name}",
        "sentences": said,
        "facts": {"fields": len(fields), "wells": len(wells), "failed": len(failures)},
        "model": {
            "version": job["model"],
            "family": package.model.spec.family,
            "classes": ", ".join(package.model.spec.classes),
            "trained on": f"data {package.about['data_fingerprint']}, split {package.about['split_fingerprint']}",
            "software": ", ".join(f"{name} {number}" for name, number in package.about["versions"].items()),
        },
        "methods": _methods(fields, wells),
        "failures": [{"path": row.path, "reason": row.reason} for row in failures.itertuples()],
    }
    write_report(out / "report", summary, _on_page(wells), _on_page(fields), _overview(out) + pictures)


def _overview(out: Path) -> list[ReportPicture]:
    """Pictures of the whole job, those that were drawn."""
    drawn = {
        "changes.png": "What the counterfactuals change, beside the real difference of the classes",
        "latents.png": "Fields in the space of the latents",
        "contact_sheet.png": "Contact sheet",
    }
    return [ReportPicture(f"../{name}", caption) for name, caption in drawn.items() if (out / name).exists()]


def _on_page(table: pd.DataFrame) -> pd.DataFrame:
    """The columns that a reader can take in; the files hold them all."""
    return table[[name for name in table if not str(name).startswith(_IN_TABLES_ONLY) and "_after_" not in str(name)]]


def _methods(fields: pd.DataFrame, wells: pd.DataFrame) -> list[str]:
    lights = any(str(name).endswith("_light") for name in fields)
    columns = explain_columns([*fields, *wells]).items()
    return [f"Light of a counterfactual. {LIGHT_RULE}"] * lights + [f"{name}: {meaning}." for name, meaning in columns]
