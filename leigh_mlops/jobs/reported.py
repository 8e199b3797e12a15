"""From a job's tables to its report: which columns a reader sees, and what plates are coloured by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from leigh_mlops.jobs.columns import TABLE_COLUMNS, explain_columns, meaning_of
from leigh_mlops.jobs.direction import compounds_of, direction_of
from leigh_mlops.jobs.method_checks import checks_shown, doubts_of
from leigh_mlops.jobs.plate_metrics import plate_metrics, probable_columns
from leigh_mlops.jobs.screen import Screen
from leigh_mlops.jobs.stories import stories_of
from leigh_mlops.models import ModelPackage
from leigh_mlops.report.job_citations import references_for
from leigh_mlops.report.job_records import JobReport, ReportPicture
from leigh_mlops.scores import LIGHT_RULE

__all__ = ["Findings", "report_of"]

_ESSENTIAL = [
    "Metadata_Plate", "Metadata_Well", "Metadata_Condition", "Metadata_Control", "predicted", "score", "rescue",
    "rescue_interval", "robust_z", "fields", "flagged",
]  # fmt: skip
_PLACES = {"Metadata_Row", "Metadata_Col", "Metadata_Z", "Metadata_Time", "Metadata_PixelSize_um", "Metadata_Picture"}
_MOST_MAPPED = 3
_MOST_PROBABLE = 4
_HITS = ["compound", "dose", "hit", "rescue", "rescue_interval", "q", "wells", "ec50", "reason"]
_DOSES = ["compound", "dose", "wells", "rescue", "rescue_interval", "rescue_low", "rescue_high", "q", "fitted"]
_SEEN_BY = {"model": "the model", "intensity": "mean intensities alone", "position": "the position on the plate alone"}
_FILES = {
    "fields.parquet": "one row per field: all numbers",
    "wells.parquet": "one row per well: all numbers",
    "hits.csv": "the hits, the surest first",
    "plates.csv": "quality of each plate and its controls",
    "doses.csv": "one row per compound and dose",
    "changes.csv": "what counterfactuals change, measure by measure",
    "methods.csv": "checks of the methods of explanation",
    "failures.csv": "files that could not be explained, and why",
    "columns.md": "what every column means",
    "contact_sheet.png": "some fields with their explanations",
    "job.json": "what was asked for",
}
_PICTURES = {
    "changes.png": (
        "What counterfactuals change",
        "what the counterfactuals change, beside the real difference of the classes",
    ),
    "latents.png": (
        "Latents by class, plate and place",
        "fields in the space of the latents, by class, plate and place",
    ),
    "contact_sheet.png": ("Contact sheet", "some fields from all over the job with their explanations"),
}


@dataclass(frozen=True)
class Findings:
    """What a job has to say, in sentences."""

    sentences: Sequence[str] = ()
    changes: Sequence[str] = ()
    warnings: Sequence[str] = ()
    details: Sequence[str] = field(default_factory=list)


def report_of(
    out: Path,
    screened: Screen,
    failures: pd.DataFrame,
    methods: pd.DataFrame,
    package: ModelPackage,
    job: Mapping[str, Any],
    findings: Findings,
) -> JobReport:
    """Everything that the report of a job tells.

    Args:
        out: The job's folder, whose tables and figures have been written.
        screened: Tables of fields, wells, compounds and plates.
        failures: Columns ``path`` and ``reason``.
        methods: The table of ``methods.csv``; empty where nothing was checked.
        package: The model.
        job: What ``job.json`` says.
        findings: In sentences.
    """
    classes = package.model.spec.classes if package.model.task == "classify" else ()
    wells = _shown_wells(screened.wells)
    direction = direction_of(wells, classes, job.get("rescue_from"), job.get("rescue_to")) if classes else None
    probable = probable_columns(wells, classes, direction)
    lights = any(str(name).endswith("_light") for name in screened.fields)
    names = [*screened.fields, *wells]
    meanings = {str(name): meaning for name in names if (meaning := meaning_of(str(name)))}
    return JobReport(
        title=f"{Path(job['data']).name}, explained by {job['model']}",
        warnings=findings.warnings,
        sentences=findings.sentences,
        changes=findings.changes,
        details=findings.details,
        facts=_facts(wells, screened.fields, failures),
        model=_model(package, job),
        fields=screened.fields,
        wells=wells,
        well_columns=_well_columns(wells, probable),
        metrics=plate_metrics(wells, probable),
        stories=stories_of(screened.fields, doubts_of(methods)),
        hits=_chosen(screened.hits, _HITS),
        group="compound",
        plates=screened.plates,
        doses=_chosen(screened.doses, _DOSES),
        scores={_SEEN_BY.get(name, name): scores for name, scores in screened.confounds.items()},
        calibration=None if screened.calibration is None else _readable(screened.calibration),
        methods=checks_shown(methods),
        pictures=[ReportPicture(name, *words) for name, words in _PICTURES.items() if (out / name).exists()],
        failures=failures[["path", "reason"]],
        columns=TABLE_COLUMNS | meanings | explain_columns(names),
        rules={"What green, amber and red mean": LIGHT_RULE} if lights else {},
        citation=_citation(package, job),
        references=references_for(_used(package, job, screened, methods)),
        downloads={name: what for name, what in _FILES.items() if (out / name).exists()},
    )


def _shown_wells(wells: pd.DataFrame) -> pd.DataFrame:
    """The wells with the share of their fields that counts, and what was added to them."""
    if "fields_left_out" in wells:
        wells = wells.assign(quality=wells["fields"] / (wells["fields"] + wells["fields_left_out"]))
    return _with_interval(wells.assign(compound=compounds_of(wells)))


def _with_interval(table: pd.DataFrame) -> pd.DataFrame:
    """With both ends of the rescue's interval in one column."""
    if not {"rescue_low", "rescue_high"} <= set(table):
        return table
    ends = zip(table["rescue_low"], table["rescue_high"], strict=True)
    texts = [None if pd.isna(low + high) else f"{low:.0f} to {high:.0f}" for low, high in ends]
    return table.assign(rescue_interval=pd.Series(texts, table.index, dtype=object))


