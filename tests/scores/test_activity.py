import warnings

import numpy as np
import pandas as pd
import pytest

from leigh_mlops.scores.activity import (
    chance_precision,
    group_precisions,
    mean_average_precision,
    mean_group_precisions,
)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # at its import it says what it will change
    from copairs import map as copairs_map


@pytest.mark.filterwarnings("ignore")
def test_activity_is_that_of_copairs() -> None:
    rng = np.random.default_rng(0)
    profiles, controls = rng.normal(size=(4, 5)) + np.eye(5)[0], rng.normal(size=(9, 5))
    meta = pd.DataFrame({"what": ["drug"] * 4 + ["control"] * 9})
    found = copairs_map.average_precision(
        meta, np.concatenate([profiles, controls]), ["what"], [], [], ["what"], distance="cosine"
    )
    expected = found["average_precision"][:4].mean()
    assert 0.3 < expected < 0.99
    np.testing.assert_allclose(mean_average_precision(profiles, controls)[0], expected, rtol=1e-6)


def test_p_is_small_for_alike_replicates_and_even_for_others() -> None:
    rng = np.random.default_rng(1)
    controls = rng.normal(size=(12, 6))
    assert mean_average_precision(rng.normal(size=(3, 6)) + 5, controls)[1] < 0.01
    ps = [mean_average_precision(rng.normal(size=(3, 6)), rng.normal(size=(12, 6)))[1] for _ in range(300)]
    assert 0.4 < np.mean(ps) < 0.6
    assert np.mean(np.array(ps) < 0.05) < 0.1


def test_one_replicate_has_none() -> None:
    assert np.isnan(mean_average_precision(np.ones((1, 3)), np.ones((4, 3)))).all()
    assert np.isnan(mean_average_precision(np.ones((2, 3)), np.ones((0, 3)))).all()


@pytest.mark.filterwarnings("ignore")
def test_consistency_of_groups_is_that_of_copairs() -> None:
    rng = np.random.default_rng(2)
    groups = np.repeat([0, 1, 2, 3], [3, 4, 5, 1])
    profiles = rng.normal(size=(13, 6)) + 0.7 * np.eye(6)[groups]
    found = copairs_map.average_precision(
        pd.DataFrame({"target": groups.astype(str)}), profiles, ["target"], [], [], ["target"], distance="cosine"
    )
    precisions = group_precisions(profiles, groups)
    np.testing.assert_allclose(precisions[:12], found["average_precision"][:12], rtol=1e-6)
    assert np.isnan(precisions[12])
    means = copairs_map.mean_average_precision(found, ["target"], null_size=100, threshold=0.05, seed=0)
    own_means, own_p = mean_group_precisions(profiles, groups)
    # Its p is not compared: one ranking stands for all members there.
    np.testing.assert_allclose(own_means[:3], means["mean_average_precision"], rtol=1e-6)
    assert np.isnan([own_means[3], own_p[3]]).all()


def test_profiles_without_a_group_are_only_among_the_others() -> None:
    profiles = np.array([[1.0, 0.0], [1.0, 0.3], [1.0, 0.1], [0.0, 1.0]])
    assert group_precisions(profiles[[0, 1, 3]], np.array([0, 0, -1]))[0] == 1
    found = group_precisions(profiles, np.array([0, 0, -1, -1]))
    assert found[0] == 0.5
    assert np.isnan(found[2:]).all()


@pytest.mark.parametrize(("relevant", "others"), [(1, 1), (3, 9), (5, 40)])
def test_chance_is_the_mean_of_random_rankings(relevant: int, others: int) -> None:
    rng = np.random.default_rng(0)
    groups = np.r_[np.zeros(relevant + 1, int), np.full(others, -1)]
    drawn = [np.nanmean(group_precisions(rng.normal(size=(len(groups), 30)), groups)) for _ in range(600)]
    assert abs(np.mean(drawn) - chance_precision(relevant, others)) < 0.02


@pytest.mark.parametrize(("size", "others"), [(3, 9), (5, 15)])
def test_p_of_groups_without_an_effect_is_even(size: int, others: int) -> None:
    rng = np.random.default_rng(4)
    groups = np.r_[np.zeros(size, int), np.full(others, -1)]
    ps = np.array([mean_group_precisions(rng.normal(size=(len(groups), 8)), groups)[1][0] for _ in range(300)])
    assert 0.45 < ps.mean() < 0.55
    assert 0.02 < (ps <= 0.05).mean() < 0.08
    shifted = rng.normal(size=(len(groups), 8)) + 4 * (groups == 0)[:, None]
    assert mean_group_precisions(shifted, groups)[1][0] < 0.01


def test_a_group_without_others_has_no_mean() -> None:
    profiles = np.random.default_rng(5).normal(size=(3, 4))
    assert np.isnan(mean_group_precisions(profiles, np.array([0, 0, 0]))).all()
    assert np.isnan(mean_group_precisions(profiles, np.array([0, -1, -1]))).all()
    assert np.shape(mean_group_precisions(profiles, np.array([-1, -1, -1]))) == (2, 0)
