from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from leigh_mlops.errors import LeighError
from leigh_mlops.training import PARTS, PreparedData
from tests.conftest import write_class_folders
from tests.training.conftest import prepared


def test_parts_hold_every_field_once_and_share_no_well(data: PreparedData) -> None:
    rows = [data.rows(part) for part in PARTS]
    assert sorted(np.concatenate(rows)) == list(range(24))
    wells = [set(data.wells[part]) for part in rows]
    assert sum(map(len, wells)) == len(set.union(*wells)) == 12


def test_it_comes_back_from_its_folder(data: PreparedData, tmp_path: Path) -> None:
    data.save(tmp_path / "d")
    again = PreparedData.load(tmp_path / "d")
    assert again.classes == data.classes
    assert again.fingerprint == data.fingerprint
    np.testing.assert_array_equal(again.rows("val"), data.rows("val"))


def test_a_field_that_failed_is_in_no_part(class_folders: Path) -> None:
    assert len(prepared(class_folders).rows()) == 24
    next((class_folders / "DS").iterdir()).write_text("no image")
    assert len(prepared(class_folders).rows()) == 23


def test_the_fingerprint_follows_the_pixels_not_the_names(class_folders: Path, tmp_path: Path) -> None:
    first = prepared(class_folders)
    moved = class_folders.rename(tmp_path / "moved")
    assert prepared(moved).fingerprint == first.fingerprint
    other = write_class_folders(tmp_path / "other", seed=1)
    assert prepared(other).fingerprint != first.fingerprint


def test_a_well_is_seen_if_one_of_its_fields_was(data: PreparedData) -> None:
    everything = data.rows_of_unseen_wells(np.array([], np.uint64))
    np.testing.assert_array_equal(everything, data.rows("val"))
    one = data.rows("val")[0]
    left = data.rows_of_unseen_wells(data.cache.digests[[one]])
    assert len(left) == len(everything) - 2
    assert data.wells[one] not in data.wells[left]


def test_the_scale_is_that_of_the_training_wells(data: PreparedData) -> None:
    raw = data.cache.raw(data.rows("train")) / 255
    np.testing.assert_allclose(data.scale("linear").mean, raw.mean(axis=(0, 2, 3)), rtol=1e-5)


def test_wells_that_the_starting_weights_saw_leave_validation_and_test(data: PreparedData) -> None:
    none = np.array([], np.uint64)
    sizes = {part: len(data.rows(part)) for part in PARTS}
    assert {part: len(data.drop_seen_wells(none, none).rows(part)) for part in PARTS} == sizes
    seen = data.cache.digests[[data.rows(part)[0] for part in PARTS]]
    trained, chosen = data.drop_seen_wells(seen, none), data.drop_seen_wells(none, seen)
    assert {part: len(trained.rows(part)) for part in PARTS} == sizes | {
        "val": sizes["val"] - 2, "test": sizes["test"] - 2,
    }  # fmt: skip
    assert {part: len(chosen.rows(part)) for part in PARTS} == sizes | {"test": sizes["test"] - 2}
    assert data.wells[data.rows("test")[0]] not in chosen.wells[chosen.rows("test")]


def two_plates(data: PreparedData, **more: object) -> PreparedData:
    """The same fields on two plates, the second twice as bright and with an offset, each with two control wells."""
    second = np.arange(len(data.table)) % 2 == 1
    wells = data.table["Metadata_Well"]
    control = wells.isin(sorted(wells[data.table["Metadata_Condition"] == "DS"].unique())[:2])
    table = data.table.assign(
        Metadata_Plate=np.where(second, "P2", "P1"),
        Metadata_Control=np.where(control, "negcon", None),
        Metadata_Split="train",
    )
    pixels = np.array(data.cache.pixels)
    pixels[second] = np.minimum(100 + 2 * pixels[second].astype(int), 65535)
    return replace(data, table=table.assign(**more), cache=replace(data.cache, pixels=pixels))


def control_means(data: PreparedData, plate: str) -> np.ndarray:
    rows = np.flatnonzero((data.table["Metadata_Plate"] == plate) & (data.table["Metadata_Control"] == "negcon"))
    return data.cache.raw(rows).mean(axis=(0, 2, 3))


def test_plates_are_brought_to_one_level_by_their_controls(data: PreparedData, tmp_path: Path) -> None:
    before = two_plates(data)
    known = np.ones(len(before.table), bool)
    assert not np.allclose(control_means(before, "P1"), control_means(before, "P2"), rtol=0.3)
    after = before.scale_by_controls(known)
    np.testing.assert_allclose(control_means(after, "P1"), control_means(after, "P2"), rtol=1e-4)
    assert after.scale("linear").controls == after.controls
    assert before.scale("linear").controls is None
    after.save(tmp_path / "d")
    again = PreparedData.load(tmp_path / "d")
    assert again.controls == after.controls
    np.testing.assert_array_equal(again.cache.adjust, after.cache.adjust)


def test_the_controls_of_unknown_wells_are_no_yardstick_beside_known_ones(data: PreparedData) -> None:
    plates = two_plates(data)
    control = (plates.table["Metadata_Control"] == "negcon").to_numpy()
    first = plates.table["Metadata_Well"] == plates.table["Metadata_Well"][control].min()
    everything = plates.control_levels(np.ones(len(control), bool))
    some = plates.control_levels((control & first).to_numpy())
    none = plates.control_levels(np.zeros(len(control), bool))
    assert some["P1"] != everything["P1"]
    assert none == everything


def test_a_plate_without_controls_is_named(data: PreparedData) -> None:
    plates = two_plates(data, Metadata_Control=None)
    with pytest.raises(LeighError, match="negative control"):
        plates.scale_by_controls(np.ones(len(plates.table), bool))


def test_excluded_fields_are_in_no_part(data: PreparedData) -> None:
    first = data.rows("train")[0]
    excluded = np.arange(len(data.table)) == first
    fewer = replace(data, table=data.table.assign(Metadata_Excluded=excluded))
    np.testing.assert_array_equal(fewer.rows("train"), data.rows("train")[1:])
