import math

import numpy as np
import pytest
from scipy import stats

from leigh_mlops.scores import ssmd, z_prime
from leigh_mlops.scores.control_separation import welch_p


def test_z_prime_by_hand():
    # Means 4 and 0, standard deviations 1 and 1: 1 - 3 * 2 / 4.
    assert z_prime([3, 4, 5], [-1, 0, 1]) == pytest.approx(-0.5)
    assert z_prime([-1, 0, 1], [3, 4, 5]) == pytest.approx(-0.5)


@pytest.mark.parametrize(("apart", "factor"), [(6, 0.0), (12, 0.5), (60, 0.9)])
def test_groups_so_many_deviations_apart_have_the_published_factors(apart, factor):
    # Zhang et al. 1999, table 1: 12 standard deviations between the means are a Z' of 0.5, 6 are 0. With equal
    # deviations the SSMD (Zhang 2007) is the distance over the root of 2.
    group = np.array([-1.0, 0.0, 1.0])
    assert z_prime(group + apart, group) == pytest.approx(factor)
    assert ssmd(group + apart, group) == pytest.approx(apart / math.sqrt(2))


def test_robust_z_prime_ignores_one_stray_well():
    positive, negative = [9.0, 10.0, 11.0, 10.0, 1000.0], [-1.0, 0.0, 1.0, 0.0, 0.0]
    assert z_prime(positive, negative) < 0
    # Medians 10 and 0, median absolute deviations 1 and 0: 1 - 3 * 1.4826 / 10.
    assert z_prime(positive, negative, robust=True) == pytest.approx(0.55522)


def test_groups_without_spread_are_perfectly_separated():
    assert z_prime([1, 1], [0, 0]) == 1
    assert ssmd([1, 1], [0, 0]) == math.inf
    assert ssmd([0, 0], [1, 1]) == -math.inf


def test_groups_with_one_centre_are_not_separated():
    assert z_prime([1, 3], [2, 2]) == -math.inf
    assert ssmd([1, 3], [2, 2]) == 0


def test_rounding_is_no_separation():
    three, four = [0.1] * 3, [0.1] * 4
    assert np.mean(three) != np.mean(four)
    assert z_prime(three, four) == -math.inf
    assert ssmd(three, four) == 0


def test_ssmd_by_hand():
    # Means 4 and 0, variances 4 and 12.
    assert ssmd([2, 4, 6], [-2, -2, 4]) == pytest.approx(1.0)
    assert ssmd([-2, -2, 4], [2, 4, 6]) == pytest.approx(-1.0)


@pytest.mark.parametrize("score", [z_prime, ssmd])
@pytest.mark.parametrize(
    ("positive", "negative", "message"),
    [([1.0], [0.0, 1.0], "positive group has 1 wells"), ([1.0, 2.0], [0.0, np.nan], "negative group .* not finite")],
)
def test_what_cannot_be_computed_is_said(score, positive, negative, message):
    with pytest.raises(ValueError, match=message):
        score(positive, negative)


def test_welch_p_is_that_of_scipy():
    one, other = np.array([0.0, 2.0, 1.0, 5.0]), np.array([3.0, 4.0, 4.5])
    assert welch_p(one, one) == pytest.approx(1)
    assert welch_p(one, other) == pytest.approx(stats.ttest_ind(one, other, equal_var=False).pvalue)


def test_controls_without_spread_differ_where_their_means_do():
    assert welch_p([1.0, 1.0], [1.0, 1.0]) == 1
    assert welch_p([1.0, 1.0], [2.0, 2.0]) == 0
