"""Report of an evaluation: the model's part of a job's report, for wells of known class."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from leigh_mlops.errors import LeighError
from leigh_mlops.events import CURVES
from leigh_mlops.job_columns import PROBABILITY, JobColumn
from leigh_mlops.jobs.reporting.build_report import Findings, build_report
from leigh_mlops.jobs.reporting.job_tables import job_tables
from leigh_mlops.jobs.reporting.outputs import FAILURE_COLUMNS
from leigh_mlops.jobs.reporting.set_sentences import describe_sets
from leigh_mlops.jobs.worker import field_ids
from leigh_mlops.plates.columns import is_metadata
from leigh_mlops.report.job.job_report import JobReport, write_job_report
from leigh_mlops.report.table_columns import Columns
from leigh_mlops.screening.class_sets import class_sets
from leigh_mlops.screening.reference_classes import choose_reference_classes
from leigh_mlops.screening.screen import Screen
from leigh_mlops.screening.well_table import misclassified_wells, well_table
from leigh_mlops.study.evaluate_version import VersionEvaluation
from leigh_mlops.study.evaluation import CLUSTER_SCORES
from leigh_mlops.tracking import Store, StoreUnavailableError

__all__ = ["read_learning_curves", "evaluation_report", "scored_field_table", "write_evaluation"]

_PAGE = "index.html"
_SPLITS = ("train", "val")
_CURVE_METRICS = ("loss", "log_loss", "accuracy", "wells/accuracy", "mse")


def write_evaluation(folder: Path, scored: VersionEvaluation, store: Store, data: Path) -> Path:
    """Write the report of an evaluation.

    Args:
        folder: Folder for ``index.html`` and the pages of the wells.
        scored: Result of the evaluation.
        store: Store with the learning curves of the version's run; if it does not respond, they are left out.
        data: Path of the images.

    Returns:
        Path of the page.

    Raises:
        LeighError: The folder is not empty and holds something else.
    """
    if folder.exists() and any(folder.iterdir()) and ((folder / "job.json").exists() or not (folder / _PAGE).exists()):
        raise LeighError(f"{folder} is not empty and holds no page of an evaluation; give another --out.")
    try:
        curves = read_learning_curves(store, scored.version.run_id)
    except StoreUnavailableError:
        curves = {}
    return write_job_report(folder, evaluation_report(folder, scored, data, curves))


def evaluation_report(folder: Path, scored: VersionEvaluation, data: Path, curves: Columns) -> JobReport:
    """Build the report: scores beside those of baselines, wells, calibration and learning curves."""
    fields, spec = scored_field_table(scored), scored.package.model.spec
    classes = spec.classes if scored.package.model.task == "classify" else ()
    wells = well_table(fields, () if scored.package.model.task == "reconstruct" else spec.classes)
    calibration = scored.package.about.get("calibration")
    sentences = list(scored.sentences)
    if classes:
        columns, counts = class_sets(wells, scored.package)
        wells = wells.assign(**columns)
        sentences += describe_sets(counts)
    # Scores of plates need all of their wells; only those that the version has not seen are here.
    reference = choose_reference_classes(wells, classes) if classes else None
    hits = misclassified_wells(wells, classes)
    screened = Screen(fields, wells, hits, calibration=calibration, reference=reference)
    job = {"model": scored.version.uri, "data": str(data), "methods": []}
    tables = job_tables(screened, pd.DataFrame(columns=FAILURE_COLUMNS))
    report = build_report(folder, tables, scored.package, job, Findings(sentences=sentences))
    rows = {name: _select_well_scores(scores) for name, scores in scored.rows.items()}
    return replace(
        report,
        title=f"{scored.version.uri} on {data.name}: {scored.seen}",
        scores=rows,
        curves=curves,
        root=".",
        pictures=(),
        downloads={},
    )


def scored_field_table(scored: VersionEvaluation) -> pd.DataFrame:
    """Build a table of one row per scored field, with the columns of a job's table."""
    outputs, spec = scored.evaluation.outputs, scored.package.model.spec
    table, values = scored.data.table.iloc[outputs.rows], np.asarray(outputs.values)
    metadata = table[[name for name in table if is_metadata(name)]].reset_index(drop=True)
    fields = metadata.assign(field=field_ids(table), seen=False)
    if scored.package.model.task == "reconstruct":
        return fields.assign(reconstruction_mse=values)
    fields[JobColumn.PREDICTED] = np.asarray(spec.classes, object)[values.argmax(axis=1)]
    for number, name in enumerate(spec.classes):
        fields[PROBABILITY(name)] = np.exp(values[:, number])
    return fields


def read_learning_curves(store: Store, run_id: str) -> Columns:
    """Read the learning curves of a run as columns ``epoch``, ``metric`` and ``value``.

    A run of version 0.1.0 has them without the prefix of curves.
    """
    history = store.get_run(run_id).history()
    prefix = CURVES if any(each.name.startswith(CURVES) for each in history) else ""
    shown = {f"{prefix}{part}/{score}" for part in _SPLITS for score in _CURVE_METRICS}
    found = [each for each in history if each.name in shown]
    return {
        "epoch": [each.step for each in found],
        "metric": [each.name.removeprefix(prefix) for each in found],
        "value": [each.value for each in found],
    }


def _select_well_scores(scores: dict[str, float]) -> dict[str, float]:
    """Select the scores of wells, and those whose name has no prefix."""
    return {
        name.replace("wells/", "wells: "): value
        for name, value in scores.items()
        if name.startswith(("wells/", *CLUSTER_SCORES)) or "/" not in name
    }
