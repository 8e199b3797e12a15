from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from leigh_mlops.jobs.reporting.build_report import Findings, build_report
from leigh_mlops.jobs.reporting.job_tables import job_tables
from leigh_mlops.report.job.job_records import JobReport
from leigh_mlops.screening.screen import Screen

SPEC = SimpleNamespace(classes=("DS", "WT"), family="iresnet")
ABOUT = {"data_fingerprint": "a", "split_fingerprint": "b", "versions": {"leigh_mlops": "1.2"}}
PACKAGE = SimpleNamespace(model=SimpleNamespace(spec=SPEC, task="classify"), channels=("DAPI",), about=ABOUT)
WELLS = pd.DataFrame({
    "Metadata_Plate": "P", "Metadata_Well": ["A01", "A02"], "Metadata_Row": 1, "Metadata_Col": [1, 2],
    "Metadata_Condition": ["DS", "WT"], "Metadata_compound": [None, "C1"], "predicted": ["DS", "WT"],
    "probability_DS": [0.9, 0.1], "probability_WT": [0.1, 0.9], "score": [-7.0, 2.0], "fields": [3, 1],
    "fields_left_out": [0, 1], "rescue": [0.0, 88.2], "rescue_low": [-5.0, np.nan], "rescue_high": [5.2, np.nan],
    "latent_1": [0.0, 1.0], "counterfactual_confident_length": [1.0, 1.0],
})  # fmt: skip
FIELDS = pd.DataFrame(
    {"Metadata_Plate": "P", "Metadata_Well": ["A01"], "Metadata_Site": 1, "field": ["f"], "trust": [""]}
)
CHECKS = pd.DataFrame({
    "method": ["occlusion", "guided_grad_cam"], "images": 12, "deletion": [0.2, 0.4], "deletion_random": 0.5,
    "deletion_edge": [0.3, np.nan], "insertion": np.nan, "randomised_similarity": [0.1, 0.9], "infidelity": np.nan,
    "passed": [True, False], "why": ["better than both", "it does not change with the weights"],
})  # fmt: skip


def reported(tmp_path: Path, methods: pd.DataFrame | None = None, **changed: Any) -> JobReport:
    nothing = pd.DataFrame()
    screened = {"fields": FIELDS, "wells": WELLS, "hits": nothing, "plates": nothing, "doses": nothing} | changed
    failures = pd.DataFrame(columns=["field", "path", "reason"])
    job = {"model": "models:/m/1", "data": "plate", "methods": ["counterfactual"]}
    checks = [] if methods is None else methods.to_dict("records")
    tables = job_tables(Screen(**screened), failures, checks)
    return build_report(tmp_path, tables, PACKAGE, job, Findings(["said"]))  # type: ignore[arg-type]


def test_the_table_of_wells_holds_what_everybody_reads(tmp_path: Path) -> None:
    report = reported(tmp_path)
    assert report.well_columns == [
        "Metadata_Plate", "Metadata_Well", "Metadata_Condition", "predicted", "probability_WT", "score", "rescue",
        "rescue_interval", "fields",
    ]  # fmt: skip
    assert report.wells["rescue_interval"][0] == "-5 to 5"
    assert "counterfactual_confident_length" in report.wells


def test_plates_have_scales_that_follow_from_the_job_and_not_from_a_plate(tmp_path: Path) -> None:
    metrics = {metric.column: metric for metric in reported(tmp_path).metrics}
    assert next(iter(metrics)) == "probability_WT"
    assert (metrics["score"].low, metrics["score"].high, metrics["score"].signed) == (-10, 10, True)
    assert (metrics["rescue"].low, metrics["rescue"].high) == (-50, 150)
    assert reported(tmp_path).wells["quality"] == [1.0, 0.5]
    assert "robust_z" not in metrics


def test_calibrated_probabilities_are_shown_where_they_are_known(tmp_path: Path) -> None:
    calibrated = WELLS.assign(calibrated_DS=0.6, calibrated_WT=0.4)
    assert "probability_WT" in reported(tmp_path).well_columns
    report = reported(tmp_path, wells=calibrated)
    assert "calibrated_WT" in report.well_columns
    assert "probability_WT" not in report.well_columns
    assert report.metrics[0].meaning.endswith("calibrated")


def test_prediction_sets_are_shown_as_answers_with_their_coverage(tmp_path: Path) -> None:
    assert "prediction_set" not in {metric.column for metric in reported(tmp_path).metrics}
    report = reported(tmp_path, wells=WELLS.assign(prediction_set=["DS; WT", "WT"], prediction_set_coverage=0.9))
    assert "prediction_set" in report.well_columns
    assert report.wells["prediction_set"] == ["can't say (DS or WT)", "WT"]
    metric = next(metric for metric in report.metrics if metric.column == "prediction_set")
    assert (metric.title, list(metric.names)) == ("Prediction set (90 %)", ["DS", "WT"])
    assert report.wells["prediction_set"][0].startswith(metric.undecided)
    assert any("Algorithmic Learning" in entry for entry in report.references)


def test_checks_of_methods_are_read_at_a_glance(tmp_path: Path) -> None:
    assert reported(tmp_path).methods == {}
    table = reported(tmp_path, CHECKS).methods
    assert table["method"] == ["Occlusion", "Guided Grad-CAM"]
    assert table["checks"] == ["● passed", "■ not passed"]
    assert table["deletion (random, edges)"] == ["0.20 (0.50, 0.30)", "0.40 (0.50, -)"]
    assert "infidelity" not in table
    of_changes = reported(tmp_path, CHECKS.assign(method="counterfactual_confident_map")).methods
    assert of_changes["method"][0] == "Where the change matters (confident)"
    assert "insertion (random, edges)" not in table


def test_only_files_that_are_there_are_offered(tmp_path: Path) -> None:
    assert reported(tmp_path).downloads == {}
    (tmp_path / "fields.parquet").touch()
    assert list(reported(tmp_path).downloads) == ["fields.parquet"]


def test_a_report_says_how_to_cite_it(tmp_path: Path) -> None:
    report = reported(tmp_path, CHECKS)
    assert "leigh_mlops 1.2, model models:/m/1 (iresnet" in report.citation
    assert {"behrmann2019invertible", "hvilshoj2021ecinn", "adebayo2018sanity"} == {
        reference.split("{")[1].split(",")[0] for reference in report.references
    }
