from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from leigh_mlops.errors import LeighError
from leigh_mlops.models import ModelPackage, save_package
from leigh_mlops.training import PreparedData, divide_folds, load_trained_network, predict, run_trial, save_checkpoint
from tests.models.compact import compact
from tests.training.test_data import two_plates
from tests.training.test_loop import numbers, settings


def wells_of(data: PreparedData, part: str) -> set[str]:
    return set(data.wells[data.rows(part)])


def run(data: PreparedData, folds: int, checkpoint: Path | None = None, **changes: object) -> list:
    how = {"metric": "val/log_loss", "seed": 5, "folds": folds, "checkpoint": checkpoint}
    return list(run_trial("resnext", settings("resnext", **changes), data, **how))


@pytest.mark.parametrize("folds", [2, 3, 4])
def test_each_well_is_validated_once_and_the_test_part_stays(folds: int, data: PreparedData) -> None:
    assert divide_folds(data, 1) == [data]
    divided = divide_folds(data, folds)
    assert divided[0] is data
    assert len(divided) == folds
    validated = [wells_of(each, "val") for each in divided]
    assert sum(map(len, validated)) == len(set.union(*validated))
    assert set.union(*validated) == wells_of(data, "train") | wells_of(data, "val")
    for each in divided:
        assert not wells_of(each, "train") & wells_of(each, "val")
        assert wells_of(each, "test") == wells_of(data, "test")
        assert set(each.labels[each.rows("val")]) == set(each.labels[each.rows("train")]) == {0, 1}


def test_divisions_keep_groups_whole(data: PreparedData) -> None:
    wells = sorted(set(data.wells))
    donors = {well: f"d{number // 2}" for number, well in enumerate(wells)}
    grouped = replace(data, table=data.table.assign(Metadata_Donor=[donors[well] for well in data.wells]))
    assert torn(divide_folds(grouped, 3)[1])
    split = grouped.table["Metadata_Donor"].map({"d0": "train", "d1": "train", "d2": "train"}).fillna("val")
    by_donor = replace(grouped, table=grouped.table.assign(Metadata_Split=split), group="donor")
    for each in divide_folds(by_donor, 3)[1:]:
        assert not torn(each)


def torn(data: PreparedData) -> set[str]:
    donors = data.table["Metadata_Donor"].to_numpy(str)
    return set(donors[data.rows("train")]) & set(donors[data.rows("val")])


def test_too_many_folds_are_refused(data: PreparedData) -> None:
    with pytest.raises(
        LeighError, match=r"folds is 9, .* must make 8 folds besides the validation part: class 'DS' has 4 wells"
    ):
        divide_folds(data, 9)


def test_wells_that_the_starting_weights_saw_are_validated_in_no_fold(data: PreparedData, tmp_path: Path) -> None:
    seen = data.rows("train")[0]
    assert any(data.wells[seen] in wells_of(each, "val") for each in divide_folds(data, 3))
    arrays = {"training_digests": data.cache.digests[[seen]], "validation_digests": np.array([], np.uint64)}
    scale = data.scale("linear").to_json()
    save_package(ModelPackage(compact("resnext"), data.channels, scale, arrays=arrays), tmp_path / "start")
    started = replace(data, starts={"models:/x@champion": str(tmp_path / "start")})
    assert all(data.wells[seen] not in wells_of(each, "val") for each in divide_folds(started, 3))


def test_each_division_is_scaled_by_the_controls_of_its_own_training_part(data: PreparedData) -> None:
    split = data.table["Metadata_Split"]
    plates = two_plates(data)
    plates = replace(plates, table=plates.table.assign(Metadata_Split=split, Metadata_Control="negcon"))
    assert [each.controls for each in divide_folds(plates, 3)] == [None] * 3
    scaled = plates.scale_by_controls((split == "train").to_numpy(bool))
    own, *others = divide_folds(scaled, 3)
    assert own is scaled
    for other in others:
        known = (other.table["Metadata_Split"] == "train").to_numpy(bool)
        expected = replace(plates, table=other.table).scale_by_controls(known)
        assert other.controls == expected.controls != scaled.controls
        np.testing.assert_array_equal(other.cache.adjust, expected.cache.adjust)


def test_metrics_are_means_and_the_network_is_that_of_the_own_division(data: PreparedData, tmp_path: Path) -> None:
    alone = run(data, 1, epochs=2)
    assert "val/folds/log_loss_std" not in alone[0].metrics
    together = []
    for epoch in run_trial("resnext", settings("resnext", epochs=2), data, metric="val/log_loss", seed=5, folds=3):
        together.append(epoch)
        save_checkpoint(epoch.state, tmp_path / "c")
        if epoch.number == epoch.state.best_epoch:
            best = epoch.outputs.values
    assert together[0].metrics["val/folds/log_loss_std"] > 0
    assert together[0].metrics["val/log_loss"] != alone[0].metrics["val/log_loss"]
    np.testing.assert_array_equal(together[-1].outputs.rows, data.rows("val"))
    np.testing.assert_array_equal(together[-1].outputs.values, alone[-1].outputs.values)
    model, scale, _ = load_trained_network("resnext", settings("resnext"), data, tmp_path / "c")
    np.testing.assert_allclose(predict(model, data.batches("val", scale, 8)).values, best, atol=1e-5)


def test_folds_taken_up_again_go_on_as_if_they_had_not_stopped(data: PreparedData, tmp_path: Path) -> None:
    whole = run(data, 3, epochs=2)
    for epoch in islice(
        run_trial("resnext", settings("resnext", epochs=2), data, metric="val/log_loss", seed=5, folds=3), 1
    ):
        save_checkpoint(epoch.state, tmp_path / "c")
    assert numbers(run(data, 3, tmp_path / "c", epochs=2)) == numbers(whole)[1:]
