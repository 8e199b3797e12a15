"""Choice of the training wells on which the maps between classes are fitted."""

import numpy as np
import pytest

from leigh_mlops.study.class_map_fitting import MOST_CLASSES, class_pairs, match_plates


def table(**wells: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Rows of two classes, wells and plates, from the number of wells of either class by plate; two fields a well."""
    plates, names, labels = [], [], []
    for plate, counts in wells.items():
        for label, count in enumerate(counts):
            for well in range(count):
                plates += [plate] * 2
                names += [f"{plate}/{label}-{well}"] * 2
                labels += [label] * 2
    found = np.array(labels)
    return np.flatnonzero(found == 0), np.flatnonzero(found == 1), np.array(names), np.array(plates)


def shares(rows: np.ndarray, plates: np.ndarray) -> dict[str, float]:
    """Share of the rows on every plate."""
    names, counts = np.unique(plates[rows], return_counts=True)
    return dict(zip(names.tolist(), (counts / counts.sum()).tolist(), strict=True))


def test_each_plate_has_the_same_share_of_either_class() -> None:
    source, target, wells, plates = table(a=(8, 2), b=(2, 8), c=(5, 5))
    assert shares(source, plates)["a"] != pytest.approx(shares(target, plates)["a"], abs=0.3)
    ours, theirs = match_plates(source, target, wells, plates, np.random.default_rng(0))
    assert shares(ours, plates) == pytest.approx(shares(theirs, plates), abs=0.05)
    assert set(ours) <= set(source)
    assert set(theirs) <= set(target)
    assert len(ours) >= 0.5 * len(source)


def test_wells_stay_whole() -> None:
    source, target, wells, plates = table(a=(8, 2), b=(2, 8))
    for rows in match_plates(source, target, wells, plates, np.random.default_rng(0)):
        _, counts = np.unique(wells[rows], return_counts=True)
        assert set(counts.tolist()) == {2}


def test_a_plate_of_one_class_is_left_out_where_another_holds_both() -> None:
    source, target, wells, plates = table(a=(4, 4), b=(6, 0))
    ours, theirs = match_plates(source, target, wells, plates, np.random.default_rng(0))
    assert set(plates[ours]) == set(plates[theirs]) == {"a"}
    assert len(ours) == len(theirs) == 8


def test_plates_of_one_class_each_are_all_there_is() -> None:
    source, target, wells, plates = table(a=(4, 0), b=(0, 6))
    ours, theirs = match_plates(source, target, wells, plates, np.random.default_rng(0))
    assert len(ours) == 8
    assert len(theirs) == 12


def test_equal_plates_keep_all_their_wells() -> None:
    source, target, wells, plates = table(a=(4, 2), b=(6, 3))
    ours, theirs = match_plates(source, target, wells, plates, np.random.default_rng(0))
    np.testing.assert_array_equal(ours, source)
    np.testing.assert_array_equal(theirs, target)


def test_many_classes_have_maps_to_and_from_the_largest() -> None:
    few = np.repeat(np.arange(MOST_CLASSES), 2)
    assert len(class_pairs(few)) == MOST_CLASSES * (MOST_CLASSES - 1)
    many = np.concatenate([np.arange(MOST_CLASSES + 1), [3]])
    pairs = class_pairs(many)
    assert len(pairs) == 2 * MOST_CLASSES
    assert all(3 in pair for pair in pairs)
    assert class_pairs(np.zeros(0, np.int64)) == class_pairs(np.array([1, 1])) == []
