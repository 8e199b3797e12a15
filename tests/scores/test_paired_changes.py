import numpy as np
import pytest
from scipy import stats

from leigh_mlops.scores.bootstrap import paired_bootstrap
from leigh_mlops.scores.paired_changes import paired_changes, well_means

WELLS = [f"P/B{number:02d}" for number in np.repeat(range(2, 10), 3)]


def planted(shift, seed=1):
    """Three measures of 24 fields of 8 wells; the first is moved by ``shift``, the others by noise alone."""
    rng = np.random.default_rng(seed)
    before = rng.normal(10, 2, (24, 3))
    after = before + rng.normal(0, 0.5, (24, 3))
    after[:, 0] += shift
    return before, after


def classes(difference, seed=1):
    rng = np.random.default_rng(seed)
    return rng.normal(0, 1, (9, 3)), rng.normal(0, 1, (7, 3)) + np.array([difference, 0, 0])


def test_nothing_is_found_where_nothing_is_planted_and_a_shift_where_one_is():
    none = paired_changes(*planted(0.0), WELLS)
    assert all(change.q > 0.05 for change in none)
    found = paired_changes(*planted(-3.0), WELLS)[0]
    assert found.low < -3 < found.high < -2
    assert found.q < 0.001
    assert (found.wells, found.change) == (8, pytest.approx(found.after - found.before))


def test_tests_and_intervals_are_those_of_the_library():
    before, after = planted(-1.0)
    source, target = classes(-2.0)
    found = paired_changes(before, after, WELLS, source=source, target=target, seed=3)
    of_wells = [well_means(each, WELLS) for each in (before, after)]
    paired = stats.ttest_rel(of_wells[1], of_wells[0]).pvalue
    real = stats.ttest_ind(target, source, equal_var=False).pvalue
    np.testing.assert_allclose([each.p for each in found], paired)
    np.testing.assert_allclose([each.q for each in found], stats.false_discovery_control(paired))
    np.testing.assert_allclose([each.real_p for each in found], real)
    np.testing.assert_allclose([each.real_q for each in found], stats.false_discovery_control(real))
    np.testing.assert_allclose([each.real for each in found], target.mean(axis=0) - source.mean(axis=0))
    interval = paired_bootstrap(of_wells[1][:, 0], of_wells[0][:, 0], seed=3)
    assert (found[0].low, found[0].high) == (interval.low, interval.high)


def test_where_nothing_is_planted_one_test_in_twenty_finds_something():
    found = [paired_changes(*planted(0.0, seed), WELLS, resamples=1) for seed in range(200)]
    p, q = (np.array([[getattr(change, name) for change in each] for each in found]) for name in ("p", "q"))
    assert 0.02 < (p < 0.05).mean() < 0.08
    assert (q < 0.05).any(axis=1).mean() < 0.1


def test_the_interval_of_the_real_difference_is_a_bootstrap_within_classes():
    source, target = classes(-2.0)
    found = paired_changes(*planted(0.0), WELLS, source=source, target=target)[0]
    rng = np.random.default_rng(0)
    drawn = [rng.choice(group[:, 0], (20_000, len(group))).mean(axis=1) for group in (source, target)]
    expected = np.percentile(drawn[1] - drawn[0], [2.5, 97.5])
    np.testing.assert_allclose([found.real_low, found.real_high], expected, atol=0.03)


@pytest.mark.parametrize(("shift", "agrees"), [(-3.0, True), (3.0, False)])
def test_sign_and_size_beside_the_real_difference(shift, agrees):
    source, target = classes(-4.0)
    found = paired_changes(*planted(shift), WELLS, source=source, target=target)
    assert [change.has_class_difference for change in found] == [True, False, False]
    assert found[0].has_matching_sign is agrees
    assert found[0].ratio == pytest.approx(found[0].change / found[0].real)


def test_a_well_counts_once_however_many_fields_it_has():
    before, after = np.zeros((5, 1)), np.array([[1.0], [1.0], [1.0], [1.0], [3.0]])
    assert paired_changes(before, after, ["A01"] * 4 + ["A02"])[0].change == 2


def test_a_field_counts_only_where_it_was_measured_twice():
    before, after = np.array([[1.0], [np.nan], [5.0], [2.0]]), np.array([[2.0], [9.0], [np.nan], [5.0]])
    found = paired_changes(before, after, ["A01", "A01", "A02", "A03"])[0]
    assert (found.before, found.after, found.change, found.wells) == (1.5, 3.5, 2.0, 2)


def test_what_cannot_be_said_is_not_a_number():
    (one,) = paired_changes([[1.0]], [[3.0]], ["A01"], source=[[1.0]], target=[[4.0]])
    assert (one.change, one.wells, one.real) == (2, 1, 3)
    assert np.isnan([one.low, one.high, one.p, one.q, one.real_low, one.real_p, one.real_q]).all()
    assert one.has_class_difference is None
    assert one.is_significant is None
    assert one.has_matching_sign
    (none,) = paired_changes(np.empty((0, 1)), np.empty((0, 1)), [])
    assert none.wells == 0
    assert np.isnan([none.before, none.change, none.real, none.ratio]).all()
    assert none.has_matching_sign is None


def test_wells_that_are_all_alike():
    same = np.tile([[1.0, 1.0]], (3, 1))
    shifted = same + np.array([0, 2])
    still, moved = paired_changes(same, shifted, ["A", "B", "C"], source=same, target=shifted)
    assert (still.p, still.real_p, moved.p, moved.real_p) == (1, 1, 0, 0)


def test_shapes_that_do_not_fit():
    with pytest.raises(ValueError, match="do not fit"):
        paired_changes(np.zeros((3, 1)), np.zeros((3, 2)), ["A"] * 3)
    with pytest.raises(ValueError, match="one well per field"):
        paired_changes(np.zeros((3, 1)), np.zeros((3, 1)), ["A"])
    for name in ("source", "target"):
        with pytest.raises(ValueError, match=rf"{name} has the shape \(4, 2\); give \(wells, 1\)"):
            paired_changes(np.zeros((3, 1)), np.zeros((3, 1)), ["A"] * 3, **{name: np.zeros((4, 2))})
