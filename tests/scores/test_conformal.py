import numpy as np
import pytest

from leigh_mlops.errors import LeighError
from leigh_mlops.scores.conformal import CalibrationWells, class_limits, fewest_wells, prediction_sets

COVERAGE = 0.9


def simulated(wells, rng, confidence=1.0):
    """Wells of two overlapping classes, the first three times as common, from a classifier that is this sure."""
    labels = (rng.random(wells) < 0.25).astype(int)
    # Of x ~ N(-1, 1/2) and N(1, 1/2) the log-odds are 4 x, less those of the classes' shares: perfectly calibrated.
    x = np.where(labels, 1.0, -1.0) + rng.normal(0, np.sqrt(0.5), wells)
    odds = confidence * (4 * x - np.log(3))
    return labels, -np.logaddexp(0, np.stack([odds, -odds], axis=1))


def of_one_class(scores):
    return CalibrationWells(np.zeros(len(scores), np.int64), np.asarray(scores, float))


def coverages(confidence, rng, calibrations=400, wells=80):
    """Share of unseen wells whose set contains their class, of each class: conformal, and by probability.

    Of two classes, those that reach a probability of 0.9 together are the ones with at least 0.1.
    """
    unseen, log_probs = simulated(4000, rng, confidence)
    own = np.arange(len(unseen)), unseen
    found = []
    for _ in range(calibrations):
        labels, calibrating = simulated(wells, rng, confidence)
        limits = class_limits(CalibrationWells.from_log_probs(labels, calibrating), 2, COVERAGE)
        if not np.isnan(limits).any():
            hit = prediction_sets(log_probs, limits)[own]
            found.append([hit.mean(), *(hit[unseen == label].mean() for label in (0, 1))])
    sure = np.exp(log_probs) >= 1 - COVERAGE
    return np.mean(found, axis=0), sure[own].mean()


@pytest.mark.parametrize("confidence", [0.3, 1.0, 3.0])
def test_sets_contain_the_true_class_of_unseen_wells_as_often_as_stated(confidence):
    rng = np.random.default_rng(0)
    sets, threshold = coverages(confidence, rng)
    # Whatever probability is asked for, a threshold covers what the network's certainty makes of it.
    assert not 0.88 <= threshold <= 0.92
    assert 0.88 <= sets[0] <= 0.92
    # The finite sample rounds up: at most 1 / (n + 1) above the stated coverage, with about 20 wells of the rarer one.
    assert 0.88 <= sets[1] <= 0.92
    assert 0.89 <= sets[2] <= 0.95


def test_one_limit_for_all_classes_would_cover_them_unequally():
    rng = np.random.default_rng(1)
    labels, log_probs = simulated(20000, rng)
    wells = CalibrationWells.from_log_probs(labels, log_probs)
    scores = wells.scores
    shared = np.quantile(scores, COVERAGE)
    by_class = [np.mean(scores[labels == label] <= shared) for label in (0, 1)]
    assert abs(by_class[0] - by_class[1]) > 0.03
    limits = class_limits(wells, 2, COVERAGE)
    for label in (0, 1):
        assert np.mean(scores[labels == label] <= limits[label]) == pytest.approx(COVERAGE, abs=0.001)


def test_the_limit_is_the_quantile_of_a_finite_sample():
    scores = np.arange(1.0, 20.0)
    assert class_limits(of_one_class(scores), 2, 0.9)[0] == 18
    assert class_limits(of_one_class(scores), 2, 0.95)[0] == 19
    assert np.isnan(class_limits(of_one_class(scores[:18]), 2, 0.95)[0])


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.85, 0.9, 0.95, 0.99])
def test_fewer_wells_than_the_coverage_takes_have_no_limit(coverage):
    fewest = fewest_wells(coverage)
    enough, few = (class_limits(of_one_class(np.arange(n)), 2, coverage)[0] for n in (fewest, fewest - 1))
    assert enough == fewest - 1
    assert np.isnan(few)


def test_a_class_without_a_limit_gives_no_set():
    with pytest.raises(ValueError, match="too few wells"):
        prediction_sets(np.log([[0.5, 0.5]]), [1.0, np.nan])


def test_a_coverage_of_everything_is_refused():
    for coverage in (0.0, 1.0, float("nan")):
        with pytest.raises(ValueError, match="coverage is"):
            class_limits(of_one_class([1.0]), 2, coverage)


def test_certain_wells_stay_in_their_set_in_single_precision():
    exact = np.log(np.array([1 - 1e-9, 1e-9]))
    wells = CalibrationWells.from_log_probs([0] * 9 + [1] * 9, [exact] * 9 + [exact[::-1]] * 9)
    limits = class_limits(wells, 2)
    rounded = np.log(np.array([[1 - 2**-24, 2**-24]]))
    assert -rounded[0, 0] > -exact[0]
    assert prediction_sets(rounded, limits).tolist() == [[True, False]]


def test_calibration_wells_are_stored_as_arrays_and_damaged_ones_are_refused():
    wells = CalibrationWells.from_log_probs([0, 1], np.log([[0.9, 0.1], [0.3, 0.7]]))
    stored = wells.to_arrays()
    again = CalibrationWells.from_arrays(stored)
    np.testing.assert_array_equal(again.labels, [0, 1])
    np.testing.assert_allclose(again.scores, -np.log([0.9, 0.7]))
    for damaged in (
        {"scores": stored["scores"][:1]},
        {"scores": np.array([1.0, np.nan])},
        {"labels": -stored["labels"]},
    ):
        with pytest.raises(LeighError, match="damaged"):
            CalibrationWells.from_arrays(stored | damaged)
    with pytest.raises(LeighError, match="incomplete"):
        CalibrationWells.from_arrays({"labels": stored["labels"]})
    with pytest.raises(LeighError, match="none of the 1 classes"):
        class_limits(again, 1)
