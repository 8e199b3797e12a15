import math

import numpy as np
import pytest
from scipy.optimize import curve_fit

from leigh_mlops.scores.dose_response import FitProblem, fit_dose_response, four_parameter_logistic

DOSES = np.repeat([0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0], 3)


def test_the_curve_by_hand() -> None:
    # At EC50 half of the way; one decade above, a slope of 1 has gone 10/11 of it, of 2 100/101.
    at = np.array([0.0, 2.0, 20.0])
    np.testing.assert_allclose(four_parameter_logistic(at, 10, 90, math.log10(2), 1), [10, 50, 10 + 80 * 10 / 11])
    np.testing.assert_allclose(four_parameter_logistic(at, 90, 10, math.log10(2), 2), [90, 50, 90 - 80 * 100 / 101])


@pytest.mark.parametrize(("bottom", "top", "ec50", "hill"), [(0, 100, 0.5, 1), (-5, 80, 2, 2.5), (90, 10, 0.2, 1.5)])
def test_known_parameters_are_found(bottom: float, top: float, ec50: float, hill: float) -> None:
    found = fit_dose_response(DOSES, four_parameter_logistic(DOSES, bottom, top, math.log10(ec50), hill))
    assert found.refusal is None
    np.testing.assert_allclose(
        [found.bottom, found.top, found.ec50, found.hill], [bottom, top, ec50, hill], rtol=1e-3, atol=1e-3
    )
    np.testing.assert_allclose(found([0.0, ec50]), [bottom, (bottom + top) / 2], atol=1e-2)


def test_ec50_lies_in_its_interval_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    truth = four_parameter_logistic(DOSES, 0, 80, 0.2, 1.2)
    found = [fit_dose_response(DOSES, truth + rng.normal(0, 8, DOSES.size)) for _ in range(100)]
    assert not any(each.refusal for each in found)
    assert sum(each.low <= 10**0.2 <= each.high for each in found) >= 88


def test_it_is_the_least_squares_curve() -> None:
    rng = np.random.default_rng(1)
    y = four_parameter_logistic(DOSES, 0, 80, 0.2, 1.2) + rng.normal(0, 5, DOSES.size)
    found = fit_dose_response(DOSES, y)
    plain, _ = curve_fit(lambda x, a, b, c, h: a + (b - a) / (1 + (c / x) ** h), DOSES, y, p0=(0, 80, 1.6, 1.2))
    np.testing.assert_allclose([found.bottom, found.top, found.ec50, found.hill], plain, rtol=1e-3, atol=1e-2)


def test_noise_is_rarely_called_a_curve() -> None:
    rng = np.random.default_rng(2)
    called = sum(not fit_dose_response(DOSES, rng.normal(0, 8, DOSES.size)).refusal for _ in range(60))
    assert called <= 8


@pytest.mark.parametrize(
    ("doses", "responses", "problem"),
    [
        ([0, 1, 2, 3, 3, 1, 2], [0, 1, 2, 3, 3, 1, 2], FitProblem.FEW_DOSES),
        ([1, 2, 3, 4, 4], [0, 1, 2, 3, 3], FitProblem.FEW_WELLS),
        ([1, 2, 3, 4, 1, 2, 3, 4], [5.0] * 8, FitProblem.ALIKE),
        ([1, 2, 3, 4] * 3, [1, -1, 1, -1, -1, 1, -1, 1, 0, 0, 0, 0], FitProblem.FLAT),
    ],
)
def test_what_is_no_curve_is_refused(doses: list[float], responses: list[float], problem: FitProblem) -> None:
    found = fit_dose_response(doses, responses)
    assert found.refusal is not None
    assert found.refusal.problem == problem
    assert (found.refusal.doses, found.refusal.wells) == (len({dose for dose in doses if dose > 0}), len(doses))
    assert math.isnan(found.ec50)
    assert np.isnan(found([1.0])).all()


def test_half_of_the_effect_must_have_been_seen() -> None:
    found = fit_dose_response(DOSES, four_parameter_logistic(DOSES, 0, 100, 2.3, 1.0))
    assert found.refusal is not None
    assert found.refusal.problem == FitProblem.OUTSIDE
