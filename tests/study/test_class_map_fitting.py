"""Choice of the training wells on which the maps between classes are fitted."""

from pathlib import Path

import numpy as np
import pytest

from leigh_mlops.models.transport import SHAM, TRANSPORT
from leigh_mlops.study.class_map_fitting import MOST_CLASSES, class_pairs, fit_class_maps, halve_wells, match_plates
from tests.training.conftest import prepared


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


def test_halves_share_the_wells_of_every_plate() -> None:
    source, _, wells, plates = table(a=(4, 1), b=(3, 1), c=(3, 1))
    ours, theirs = halve_wells(source, wells, plates, np.random.default_rng(0))
    np.testing.assert_array_equal(np.sort(np.concatenate([ours, theirs])), source)
    assert not set(wells[ours]) & set(wells[theirs])
    assert abs(len(ours) - len(theirs)) <= 2
    for plate in "abc":
        counts = [len(set(wells[half][plates[half] == plate])) for half in (ours, theirs)]
        assert abs(counts[0] - counts[1]) <= 1
    others = halve_wells(source, wells, plates, np.random.default_rng(1))
    assert set(wells[others[0]]) != set(wells[ours])


def test_a_single_well_has_no_halves() -> None:
    source, _, wells, plates = table(a=(1, 1))
    assert [len(half) for half in halve_wells(source, wells, plates, np.random.default_rng(0))] == [2, 0]


def test_each_class_has_a_transport_to_itself_that_changes_little(class_folders: Path) -> None:
    data = prepared(class_folders)
    scale = data.scale("log")
    maps = fit_class_maps(data, scale)
    assert maps.pairs(SHAM) == {(0, 0), (1, 1)}
    assert maps.pairs() == {(0, 1), (1, 0)}
    rows = data.rows("train")
    images, labels = scale.apply(data.cache.raw(rows)), data.labels[rows]
    sham = np.abs(maps.apply(SHAM, images, labels, labels) - images).mean()
    assert 0 < sham < 0.5 * np.abs(maps.apply(TRANSPORT, images, labels, 1 - labels) - images).mean()
