import numpy as np
import pytest
from statsmodels.stats.meta_analysis import combine_effects

from leigh_mlops.scores.plate_replicates import pool_plates


def test_it_is_the_random_effect_of_statsmodels() -> None:
    effects, variances = np.array([30.0, 55.0, 80.0, 40.0]), np.array([20.0, 40.0, 30.0, 25.0])
    theirs = combine_effects(effects, variances, method_re="iterated", use_t=True)
    found = pool_plates(effects, variances)
    assert found.between**2 == pytest.approx(theirs.tau2, rel=1e-4)
    assert found.mean == pytest.approx(theirs.mean_effect_re, rel=1e-6)
    low, high = theirs.conf_int()[3]
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-4)


def test_plates_that_agree_have_no_variance_between_them() -> None:
    found = pool_plates([50.0, 50.5, 49.5], [100.0, 100.0, 100.0])
    assert found.between == 0
    assert found.high - found.mean == pytest.approx(4.303 * (100 / 3) ** 0.5, rel=1e-3)


def test_intervals_contain_the_average_plate_and_p_is_even_without_an_effect() -> None:
    rng, held, small = np.random.default_rng(0), 0, 0
    for _ in range(1000):
        plates = rng.integers(3, 6)
        variances = rng.uniform(20, 80, plates)
        found = pool_plates(rng.normal(0, 10, plates) + rng.normal(0, variances**0.5), variances)
        held += found.low < 0 < found.high
        small += found.p < 0.05
    assert held >= 930
    assert small == 1000 - held


def test_two_plates_are_refused() -> None:
    with pytest.raises(ValueError, match="three"):
        pool_plates([1.0, 2.0], [1.0, 1.0])