def _facts(wells: pd.DataFrame, fields: pd.DataFrame, failures: pd.DataFrame) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    if "Metadata_Plate" in wells:
        facts["plates"] = wells["Metadata_Plate"].nunique()
    facts |= {"wells": len(wells), "fields": len(fields), "failed fields": len(failures)}
    if "trust" in fields:
        facts["flagged fields"] = int((fields["trust"].fillna("") != "").sum())
    return facts


def _model(package: ModelPackage, job: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "model": job["model"],
        "family": package.model.spec.family,
        "classes": ", ".join(package.model.spec.classes),
        "channels": ", ".join(package.channels),
        "trained on": f"data {package.about['data_fingerprint']}, split {package.about['split_fingerprint']}",
        "software": ", ".join(f"{name} {number}" for name, number in package.about["versions"].items()),
    }


def _citation(package: ModelPackage, job: Mapping[str, Any]) -> str:
    version = package.about["versions"].get("leigh_mlops", "")
    return (
        f"Images were classified and explained with leigh_mlops {version}, model {job['model']} "
        f"({package.model.spec.family}, trained on data {package.about['data_fingerprint']}, "
        f"split {package.about['split_fingerprint']})."
    ).replace("  ", " ")


def _used(package: ModelPackage, job: Mapping[str, Any], screened: Screen, methods: pd.DataFrame) -> list[str]:
    used = [package.model.spec.family, *job.get("methods", ())]
    used += ["checks"] * (not methods.empty) + ["calibration"] * (screened.calibration is not None)
    return used + ["plates"] * (not screened.plates.empty)


def _well_columns(wells: pd.DataFrame, probable: Sequence[str]) -> list[str]:
    """What everybody reads; what a plate map says of the wells stands after their label."""
    mapped = [
        str(name)
        for name in wells
        if str(name).startswith("Metadata_")
        and name not in _PLACES
        and name not in _ESSENTIAL
        and len(wells[name].dropna().unique()) > 1
    ][:_MOST_MAPPED]
    shown = [name for name in _ESSENTIAL if name in wells and not wells[name].isna().all()]
    place = shown.index("predicted") if "predicted" in shown else len(shown)
    after = place + 1 if "predicted" in shown else place
    return [*shown[:place], *mapped, *shown[place:after], *probable[:_MOST_PROBABLE], *shown[after:]]


def _chosen(table: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Of compounds the columns that decide, else all that say something; the file holds them all."""
    table = _with_interval(table)
    known = [name for name in columns if name in table] if "compound" in table else list(table)
    return table[known].dropna(axis="columns", how="all") if len(table) else table


def _readable(calibration: Mapping[str, Any]) -> dict[str, Any]:
    named = {
        "temperature": "temperature (above 1: it was too sure)",
        "ece_before": "calibration error before",
        "ece_after": "calibration error after",
        "wells": "validation wells",
    }
    return {named.get(name, name.replace("_", " ")): value for name, value in calibration.items()}
