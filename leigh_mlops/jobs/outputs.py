"""From a job's records to its tables, its contact sheet and its page."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from leigh_mlops.models import ModelPackage
from leigh_mlops.plates import write_table
from leigh_mlops.report.files import Rgb
from leigh_mlops.report.page import ReportPicture, write_report
from leigh_mlops.report.sheets import Panel, Row, contact_sheet
from leigh_mlops.report.style import save_figure

__all__ = ["collect", "records_of", "write_outputs"]

_IN_REPORT = 48
_SHEET_ROWS = 8
_CAPTIONS = {
    "image": "image",
    "occlusion": "occlusion: what speaks for the predicted class",
    "reconstruction": "reconstruction",
    "interpolation_strip": "from the image to the mean of the other class",
    "interpolation_film": "the same as a film",
}
FAILURE_COLUMNS = ["row", "path", "reason"]


def collect(out: Path) -> list[dict[str, Any]]:
    """All records that workers have left, one for each row of the table."""
    records: dict[int, dict[str, Any]] = {}
    for part in sorted((out / "parts").glob("*.json")):
        records |= {record["row"]: record for record in json.loads(part.read_text())}
    return [records[row] for row in sorted(records)]


def records_of(out: Path, table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The table of fields (index: row of the image table) and that of failures."""
    fields, failures = [], []
    for record in collect(out):
        if "failure" in record:
            failures.append([record["row"], record["path"], record["failure"]])
            continue
        pictures = {f"picture_{name}": path for name, path in record["pictures"].items()}
        fields.append({"row": record["row"], "field": record["field"]} | record["numbers"] | pictures)
    metadata = table[[name for name in table if str(name).startswith("Metadata_")]]
    explained = pd.DataFrame(fields, columns=None if fields else ["row", "field"]).set_index("row")
    return metadata.join(explained, how="inner"), pd.DataFrame(failures, columns=FAILURE_COLUMNS)


def write_outputs(
    out: Path, fields: pd.DataFrame, failures: pd.DataFrame, package: ModelPackage, job: dict[str, Any]
) -> None:
    """Write the tables of fields, wells, hits and failures, the contact sheet and the page."""
    classes = package.model.spec.classes if package.model.task == "classify" else ()
    wells = _wells(fields, classes)
    for table, name in ((fields, "fields.parquet"), (wells, "wells.parquet")):
        write_table(table, out / name)
    write_table(_hits(wells, classes), out / "hits.csv")
    write_table(failures, out / "failures.csv")
    if len(fields):
        save_figure(_sheet(out, fields, job), out / "contact_sheet.png")
    _report(out, fields, wells, failures, package, job)


