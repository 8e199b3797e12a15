"""Assembly of a job's report from its tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from leigh_mlops.job_columns import AREA, ORACLE, JobColumn
from leigh_mlops.jobs.blind_test import read_blind_result
from leigh_mlops.jobs.reporting.blind_summary import summarise_blind_test
from leigh_mlops.jobs.reporting.column_descriptions import explain_columns, table_meanings
from leigh_mlops.jobs.reporting.counterfactual_sentences import IMAGE_NAMES
from leigh_mlops.jobs.reporting.direction_words import direction_words
from leigh_mlops.jobs.reporting.field_sections import build_field_sections, find_title_columns
from leigh_mlops.jobs.reporting.job_tables import JobTables
from leigh_mlops.jobs.reporting.latent_report import map_neighbours
from leigh_mlops.jobs.reporting.method_table import format_checks, method_warnings
from leigh_mlops.jobs.reporting.plate_metrics import plate_metrics, probability_columns
from leigh_mlops.models import ModelPackage
from leigh_mlops.plates.columns import Metadata, is_metadata
from leigh_mlops.report.job.citations import bibtex_entries
from leigh_mlops.report.job.job_records import CardSection, JobReport, ReportPicture
from leigh_mlops.report.table_columns import Columns, is_missing, row_count
from leigh_mlops.scores import QUALITY_RULE
from leigh_mlops.screening.well_table import counterfactual_kinds

__all__ = ["Findings", "build_report"]

_ESSENTIAL_COLUMNS = [
    Metadata.PLATE, Metadata.WELL, Metadata.CONDITION, Metadata.CONTROL, JobColumn.PREDICTED, JobColumn.SET,
    JobColumn.SCORE, JobColumn.RESCUE, JobColumn.RESCUE_INTERVAL, JobColumn.ROBUST_Z, JobColumn.CELL_SHARE,
    JobColumn.OFF_AXIS, JobColumn.RECONSTRUCTION_ERROR, JobColumn.FIELDS, JobColumn.FLAGGED,
]  # fmt: skip
_HIDDEN_COLUMNS = {
    Metadata.ROW,
    Metadata.COLUMN,
    Metadata.Z,
    Metadata.TIME,
    Metadata.PIXEL_SIZE_UM,
    Metadata.FIELD_UM,
    Metadata.PICTURE,
}
_MAX_METADATA_COLUMNS = 3
_MAX_PROBABILITY_COLUMNS = 4
_CONFOUND_NAMES = {
    "model": "the model",
    "intensity": "mean intensities alone",
    "position": "the position on the plate alone",
    "background": "pixels without cells alone",
    "focus": "the focus alone",
    "density": "the number of nuclei alone",
}
_FILES = {
    "fields.parquet": "one row per field: all numbers",
    "wells.parquet": "one row per well: all numbers",
    "hits.csv": "the compounds, or the wells that are classified as another class, the surest first",
    "plates.csv": "quality of each plate and its controls",
    "doses.csv": "one row per compound and dose",
    "changes.csv": "what counterfactuals change, measure by measure",
    "counterfactuals.csv": "what independent classifiers predict for counterfactuals, references and real fields",
    "clusters.csv": "clusters of the heatmaps, and the positions in which they are enriched",
    "methods.csv": "checks of the methods of explanation",
    "cluster_cards.csv": "clusters of fields: members, enrichment, differences, stability",
    "failures.csv": "files that could not be explained, and why",
    "blind/result.json": "result of the blind test by people",
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
    """Findings of a job, in sentences."""

    sentences: Sequence[str] = ()
    changes: Sequence[str] = ()
    warnings: Sequence[str] = ()
    clusters: Sequence[str] = ()
    cards: Sequence[CardSection] = ()
    card_sentences: Sequence[str] = ()
    details: Sequence[str] = field(default_factory=list)


def build_report(
    out: Path,
    tables: JobTables,
    package: ModelPackage,
    job: Mapping[str, Any],
    findings: Findings,
) -> JobReport:
    """Assemble the report of a job.

    Args:
        out: The job's folder, with its tables and figures.
        tables: Tables of the job.
        package: The model.
        job: Content of ``job.json``.
        findings: Findings in sentences.
    """
    classes = package.model.spec.classes if package.model.task == "classify" else ()
    fields, wells, methods = tables.fields, tables.wells, tables.methods
    probable, words = probability_columns(wells, classes, tables.reference), direction_words(tables.reference)
    names = [*fields, *wells]
    verdicts = _verdict_columns(tables.verdicts)
    explained = {
        "wells": dict.fromkeys(names),
        "hits": tables.hits,
        "doses": tables.doses,
        "plates": tables.plates,
        "clusters": tables.clusters,
        "scores": _score_names(tables),
        "verdicts": verdicts,
        "failures": tables.failures,
    }
    meanings = {key: table_meanings(key, columns) for key, columns in explained.items()}
    return JobReport(
        title=f"{Path(job['data']).name}, explained by {job['model']}",
        warnings=findings.warnings,
        sentences=findings.sentences,
        changes=findings.changes,
        details=findings.details,
        facts=_facts(tables),
        model=_model(package, job),
        fields=fields,
        neighbours=map_neighbours(fields),
        wells=wells,
        well_columns=_well_columns(wells, probable),
        metrics=plate_metrics(wells, probable, tables.reference),
        headings={JobColumn.RESCUE: words.heading},
        dose_axis=f"{words.heading[0].upper()}{words.heading[1:]} by dose: 0 % is the level of {words.source}, 100 % "
        f"that of {words.target}.",
        field_sections=partial(
            build_field_sections, doubts=method_warnings(methods), title_columns=find_title_columns(fields)
        ),
        hits=tables.hits,
        group="compound",
        plates=tables.plates,
        doses=tables.doses,
        scores={_CONFOUND_NAMES.get(name, name): scores for name, scores in tables.confounds.items()},
        verdicts=verdicts,
        clusters=tables.clusters,
        cluster_sentences=findings.clusters,
        cards=findings.cards,
        card_sentences=findings.card_sentences,
        calibration=None if tables.calibration is None else _label_calibration(tables.calibration),
        methods=format_checks(methods),
        blind_test=summarise_blind_test(read_blind_result(out)),
        pictures=[ReportPicture(name, *words) for name, words in _PICTURES.items() if (out / name).exists()],
        failures=tables.failures,
        columns=explain_columns(names),
        meanings=meanings,
        rules={"What green, amber and red mean": QUALITY_RULE} if counterfactual_kinds(fields) else {},
        citation=_citation(package, job),
        references=bibtex_entries(_reference_keys(package, job, tables)),
        downloads={name: what for name, what in _FILES.items() if (out / name).exists()},
    )


def _score_names(tables: JobTables) -> list[str]:
    return [name for scores in tables.confounds.values() for name in scores]


def _verdict_columns(verdicts: Columns) -> Columns:
    """Columns of the table of counterfactuals under the headings of a page."""
    named = {
        "empty_fields": "without cells, not counted",
        "unseen": "unseen fields only",
        "network": "this network",
        "most_oracles": "most classifiers",
        "realism_auc": "told from real fields (AUC)",
        "frechet": "Fréchet distance from real fields",
    }
    named |= {column: f"area of {structure}" for structure, column in AREA.select(verdicts).items()}
    table = {named.get(name, name.removeprefix(ORACLE.prefix)): values for name, values in verdicts.items()}
    if "images" in table:
        table["images"] = [IMAGE_NAMES.get(name, name) for name in table["images"]]
    return table


def _facts(tables: JobTables) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    if Metadata.PLATE in tables.wells:
        facts["plates"] = len(set(tables.wells[Metadata.PLATE]))
    counted = {"wells": tables.wells, "fields": tables.fields, "failed fields": tables.failures}
    facts |= {name: row_count(table) for name, table in counted.items()}
    if JobColumn.TRUST in tables.fields:
        facts["flagged fields"] = sum(not is_missing(text) and text != "" for text in tables.fields[JobColumn.TRUST])
    return facts


def _model(package: ModelPackage, job: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "model": job["model"],
        "family": package.model.spec.family,
        "classes": ", ".join(package.model.spec.classes) or "none",
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


def _reference_keys(package: ModelPackage, job: Mapping[str, Any], tables: JobTables) -> list[str]:
    used = [package.model.spec.family, *job.get("methods", ())]
    used += ["checks"] * bool(tables.methods) + ["calibration"] * (tables.calibration is not None)
    used += ["sets"] * (JobColumn.SET in tables.wells)
    return used + ["plates"] * bool(row_count(tables.plates))


def _well_columns(wells: Columns, probable: Sequence[str]) -> list[str]:
    """Order the columns of wells: the essential ones, with those of the plate map before the prediction."""
    mapped = [
        name
        for name in wells
        if is_metadata(name)
        and name not in _HIDDEN_COLUMNS
        and name not in _ESSENTIAL_COLUMNS
        and len({value for value in wells[name] if not is_missing(value)}) > 1
    ][:_MAX_METADATA_COLUMNS]
    shown = [name for name in _ESSENTIAL_COLUMNS if not all(map(is_missing, wells.get(name, ())))]
    place = shown.index(JobColumn.PREDICTED) if JobColumn.PREDICTED in shown else len(shown)
    after = place + 1 if JobColumn.PREDICTED in shown else place
    return [*shown[:place], *mapped, *shown[place:after], *probable[:_MAX_PROBABILITY_COLUMNS], *shown[after:]]


def _label_calibration(calibration: Mapping[str, Any]) -> dict[str, Any]:
    named = {
        "temperature": "temperature (above 1: it was too sure)",
        "ece_before": "calibration error before",
        "ece_after": "calibration error after",
        "wells": "validation wells",
    }
    return {named.get(name, name.replace("_", " ")): value for name, value in calibration.items()}
