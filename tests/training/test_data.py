from pathlib import Path

import numpy as np

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
    everything = data.wells_unseen_by(np.array([], np.uint64))
    np.testing.assert_array_equal(everything, data.rows("val"))
    one = data.rows("val")[0]
    left = data.wells_unseen_by(data.cache.digests[[one]])
    assert len(left) == len(everything) - 2
    assert data.wells[one] not in data.wells[left]


def test_the_scale_is_that_of_the_training_wells(data: PreparedData) -> None:
    raw = data.cache.raw(data.rows("train")) / 255
    np.testing.assert_allclose(data.scale("linear").mean, raw.mean(axis=(0, 2, 3)), rtol=1e-5)


def test_wells_that_the_starting_weights_saw_leave_validation_and_test(data: PreparedData) -> None:
    none = np.array([], np.uint64)
    sizes = {part: len(data.rows(part)) for part in PARTS}
    assert {part: len(data.without_wells_seen_by(none, none).rows(part)) for part in PARTS} == sizes
    seen = data.cache.digests[[data.rows(part)[0] for part in PARTS]]
    trained, chosen = data.without_wells_seen_by(seen, none), data.without_wells_seen_by(none, seen)
    assert {part: len(trained.rows(part)) for part in PARTS} == sizes | {
        "val": sizes["val"] - 2, "test": sizes["test"] - 2,
    }  # fmt: skip
    assert {part: len(chosen.rows(part)) for part in PARTS} == sizes | {"test": sizes["test"] - 2}
    assert data.wells[data.rows("test")[0]] not in chosen.wells[chosen.rows("test")]
