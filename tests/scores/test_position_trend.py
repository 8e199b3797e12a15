import numpy as np
import pytest

from leigh_mlops.plates.layout import position_features
from leigh_mlops.scores.position_trend import TrendRefusal, fit_position_trend

ROWS, COLUMNS = (each.ravel() + 1 for each in np.indices((8, 12)))
FEATURES = position_features(ROWS, COLUMNS, 8, 12)


def kinds(seed: int, controls: int = 16) -> np.ndarray:
    """Sixteen controls of each of two kinds among 96 wells."""
    order = np.random.default_rng(seed).permutation(96)
    groups = np.full(96, -1)
    groups[order[:controls]], groups[order[controls : 2 * controls]] = 0, 1
    return groups


def test_the_edge_is_learnt_from_controls_and_taken_from_all() -> None:
    groups, rng = kinds(0), np.random.default_rng(1)
    edge = 3.0 * (FEATURES[:, 2] == 0) + 1.0 * FEATURES[:, 1]
    scores = edge + 6.0 * (groups == 1) + rng.normal(0, 0.5, 96)
    found = fit_position_trend(scores, FEATURES, groups, ROWS, COLUMNS)
    assert found.refusal is None
    assert found.share > 0.5
    treated = groups < 0
    before, after = (np.std((scores - each)[treated]) for each in (np.zeros(96), found.effects))
    assert after < 0.6 * before


def test_controls_that_do_not_depend_on_the_position_have_no_trend() -> None:
    refusals = []
    for seed in range(50):
        scores = np.random.default_rng(seed).normal(size=96)
        found = fit_position_trend(scores, FEATURES, kinds(seed), ROWS, COLUMNS)
        refusals.append(found.refusal)
        assert (found.refusal is None) == bool(found.effects.any())
    assert refusals.count(TrendRefusal.NO_TREND) >= 45


def test_a_control_s_effect_is_predicted_from_the_others() -> None:
    groups, rng = kinds(2), np.random.default_rng(3)
    scores = 3.0 * FEATURES[:, 0] + rng.normal(0, 0.3, 96)
    place = int(np.flatnonzero(groups == 0)[0])
    found = fit_position_trend(scores, FEATURES, groups, ROWS, COLUMNS)
    odd = scores.copy()
    odd[place] += 1
    other = fit_position_trend(odd, FEATURES, groups, ROWS, COLUMNS)
    # Only the penalty is chosen with it.
    assert other.effects[place] == pytest.approx(found.effects[place], abs=0.05)


def test_controls_in_two_columns_say_nothing_about_the_others() -> None:
    groups = np.full(96, -1)
    groups[COLUMNS == 1], groups[COLUMNS == 12] = 0, 1
    found = fit_position_trend(np.arange(96.0), FEATURES, groups, ROWS, COLUMNS)
    assert found.refusal == TrendRefusal.FEW_LINES
    few = fit_position_trend(np.arange(96.0), FEATURES, kinds(0, 3), ROWS, COLUMNS)
    assert few.refusal == TrendRefusal.FEW_CONTROLS
    assert not few.effects.any()
