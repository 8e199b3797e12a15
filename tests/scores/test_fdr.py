import numpy as np
import pytest
from scipy.stats import false_discovery_control

from leigh_mlops.scores.fdr import false_discovery_rate


def test_one_test_is_left_as_it_is_and_more_are_adjusted():
    assert false_discovery_rate([0.03]).tolist() == [0.03]
    p = np.random.default_rng(0).random(20)
    adjusted = false_discovery_rate(p)
    assert (adjusted >= p).all()
    np.testing.assert_allclose(adjusted, false_discovery_control(p))


def test_tests_that_were_not_made_count_not():
    adjusted = false_discovery_rate([np.nan, 0.01, np.nan, 0.02])
    assert np.isnan(adjusted[[0, 2]]).all()
    assert adjusted[[1, 3]].tolist() == pytest.approx([0.02, 0.02])
    assert np.isnan(false_discovery_rate([np.nan, np.nan])).all()
    assert false_discovery_rate([]).size == 0
