import numpy as np
import pandas as pd
import pytest
import torch

from leigh_mlops.models import ModelPackage, build_model
from leigh_mlops.scores.conformal import CalibrationWells
from leigh_mlops.screening.class_sets import class_sets

CLASSES = ["DS", "WT"]


def log_probs(labels: np.ndarray, rng: np.random.Generator, shift: float = 0.0) -> np.ndarray:
    odds = 2 * (np.where(labels == 1, 1.0, -1.0) + rng.normal(0, 1.2, len(labels))) + shift
    return -np.logaddexp(0, np.stack([odds, -odds], axis=1))


def package(wells: int = 40) -> ModelPackage:
    """A package with so many validation wells of each class."""
    torch.manual_seed(0)
    model = build_model("iresnet", classes=CLASSES, image_size=32, channels=2, blocks=(1, 1), widths=(8, 8))
    labels = np.repeat([0, 1], wells)
    stored = CalibrationWells.from_log_probs(labels, log_probs(labels, np.random.default_rng(0))).to_arrays()
    arrays = {f"calibration/{name}": array for name, array in stored.items()} if wells else {}
    return ModelPackage(model, ("DAPI", "TMRM"), {}, arrays=arrays)


def wells(plate: str = "P", labelled: int = 8, treated: int = 400, shift: float = 0.0, seed: int = 1) -> pd.DataFrame:
    """Wells of a plate, so many labelled of each class; the treated ones have no label, but a class in ``truth``."""
    rng = np.random.default_rng(seed)
    truth = np.repeat([0, 1, 0, 1], [labelled, labelled, treated // 2, treated // 2])
    probabilities = np.exp(log_probs(truth, rng, shift))
    names = np.array([*CLASSES], object)[truth]
    known = np.arange(len(truth)) < 2 * labelled
    return pd.DataFrame(
        {
            "Metadata_Plate": plate, "Metadata_Condition": np.where(known, names, None),
            "Metadata_Compound": np.where(known, None, "drug"), "seen": False, "truth": names,
            "probability_DS": probabilities[:, 0], "probability_WT": probabilities[:, 1],
        }
    )  # fmt: skip


def coverage(table: pd.DataFrame, columns: dict[str, np.ndarray]) -> float:
    sets = [each.split("; ") for each in columns["prediction_set"]]
    return float(np.mean([name in each for name, each in zip(table["truth"], sets, strict=True)]))


def test_sets_of_the_validation_wells_cover_wells_like_them_and_can_leave_the_class_open() -> None:
    table = wells()
    columns, counts = class_sets(table, package())
    assert coverage(table, columns) == pytest.approx(0.9, abs=0.05)
    assert set(columns["prediction_set"]) == {"DS", "WT", "DS; WT"}
    assert (columns["prediction_set_coverage"] == 0.9).all()
    assert not columns["prediction_set_own_plate"].any()
    assert (counts.calibration, counts.plates, counts.lacking) == ({"DS": 40, "WT": 40}, (), 0)
    assert counts.single + counts.several + counts.empty == len(table)
    assert counts.several == np.count_nonzero(columns["prediction_set"] == "DS; WT") > 0
    assert counts.labelled == 16
    wider = class_sets(table, package(), 0.97).counts
    assert wider.several > counts.several


def test_a_plate_with_enough_controls_calibrates_its_own_sets() -> None:
    shifted = {"shift": 4.0, "treated": 600}
    few, many = wells(labelled=9, **shifted), wells(labelled=30, **shifted)
    # The plate is stained otherwise: limits of other plates leave out most wells of one class.
    assert coverage(few, class_sets(few, package()).columns) < 0.75
    columns, counts = class_sets(many, package())
    assert coverage(many, columns) == pytest.approx(0.9, abs=0.05)
    assert counts.plates == ("P",)
    assert columns["prediction_set_own_plate"].all()
    assert counts.covered / counts.labelled == pytest.approx(0.9, abs=0.07)


def test_a_control_does_not_calibrate_its_own_set() -> None:
    table = wells(labelled=10, treated=0)
    table.loc[0, ["probability_DS", "probability_WT"]] = [0.001, 0.999]
    # Of nine others, the largest score is the limit: the one beyond it is left out, which itself it would not be.
    assert "DS" not in class_sets(table, package()).columns["prediction_set"][0].split("; ")


def test_controls_that_the_model_has_seen_calibrate_nothing() -> None:
    table = wells(labelled=30)
    assert class_sets(table, package()).counts.plates == ("P",)
    seen = class_sets(table.assign(seen=True), package()).counts
    assert (seen.plates, seen.labelled) == ((), 0)


def test_without_enough_wells_of_each_class_there_is_no_set() -> None:
    columns, counts = class_sets(wells(), package(8))
    assert columns == {}
    assert (counts.fewest, counts.calibration, counts.lacking) == (9, {"DS": 8, "WT": 8}, 416)
    assert class_sets(wells(), package(9)).counts.lacking == 0
    old = class_sets(wells(), package(0))
    assert (old.columns, old.counts.calibration) == ({}, {})


def test_a_well_without_a_usable_field_has_no_set_and_takes_none_from_others() -> None:
    table = wells()
    table.loc[0, ["probability_DS", "probability_WT"]] = np.nan
    columns, counts = class_sets(table, package())
    assert columns["prediction_set"][0] is None
    assert np.isnan(columns["prediction_set_coverage"][0])
    assert counts.lacking == 0
    both = pd.concat([table, wells("Q", labelled=30)], ignore_index=True)
    columns, counts = class_sets(both, package(0))
    assert counts.plates == ("Q",)
    assert counts.lacking == len(table) - 1
    assert [each is None for each in columns["prediction_set"]] == [True] * len(table) + [False] * 460
