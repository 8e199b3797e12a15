from dataclasses import replace

import numpy as np
import pytest

from leigh_mlops.errors import LeighError
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.settings import TrainingSettings
from leigh_mlops.study.baselines import fit_baselines
from leigh_mlops.study.left_out_plates import (
    LeftOut,
    exclude_plates,
    score_baselines_by_plate,
    score_network_by_plate,
)
from leigh_mlops.training import PreparedData
from tests.training.conftest import data, plates, shared_plate
from tests.training.test_adaptation import settings as adapted_settings
from tests.training.test_adaptation import with_fewest_controls

__all__ = ["data", "plates", "shared_plate"]

COMPACT = {"architecture.layers": [1, 1, 1, 1], "architecture.groups": 1, "architecture.width_per_group": 8}


def on_plates(data: PreparedData, plates: int, *, shifted: bool = False) -> PreparedData:
    """Deal the wells of each class to plates; a shift makes the second channel of one class that of the other."""
    numbers = np.zeros(len(data.table), int)
    for label in range(2):
        wells = sorted(set(data.wells[data.labels == label]))
        for number, well in enumerate(wells):
            numbers[data.wells == well] = number % plates
    pixels = np.array(data.cache.pixels)
    if shifted:
        dark = pixels[:, 1].mean((1, 2))
        # Each plate is brighter than the one before by more than the classes differ.
        pixels[:, 1] += (numbers * (dark.max() - dark.min()) * 1.5).astype(np.uint16)[:, None, None]
    table = data.table.assign(**{Metadata.PLATE: [f"P{number}" for number in numbers]})
    # Three wells of each class and plate: two for the training, one for validation or test.
    parts = {0: "train", 1: "val", 2: "train", 3: "train", 4: "val", 5: "test"}
    order = {well: number for label in range(2)
             for number, well in enumerate(sorted(set(data.wells[data.labels == label])))}  # fmt: skip
    split = [parts[order[well]] for well in data.wells]
    return replace(data, table=table.assign(Metadata_Split=split), cache=replace(data.cache, pixels=pixels))


def test_each_plate_is_left_out_once_and_the_test_part_is_never_touched(data: PreparedData) -> None:
    several = on_plates(data, 2)
    tested = several.rows("test")
    plates = several.table[Metadata.PLATE].to_numpy(str)
    left = []
    for divided in exclude_plates(several):
        assert not np.isin(tested, np.concatenate([divided.rows(part) for part in ("train", "val", "test")])).any()
        (plate,) = set(plates[divided.rows("test")])
        assert plate not in plates[np.concatenate([divided.rows("train"), divided.rows("val")])]
        left.append(plate)
    assert sorted(left) == ["P0", "P1"]
    with pytest.raises(LeighError, match="on 1 plate"):
        list(exclude_plates(on_plates(data, 1)))
    assert score_baselines_by_plate(on_plates(data, 1)) == {}


def test_a_shift_between_plates_shows_only_where_plates_are_left_out(data: PreparedData) -> None:
    plain, shifted = on_plates(data, 2), on_plates(data, 2, shifted=True)
    assert score_baselines_by_plate(plain)["baseline"]["plates/wells/accuracy"] == 1
    scores = score_baselines_by_plate(shifted)
    assert scores["baseline"]["plates/wells/balanced_accuracy"] <= 0.6
    assert scores["baseline"]["plates/plates"] == 2
    # Within the plates the same baseline tells the classes apart.
    within = fit_baselines(shifted).scores(shifted, shifted.rows("val"))["baseline"]
    assert within["wells/accuracy"] > 0.6


def test_a_configuration_predicts_the_fields_of_each_plate_without_it(data: PreparedData) -> None:
    several = on_plates(data, 2)
    settings = TrainingSettings.from_flat({"epochs": 1, "batch_size": 4, **COMPACT})
    names: list[str] = []
    left_out = score_network_by_plate("resnext", settings, several, metric="val/log_loss", report=names.append)
    assert names == ["P0", "P1"]
    rows, log_probs = left_out.match(several)
    assert set(rows) == {*several.rows("train"), *several.rows("val")}
    np.testing.assert_allclose(np.exp(log_probs).sum(1), 1, rtol=1e-5)
    again = LeftOut.from_arrays(left_out.to_arrays())
    assert again is not None
    np.testing.assert_array_equal(again.log_probs, left_out.log_probs)
    assert LeftOut.from_arrays({}) is None
    assert again.scores(several)["plates/plates"] == 2


def test_each_square_of_a_field_has_predictions_of_its_own(data: PreparedData) -> None:
    rows = np.arange(4)
    cache = replace(data.cache, digests=data.cache.digests[np.array([0, 0, 1, 1, *range(4, len(data.table))])])
    whole = replace(data, cache=cache)
    tiles = ["1/2", "2/2"] * 2 + [None] * (len(data.table) - 4)
    squares = replace(whole, table=data.table.assign(**{Metadata.TILE: tiles}))
    log_probs = np.log(np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]]))
    found, values = LeftOut.of_rows(squares, rows, log_probs).match(squares)
    assert found.tolist() == rows.tolist()
    np.testing.assert_array_equal(values, log_probs)
    # Fields as a whole keep the key of packages that were stored before.
    assert LeftOut.of_rows(squares, np.array([4]), log_probs[:1]).keys == data.cache.digests[4]
    assert not len(LeftOut.of_rows(whole, rows, log_probs).match(squares)[0])


def test_plates_that_the_starting_weights_have_seen_are_not_left_out(
    data: PreparedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    several = on_plates(data, 2)
    settings = TrainingSettings.from_flat({"epochs": 1, "batch_size": 4, **COMPACT})
    digests, none = several.cache.digests, np.zeros(0, np.uint64)
    plates = several.table[Metadata.PLATE].to_numpy(str)

    def start_from(trained: np.ndarray, chosen: np.ndarray) -> None:
        monkeypatch.setattr("leigh_mlops.training.cross_validation.initial_weight_digests", lambda _: (trained, chosen))

    start_from(none, digests[plates == "P0"])
    left_out = score_network_by_plate("resnext", settings, several, metric="val/log_loss")
    assert set(plates[left_out.match(several)[0]]) == {"P1"}
    assert score_baselines_by_plate(several)["baseline"]["plates/plates"] == 1
    for seen in ((digests[several.rows("train")], digests), (digests, none)):
        start_from(*seen)
        with pytest.raises(LeighError, match="the starting weights have seen the wells of every plate"):
            score_network_by_plate("resnext", settings, several, metric="val/log_loss")
        assert score_baselines_by_plate(several) == {}


def test_networks_without_a_plate_adapt_to_plates_as_the_winner_does(plates: PreparedData) -> None:
    def predicted(adaptation: str) -> np.ndarray:
        chosen = adapted_settings(adaptation)
        return score_network_by_plate("resnext", chosen, plates, metric="val/log_loss").log_probs

    none, auto, controls = (predicted(adaptation) for adaptation in ("none", "auto", "controls"))
    assert not np.allclose(none, controls)
    # Each of the two is trained on one plate alone, on which auto would not adapt.
    np.testing.assert_array_equal(auto, controls)
    few = with_fewest_controls(plates)
    with pytest.raises(LeighError, match=r"^without plate plate1: plate plate2 has [0-3] fields of negative controls"):
        score_network_by_plate("resnext", adapted_settings("auto"), few, metric="val/log_loss")
