"""From a job's records to its tables, its contact sheet and its page."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from leigh_mlops.errors import printable
from leigh_mlops.jobs.changes import write_changes
from leigh_mlops.jobs.columns import write_columns
from leigh_mlops.jobs.latents import write_latents
from leigh_mlops.jobs.reported import Findings, report_of
from leigh_mlops.jobs.said import Said, captions, field_title, sentences
from leigh_mlops.jobs.screen import Screen, screen
from leigh_mlops.jobs.worker import field_id
from leigh_mlops.models import ModelPackage
from leigh_mlops.plates import write_table
from leigh_mlops.report.files import Rgb
from leigh_mlops.report.job_report import write_job_report
from leigh_mlops.report.sheets import Panel, Row, contact_sheet
from leigh_mlops.report.style import save_figure

__all__ = ["collect", "records_of", "write_outputs"]

_SHEET_ROWS = 8
_SHEET_PANELS = 8
_TOO_WIDE = ("sweep.png", "interpolation.png")
_SCREENED = {"source": "rescue_from", "target": "rescue_to", "doses": "doses"}
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
            failures.append([record["field"], printable(record["path"]), printable(record["failure"])])
            continue
        pictures = {f"picture_{name}": path for name, path in record["pictures"].items()}
        fields.append({"field": record["field"], "seen": record["seen"]} | record["numbers"] | pictures)
    explained = pd.DataFrame(fields, columns=None if fields else ["field", "seen"])
    known = pd.DataFrame(failures, columns=FAILURE_COLUMNS)
    return metadata.merge(explained, on="field"), known[known["field"].isin(metadata["field"])]


def write_outputs(
    out: Path, fields: pd.DataFrame, failures: pd.DataFrame, package: ModelPackage, job: dict[str, Any]
) -> None:
    """Write the tables of fields, wells, hits, plates, failures and changes, what they mean, figures and report."""
    screened = screen(fields, package, **{name: job.get(key) for name, key in _SCREENED.items()})
    fields, wells = screened.fields, screened.wells
    _write_tables(out, screened, failures)
    if len(fields):
        save_figure(_sheet(out, fields, job), out / "contact_sheet.png")
    said = sentences(fields, wells, failures, package)
    changed = write_changes(out, fields, package)
    write_columns(
        out / "columns.md",
        [*fields, *wells],
        changes=(out / "changes.csv").exists(),
        compounds=(out / "plates.csv").exists(),
    )
    findings = Findings(
        sentences=[*_found(screened, said), *said.counterfactuals],
        changes=changed,
        warnings=screened.warnings,
        details=[*said.details, *write_latents(out, fields, package)],
    )
    methods = pd.read_csv(out / "methods.csv") if (out / "methods.csv").exists() else pd.DataFrame()
    write_job_report(out / "report", report_of(out, screened, failures, methods, package, job, findings))


def _found(screened: Screen, said: Said) -> list[str]:
    """Compounds come first where there are any."""
    parts = (screened.sentences, said.job) if "compound" in screened.hits else (said.job[::-1], screened.sentences)
    return [sentence for part in parts for sentence in part]


def _write_tables(out: Path, screened: Screen, failures: pd.DataFrame) -> None:
    for table, name in ((screened.fields, "fields.parquet"), (screened.wells, "wells.parquet")):
        write_table(table, out / name)
    write_table(screened.hits, out / "hits.csv")
    write_table(failures, out / "failures.csv")
    for table, name in ((screened.plates, "plates.csv"), (screened.doses, "doses.csv")):
        if len(table):
            write_table(table, out / name)
        else:  # one of an earlier start, when the plate map said otherwise
            (out / name).unlink(missing_ok=True)


def _spread(fields: pd.DataFrame, count: int) -> pd.DataFrame:
    """Some fields from all over the table, so that every class and region is seen."""
    return fields.iloc[np.unique(np.linspace(0, len(fields) - 1, min(count, len(fields))).astype(int))]


def _sheet(out: Path, fields: pd.DataFrame, job: dict[str, Any]) -> Any:  # noqa: ANN401
    rows = []
    for _, row in _spread(fields, _SHEET_ROWS).iterrows():
        stills = [(path, said) for path, said in captions(row) if path.endswith(".png")]
        narrow = [(path, said) for path, said in stills if not path.endswith(_TOO_WIDE)]
        panels = [Panel(_read_png(out / path), said) for path, said in narrow[:_SHEET_PANELS]]
        rows.append(Row(field_title(row), panels))
    return contact_sheet(rows, f"{job['model']} on {job['data']}", "All images on one intensity scale.")


def _read_png(path: Path) -> Rgb:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))