def _wells(fields: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """One row per well: medians of its fields' numbers, and how many fields they come from."""
    key = ["Metadata_Plate", "Metadata_Well"]
    numbers = [name for name in fields.select_dtypes("number") if not str(name).startswith("Metadata_")]
    grouped = fields.groupby(key, sort=True)
    kept = [str(name) for name in fields if str(name).startswith("Metadata_") and name not in key]
    constant = [name for name in kept if grouped[name].nunique(dropna=False).max() <= 1]
    wells = grouped[constant].first().join(grouped.size().rename("fields")).join(grouped[numbers].median())
    if len(fields):
        wells = wells.join(grouped["trained_on"].any())
    if classes and len(wells):
        probabilities = wells[[f"probability_{name}" for name in classes]].to_numpy()
        wells.insert(len(constant), "predicted", np.asarray(classes, object)[probabilities.argmax(axis=1)])
    return wells.reset_index()


def _hits(wells: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """Wells that look like another class than the one they are labelled as, the surest first."""
    columns = ["Metadata_Plate", "Metadata_Well", "Metadata_Condition", "predicted", "probability", "fields"]
    if not classes or "Metadata_Condition" not in wells:
        return pd.DataFrame(columns=columns)
    probability = wells[[f"probability_{name}" for name in classes]].max(axis=1)
    labelled = wells["Metadata_Condition"].notna() & (wells["Metadata_Condition"] != wells["predicted"])
    hits = wells.assign(probability=probability)[labelled]
    return hits.reindex(columns=columns).sort_values("probability", ascending=False)


def _pictures(row: "pd.Series[Any]") -> list[tuple[str, str]]:
    """Path and caption of every picture of a field."""
    shown = []
    for column, path in row.items():
        name = str(column).removeprefix("picture_")
        if name == column or not isinstance(path, str):
            continue
        caption = _CAPTIONS.get(name, name.replace("_", " "))
        if name.startswith("counterfactual"):
            target, said = row["counterfactual_target"], row[f"{name}_class"]
            probability = f"{target} {row[f'{name}_probability']:.3f}"
            caption = f"towards {target} ({name.removeprefix('counterfactual_')}); saved file: {said} ({probability})"
        elif name == "image" and isinstance(row.get("predicted"), str):
            caption = f"image: {row['predicted']}, {row['probability_' + row['predicted']]:.3f}"
        shown.append((path, caption))
    return shown


def _spread(fields: pd.DataFrame, count: int) -> pd.DataFrame:
    """Some fields from all over the table, so that every class and region is seen."""
    return fields.iloc[np.unique(np.linspace(0, len(fields) - 1, min(count, len(fields))).astype(int))]


def _title(row: "pd.Series[Any]") -> str:
    label = row.get("Metadata_Condition")
    labelled = f", class {label}" if isinstance(label, str) else ""
    return f"{row['Metadata_Plate']}, well {row['Metadata_Well']}, field {row['Metadata_Site']}{labelled}"


def _sheet(out: Path, fields: pd.DataFrame, job: dict[str, Any]) -> Any:  # noqa: ANN401
    rows = []
    for _, row in _spread(fields, _SHEET_ROWS).iterrows():
        stills = [(path, caption) for path, caption in _pictures(row) if path.endswith(".png")]
        panels = [Panel(_read_png(out / path), caption) for path, caption in stills]
        rows.append(Row(_title(row), panels))
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
) -> None:
    hidden = [name for name in fields if str(name).startswith("picture_")]
    shown = _spread(fields, _IN_REPORT)
    pictures = [
        ReportPicture(f"../{path}", caption, index)
        for index, row in shown.iterrows()
        for path, caption in _pictures(row)
    ]
    sheet = [ReportPicture("../contact_sheet.png", "Contact sheet")] if len(fields) else []
    summary = {
        "title": f"{job['model']} on {Path(job['data']).name}",
        "sentences": _sentences(fields, wells, failures, package),
        "facts": {"fields": len(fields), "wells": len(wells), "failed": len(failures)},
        "model": {
            "version": job["model"],
            "family": package.model.spec.family,
            "classes": ", ".join(package.model.spec.classes),
            "trained on": f"data {package.about['data_fingerprint']}, split {package.about['split_fingerprint']}",
            "software": ", ".join(f"{name} {number}" for name, number in package.about["versions"].items()),
        },
        "failures": [{"path": row.path, "reason": row.reason} for row in failures.itertuples()],
    }
    write_report(out / "report", summary, wells, fields.drop(columns=hidden), sheet + pictures)


def _sentences(fields: pd.DataFrame, wells: pd.DataFrame, failures: pd.DataFrame, package: ModelPackage) -> list[str]:
    said = [f"{len(fields)} fields of {len(wells)} wells were explained; {len(failures)} could not be read."]
    if "predicted" in wells and "Metadata_Condition" in wells:
        labelled = wells[wells["Metadata_Condition"].isin(package.model.spec.classes)]
        unseen = labelled[~labelled["trained_on"].astype(bool)]
        right = int((unseen["predicted"] == unseen["Metadata_Condition"]).sum())
        said.append(
            f"{right} of the {len(unseen)} labelled wells that the model was not trained on are classified as "
            f"labelled; the {len(labelled) - len(unseen)} that it was trained on say nothing about how good it is."
        )
    for name in ("counterfactual_alpha_0", "counterfactual_alpha_1"):
        if f"{name}_valid" in fields:
            tried = fields[f"{name}_valid"].dropna()
            said.append(
                f"{int(tried.sum())} of {len(tried)} counterfactuals ({name.removeprefix('counterfactual_')}) are the "
                "target class to the model when the saved file is read again."
            )
    return said
