"""From a job's records to its tables, its contact sheet and its page."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from leigh_mlops.jobs.worker import field_id
from leigh_mlops.models import ModelPackage
from leigh_mlops.plates import write_table
from leigh_mlops.report.files import Rgb
from leigh_mlops.report.page import ReportPicture, write_report
from leigh_mlops.report.sheets import Panel, Row, contact_sheet
from leigh_mlops.report.style import save_figure
from leigh_mlops.scores import by_well

__all__ = ["collect", "records_of", "write_outputs"]

_IN_REPORT = 48
_SHEET_ROWS = 8
FAILURE_COLUMNS = ["field", "path", "reason"]


def collect(out: Path) -> list[dict[str, Any]]:
    """All records that workers have left, the newest of each field; a failure counts only until the field is done."""
    records: dict[str, dict[str, Any]] = {}
    for part in sorted((out / "parts").glob("[!.]*.json"), key=lambda path: path.stat().st_mtime_ns):
        for record in json.loads(part.read_text()):
            if "failure" not in record or "failure" in records.get(record["field"], record):
                records[record["field"]] = record
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
    if not len(fields):
        return wells.reset_index()
    wells = wells.join(grouped["seen"].any())
    if classes:
        columns = [f"probability_{name}" for name in classes]
        log_probs = np.log(fields[columns].to_numpy(float).clip(min=1e-300))
        merged = by_well(_names(fields), np.zeros(len(fields), int), log_probs)
        place = {name: number for number, name in enumerate(merged.wells)}
        wells[columns] = np.exp(merged.log_probs[[place[name] for name in _names(wells.reset_index())]])
        predicted = np.asarray(classes, object)[wells[columns].to_numpy().argmax(axis=1)]
        wells.insert(len(constant), "predicted", predicted)
    return wells.reset_index()


def _names(rows: pd.DataFrame) -> list[str]:
    return [f"{plate}/{well}" for plate, well in zip(rows["Metadata_Plate"], rows["Metadata_Well"], strict=True)]


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
        caption = name.replace("_", " ")
        if name.startswith("counterfactual"):
            target, said = row["counterfactual_target"], row[f"{name}_class"]
            probability = f"{target} {row[f'{name}_probability']:.3f}"
            caption = f"towards {target} ({name.removeprefix('counterfactual_')}); saved file: {said} ({probability})"
        elif name == "occlusion":
            limit = row["occlusion_full_colour"]
            caption = f"what speaks for {row['occlusion_target']}; full colour is {limit:.2g} of its logit"
        elif name.startswith("interpolation"):
            caption = f"from the image to the mean of {row['interpolation_target']}"
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
        unseen = labelled[~labelled["seen"].astype(bool)]
        right = int((unseen["predicted"] == unseen["Metadata_Condition"]).sum())
        said.append(
            f"{right} of the {len(unseen)} labelled wells that the model had not seen are classified as labelled; "
            f"the {len(labelled) - len(unseen)} on which it was trained or chosen say nothing about how good it is."
        )
    return [*_on_counterfactuals(fields), *said]


def _on_counterfactuals(fields: pd.DataFrame) -> list[str]:
    """How many arrived, by target; said first, since a picture that did not arrive explains nothing."""
    valid = "counterfactual_alpha_1_valid"
    if valid not in fields:
        return []
    said = []
    for target, tried in fields.dropna(subset=[valid]).groupby("counterfactual_target"):
        arrived = int(tried[valid].astype(bool).sum())
        said.append(
            f"{arrived} of {len(tried)} counterfactuals towards {target} (alpha_1) are {target} to the model when the "
            "saved file is read again; the others explain nothing."
        )
    return said
