"""The page of an evaluation: the model's part of a job's report, for wells whose class is known."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from leigh_mlops.errors import LeighError
from leigh_mlops.jobs.outputs import FAILURE_COLUMNS
from leigh_mlops.jobs.reported import Findings, report_of
from leigh_mlops.jobs.screen import Screen
from leigh_mlops.jobs.wells import hits_of, well_table
from leigh_mlops.jobs.worker import field_id
from leigh_mlops.report.job_report import JobReport, write_job_report
from leigh_mlops.study.registered import Scored
from leigh_mlops.tracking import Store, StoreAwayError

__all__ = ["curves_of", "evaluation_report", "fields_of", "write_evaluation"]

_PAGE = "index.html"
_PARTS = ("train", "val")
_CURVES = ("loss", "log_loss", "accuracy", "wells/accuracy", "mse")


def write_evaluation(folder: Path, scored: Scored, store: Store, data: Path) -> Path:
    """Write the page of an evaluation.

    Args:
        folder: Where ``index.html`` and the wells' pages go.
        scored: What was scored.
        store: Where the version's run has its learning curves; a page without them where it does not answer.
        data: What the images were read from.

    Returns:
        The path of the page.

    Raises:
        LeighError: The folder holds something else.
    """
    if folder.exists() and any(folder.iterdir()) and ((folder / "job.json").exists() or not (folder / _PAGE).exists()):
        raise LeighError(f"{folder} is not empty and holds no page of an evaluation; give another --out.")
    try:
        curves = curves_of(store, scored.version.run_id)
    except StoreAwayError:
        curves = pd.DataFrame()
    return write_job_report(folder, evaluation_report(folder, scored, data, curves))


def evaluation_report(folder: Path, scored: Scored, data: Path, curves: pd.DataFrame) -> JobReport:
    """What an evaluation tells: scores beside what needs no network, wells, calibration, learning curves."""
    fields, spec, nothing = fields_of(scored), scored.package.model.spec, pd.DataFrame()
    classes = spec.classes if scored.package.model.task == "classify" else ()
    wells = well_table(fields, classes)
    calibration = scored.package.about.get("calibration")
    # What a screen says of plates needs all of their wells; only those that the version has not seen are here.
    screened = Screen(fields, wells, hits_of(wells, classes), nothing, nothing, calibration=calibration)
    job = {"model": scored.version.uri, "data": str(data), "methods": []}
    none = pd.DataFrame(columns=FAILURE_COLUMNS)
    report = report_of(
        folder,
        screened,
        none,
        nothing,
        scored.package,
        job,
        Findings(sentences=scored.sentences),
    )
    rows = {name: _per_well(scores) for name, scores in scored.rows.items()}
    return replace(
        report,
        title=f"{scored.version.uri} on {data.name}: {scored.seen}",
        scores=rows,
        curves=curves,
        root=".",
        pictures=(),
        downloads={},
    )


def fields_of(scored: Scored) -> pd.DataFrame:
    """One row per scored field, with the columns of a job's table."""
    outputs, spec = scored.evaluation.outputs, scored.package.model.spec
    table, said = scored.data.table.iloc[outputs.rows], np.asarray(outputs.values)
    metadata = table[[name for name in table if str(name).startswith("Metadata_")]].reset_index(drop=True)
    fields = metadata.assign(field=[field_id(row) for _, row in table.iterrows()], seen=False)
    if scored.package.model.task == "reconstruct":
        return fields.assign(reconstruction_mse=said)
    fields["predicted"] = np.asarray(spec.classes, object)[said.argmax(axis=1)]
    for number, name in enumerate(spec.classes):
        fields[f"probability_{name}"] = np.exp(said[:, number])
    return fields


def curves_of(store: Store, run_id: str) -> pd.DataFrame:
    """Epoch, metric and value of the scores by which a training is judged."""
    shown = {f"{part}/{score}" for part in _PARTS for score in _CURVES}
    rows = [(each.step, each.name, each.value) for each in store.run_of(run_id).history() if each.name in shown]
    return pd.DataFrame(rows, columns=["epoch", "metric", "value"])


def _per_well(scores: dict[str, float]) -> dict[str, float]:
    """The scores that count: those of wells, and of fields where wells have none."""
    return {
        name.replace("wells/", "wells: "): value
        for name, value in scores.items()
        if name.startswith("wells/") or "/" not in name
    }
