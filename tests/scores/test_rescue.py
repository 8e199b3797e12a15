import math

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from leigh_mlops.scores.rescue import PlateWells, no_effect_p, percent_rescue, rescue, robust_z


def test_percent_by_hand() -> None:
    assert percent_rescue([2.0, 7.0, 12.0, -3.0], [1.0, 3.0], [11.0, 13.0]).tolist() == [0.0, 50.0, 100.0, -50.0]
    assert np.isnan(percent_rescue([1.0], [2.0, 2.0], [1.0, 3.0])).all()


def test_robust_z_by_hand() -> None:
    # Median 2, absolute deviations 2, 1, 0, 1, 98: MAD 1.
    np.testing.assert_allclose(robust_z([2.0, 5.0], [0.0, 1.0, 2.0, 3.0, 100.0]), [0.0, 3 / 1.4826])
    assert np.isnan(robust_z([5.0], [1.0, 1.0, 1.0, 9.0])).all()


def test_one_well_has_no_interval() -> None:
    found = rescue([PlateWells([5.0], [0.0, 0.0], [10.0, 10.0])])
    assert (found.percent, found.wells, found.interval_method) == (50.0, 1, "one well")
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_with_certain_controls_the_interval_is_students() -> None:
    wells = [4.0, 5.0, 7.0]
    found = rescue([PlateWells(wells, [0.0, 0.0], [10.0, 10.0])])
    percent = 10 * np.array(wells)
    expected = stats.t.interval(0.95, 2, percent.mean(), stats.sem(percent))
    assert found.interval_method == "t"
    np.testing.assert_allclose((found.low, found.high), expected)


def test_doubt_in_the_controls_widens_the_interval() -> None:
    for wells in ([4.0, 5.0, 7.0], [4.0, 5.0, 7.0, 5.0, 6.0, 4.5]):
        widths = []
        for spread in (0.0, 3.0):
            source, target = (centre + spread * np.array([-1.0, 0.0, 1.0, 0.0]) for centre in (0.0, 10.0))
            found = rescue([PlateWells(wells, source, target)])
            widths.append(found.high - found.low)
            assert found.percent == pytest.approx(10 * np.mean(wells))
        assert widths[1] >= widths[0]
    assert widths[1] > 1.1 * widths[0]


def test_each_well_is_measured_on_its_own_plate() -> None:
    bright = PlateWells([105.0, 106.0, 104.0], [99.0, 101.0, 100.0, 100.0], [109.0, 111.0, 110.0, 110.0])
    dark = PlateWells([5.0, 4.0, 6.0], [-1.0, 1.0, 0.0, 0.0], [9.0, 11.0, 10.0, 10.0])
    found = rescue([bright, dark])
    assert found.percent == pytest.approx(50)
    assert (found.wells, found.plates, found.interval_method) == (6, 2, "bootstrap")
    assert 30 < found.low < 50 < found.high < 70


def test_the_same_seed_gives_the_same_interval() -> None:
    plate = PlateWells([1.0, 2.0, 4.0, 8.0], [0.0, 1.0, -1.0, 0.5], [9.0, 10.0, 12.0, 9.5])
    assert rescue([plate], seed=1) == rescue([plate], seed=1)
    assert rescue([plate], seed=1) != rescue([plate], seed=2)


@pytest.mark.parametrize(("wells", "least"), [(3, 0.88), (4, 0.91), (8, 0.91)])
def test_intervals_hold_the_truth_as_often_as_they_say(wells: int, least: float) -> None:
    rng = np.random.default_rng(0)
    held = 0
    for seed in range(300):
        plate = PlateWells(rng.normal(5, 1.5, wells), rng.normal(0, 1.5, 8), rng.normal(10, 1.5, 8))
        found = rescue([plate], seed=seed, resamples=1000)
        held += found.low <= 50 <= found.high
    assert least <= held / 300 < 0.995


@pytest.mark.parametrize("controls", [2, 3])
def test_few_controls_do_not_make_an_interval_too_narrow(controls: int) -> None:
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(600):
        found = rescue([PlateWells(rng.normal(5, 1, 12), rng.normal(0, 1, controls), rng.normal(10, 1, controls))])
        held += found.low <= 50 <= found.high
    assert 0.91 <= held / 600 < 0.995


def test_p_is_students_on_one_plate() -> None:
    wells, controls = [3.0, 5.0, 4.5], [0.0, 1.0, 2.5, 4.0]
    assert no_effect_p([wells], [controls]) == pytest.approx(stats.ttest_ind(wells, controls).pvalue)
    assert no_effect_p([controls], [wells]) == pytest.approx(no_effect_p([wells], [controls]))


def test_p_of_a_single_well_is_that_of_the_controls_spread() -> None:
    controls = np.array([0.0, 1.0, 2.5, 4.0])
    t = (9.0 - controls.mean()) / (controls.std(ddof=1) * math.sqrt(1 + 1 / 4))
    assert no_effect_p([[9.0]], [controls]) == pytest.approx(2 * stats.t.sf(t, 3))


def test_p_over_plates_is_that_of_a_linear_model() -> None:
    rng = np.random.default_rng(0)
    wells = [rng.normal(11, 1, 3), rng.normal(1, 1, 2), np.zeros(0)]
    controls = [rng.normal(10, 1, 4), rng.normal(0, 1, 6), rng.normal(50, 1, 3)]
    y = np.concatenate([wells[0], controls[0], wells[1], controls[1]])
    treated = np.repeat([1.0, 0.0, 1.0, 0.0], [3, 4, 2, 6])
    plate = np.repeat([1.0, 0.0], [7, 8])
    fit = sm.OLS(y, np.stack([treated, plate, 1 - plate], axis=1)).fit()
    assert no_effect_p(wells, controls) == pytest.approx(fit.pvalues[0])


def test_without_controls_or_spread_there_is_no_p() -> None:
    assert math.isnan(no_effect_p([[1.0, 2.0]], [[]]))
    assert math.isnan(no_effect_p([[1.0, 1.0]], [[0.0, 0.0]]))
    assert math.isnan(no_effect_p([[1.0]], [[0.0]]))
