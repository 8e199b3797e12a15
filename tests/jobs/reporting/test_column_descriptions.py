from pathlib import Path

import pandas as pd

from leigh_mlops.explanations import COUNTERFACTUAL_KINDS
from leigh_mlops.images import region_features
from leigh_mlops.jobs.reporting.change_report import write_changes
from leigh_mlops.jobs.reporting.column_descriptions import (
    CHANGE_COLUMNS,
    COLUMNS,
    TABLE_COLUMNS,
    column_meaning,
    explain_columns,
    table_meanings,
    write_columns,
)
from leigh_mlops.plates.confounds import probe_features
from tests.images.test_regions import CHANNELS, field
from tests.jobs.reporting.test_change_report import CLASSES
from tests.jobs.reporting.test_change_report import fields as changed_fields

MEASURES = list(region_features(field(), CHANNELS, [4.0, 3.0])) + list(
    region_features(field(), ("ch1", "TMRM"), [4.0, 3.0])
)
PER_KIND = (
    "class", "probability", "valid", "length", "way", "attempts", "reencoding_error", "padding_energy", "residual",
    "clipped", "changed", "change_TMRM", "distance", "status", "oracle_cnn_class", "oracle_cnn_probability",
    "oracles", "oracles_asked", "realism", "reasons", "eight_bit_class",
    "twin_error", "counts_class", "falls_short", "map_full_colour", *(f"after_{measure}" for measure in MEASURES),
)  # fmt: skip


def test_every_column_is_explained() -> None:
    columns = [f"counterfactual_{kind}_{name}" for kind in COUNTERFACTUAL_KINDS for name in PER_KIND]
    columns += ["field", "fields", "seen", "predicted", "probability_DS", "counterfactual_target", "Metadata_Well"]
    columns += [
        "latent_1",
        "latent_10",
        "latent_distance",
        "reconstruction_mse",
        "reconstruction_error_TMRM",
        "sweep_note",
        "sweep_video",
        "reconstruction_pca_error_TMRM",
        "occlusion_full_colour",
    ]
    columns += [f"part_intensity_of_TMRM_{name}" for name in ("class", "oracles", "oracles_asked")]
    columns += ["sham_turned", "sham_oracles_turned", "sham_oracles_asked", "sham_change_TMRM"]
    columns += ["smallest_edit_share", "smallest_edit_area"]
    columns += ["picture_counterfactual_confident", *(f"image_{measure}" for measure in MEASURES)]
    assert not explain_columns(["of nobody"])
    assert [column for column in columns if not explain_columns([column])] == []


def test_a_column_has_the_meaning_of_its_own_pattern() -> None:
    assert list(explain_columns(["latent_distance"])) == ["latent_distance"]
    assert list(explain_columns(["image_nuclei_intensity_TMRM"])) == ["image_<region>_intensity_<channel>"]
    assert list(explain_columns(["counterfactual_boundary_change_A_B"])) == ["counterfactual_<kind>_change_<channel>"]
    assert list(explain_columns(["counterfactual_other_class"])) == []


def test_columns_of_the_table_of_changes_are_explained(tmp_path: Path) -> None:
    write_changes(tmp_path, changed_fields(3.0).to_dict("list"), CLASSES)
    columns = list(pd.read_csv(tmp_path / "changes.csv"))
    assert {"real_q", "ratio", "signs_agree"} <= set(columns)
    assert columns == list(CHANGE_COLUMNS)
    written = write_columns(tmp_path / "columns.md", ["field"]).read_text()
    assert "changes.csv" not in written
    written = write_columns(tmp_path / "columns.md", ["field"], changes=True).read_text()
    assert all(f"| `{name}` |" in written.split("# Columns of changes.csv")[1] for name in columns)


def test_how_fields_become_a_well_is_said_once(tmp_path: Path) -> None:
    written = write_columns(tmp_path / "columns.md", ["counterfactual_confident_valid"]).read_text()
    assert "In wells.parquet numbers are medians over the well's fields, and true/false columns give" in written
    assert not any("of a well" in meaning for name, meaning in COLUMNS.items() if name != "probability_<class>")


def test_only_what_occurs_is_written(tmp_path: Path) -> None:
    written = write_columns(tmp_path / "columns.md", ["field", "latent_2"]).read_text().splitlines()
    assert [line.split("`")[1] for line in written if line.startswith("| `")] == ["field", "latent_<number>"]
    assert all("|" not in meaning for meaning in COLUMNS.values())


def test_a_name_means_in_a_table_what_it_holds_there() -> None:
    meant = {key: table_meanings(key, ["wells", "fields", "reason", "note"]) for key in ("scores", "verdicts")}
    assert meant["scores"] == {"wells": "number of labelled wells on which the predictor is scored"}
    assert meant["verdicts"] == {"fields": "number of fields that count"}
    assert table_meanings("failures", ["reason"]) == {"reason": "why the file could not be explained"}
    hits = table_meanings("hits", ["compound", "wells", "rescue_interval", "reason"])
    assert (hits["wells"], hits["reason"]) == (TABLE_COLUMNS["wells"], TABLE_COLUMNS["reason"])
    assert "wells.parquet" not in hits["rescue_interval"]
    assert "wells.parquet" in table_meanings("hits", ["Metadata_Well", "rescue_interval"])["rescue_interval"]


def test_every_score_of_a_view_is_explained() -> None:
    wells = {"Metadata_Plate": "P", "Metadata_Well": ["A1", "A2", "A3", "A4"], "Metadata_Condition": ["DS", "WT"] * 2}
    scores = probe_features(pd.DataFrame(wells), pd.DataFrame({"sharpness": [1.0, 2.0, 3.0, 4.0]}))
    assert "chance_auc" in scores
    assert set(table_meanings("scores", scores)) == set(scores)


def test_what_intervals_and_factors_do_not_say_is_said() -> None:
    assert column_meaning("rescue_low").endswith(
        "over the fields of this well and its plate's controls, not between wells"
    )
    assert "bands of three standard deviations overlap" in TABLE_COLUMNS["z_prime_log_odds"]
    assert "publications" in TABLE_COLUMNS["z_prime"]
