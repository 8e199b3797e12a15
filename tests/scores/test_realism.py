import numpy as np
import pytest
from scipy.linalg import sqrtm

from leigh_mlops.errors import LeighError
from leigh_mlops.scores import (
    Typicality,
    difference_shares,
    fit_typicality,
    frechet_distance,
    real_against_real_auc,
    realism_auc,
    typicality,
)
from leigh_mlops.scores.realism import _fold_numbers


@pytest.fixture(autouse=True)
def few_trees(monkeypatch):
    monkeypatch.setattr("leigh_mlops.scores.realism._TREES", 50)


def sample(count, seed, shift=0.0, features=6):
    return np.random.default_rng(seed).normal(size=(count, features)) + shift


def wells(count, prefix="A", each=3):
    return np.array([f"{prefix}{number // each:02d}" for number in range(count)])


def test_equal_distributions_cannot_be_distinguished_and_others_can():
    real = sample(90, 0)
    assert 0.3 < realism_auc(real, sample(90, 1), wells(90), wells(90, "B"), seed=0) < 0.7
    assert realism_auc(real, sample(90, 1, 5), wells(90), wells(90, "B"), seed=0) == 1


def test_wells_are_kept_whole():
    """Fields of a well are alike: a forest that has seen one field would recognise the others."""
    signs = np.random.default_rng(0).normal(size=(40, 6))
    fields = np.repeat(signs, 5, axis=0) + 0.01 * sample(200, 1)
    names = wells(200, each=5)
    real, other = slice(0, 100), slice(100, 200)
    assert 0.2 < realism_auc(fields[real], fields[other], names[real], names[other], seed=0) < 0.8
    alone = np.arange(200)
    assert realism_auc(fields[real], fields[other], alone[real], alone[other], seed=0) > 0.95


def test_a_well_of_both_sets_is_in_one_fold_and_every_fold_has_both_sets():
    real, other = wells(12, "A"), np.concatenate([wells(6, "A"), wells(9, "B")])
    folds = _fold_numbers(real, other, np.random.default_rng(0))
    every = np.concatenate([real, other])
    assert all(len(set(folds[every == well])) == 1 for well in every)
    assert set(folds[:12]) == set(folds[12:]) == {0, 1, 2, 3}


@pytest.mark.parametrize("shared", range(5))
@pytest.mark.parametrize("seed", range(4))
def test_every_fold_has_both_sets_whatever_they_share(shared, seed):
    rng = np.random.default_rng(seed)
    real = np.arange(shared + rng.integers(2, 8))
    other = np.concatenate([np.arange(shared), 100 + np.arange(rng.integers(2, 8))])
    folds = _fold_numbers(real, other, rng)
    assert set(folds[: len(real)]) == set(folds[len(real) :]) == set(range(min(5, len(real), len(other))))


def test_an_edit_of_the_same_wells_is_measured():
    real = sample(30, 0)
    assert realism_auc(real, real, wells(30), wells(30), seed=0) == pytest.approx(0.5)
    assert realism_auc(real, real + 5, wells(30), wells(30), seed=0) == 1


def test_few_wells_have_fewer_folds_and_one_has_none():
    near, far = sample(6, 0), sample(6, 1, 9)
    assert realism_auc(near, far, wells(6), wells(6, "B"), seed=0) == 1
    assert np.isnan(realism_auc(near, far, wells(6), wells(6, "B", each=6), seed=0))
    assert np.isnan(realism_auc(near, far[:0], wells(6), wells(0), seed=0))


def test_real_fields_are_like_real_fields():
    fields, names = sample(60, 0), wells(60)
    found = [real_against_real_auc(fields, names, seed) for seed in (0, 1)]
    assert found[0] != found[1]
    assert real_against_real_auc(fields, names, 1) == found[1]
    assert all(0.2 < each < 0.8 for each in found)
    assert np.isnan(real_against_real_auc(fields[:9], names[:9], 0))


def test_the_frechet_distance_is_that_of_normal_distributions():
    one, other = sample(4000, 0), sample(4000, 1) * [1, 2, 3, 1, 1, 1] + [1, 0, 0, 0, 0, 2]
    covariances = [np.cov(each, rowvar=False) for each in (one, other)]
    oracle = np.trace(covariances[0] + covariances[1] - 2 * sqrtm(covariances[0] @ covariances[1]).real)
    oracle += np.square(one.mean(0) - other.mean(0)).sum()
    assert frechet_distance(one, other) == pytest.approx(oracle, rel=0.01)
    assert frechet_distance(one, other) == pytest.approx(1 + 4 + 1 + 4, rel=0.1)
    assert frechet_distance(one, other) == pytest.approx(frechet_distance(other, one))


def test_the_frechet_distance_of_a_set_from_itself_is_zero():
    for count in (3, 20, 200):
        one = sample(count, 0, features=50)
        assert frechet_distance(one, one) == pytest.approx(0, abs=1e-9)


def test_fewer_fields_than_features_give_a_stable_frechet_distance():
    one = sample(20, 0, features=100)
    near, far = (frechet_distance(one, sample(20, 1, shift, features=100)) for shift in (0, 1))
    assert 0 < near < 30
    assert far - near == pytest.approx(100, rel=0.25)
    assert np.isnan(frechet_distance(one[:1], one))


def test_a_constant_feature_has_a_frechet_distance():
    flat = np.ones((10, 3))
    assert frechet_distance(flat, flat) == 0
    assert frechet_distance(flat, flat + 1) == pytest.approx(3)


def test_shares_of_the_difference():
    source, target = sample(100, 0, features=5), sample(100, 1, features=5)
    target[:, :4] += [10, 10, -10, 10]
    made = source + np.array([0, 5, -10, -5, 3])
    shares = difference_shares(source, target, made, ["none", "half", "all", "wrong", "equal"])
    assert shares["none"] == 0
    assert shares["half"] == pytest.approx(0.5, abs=0.05)
    assert shares["all"] == pytest.approx(1, abs=0.05)
    assert shares["wrong"] == pytest.approx(-0.5, abs=0.05)
    assert np.isnan(shares["equal"])


def test_constant_features_have_a_share_where_they_differ():
    source, target = np.zeros((10, 2)), np.tile([0.0, 2.0], (10, 1))
    shares = difference_shares(source, target, source + 1, ["equal", "other"])
    assert np.isnan(shares["equal"])
    assert shares["other"] == 0.5


def test_small_differences_count_with_enough_fields():
    names = ["a", "b", "c", "d", "e", "f"]

    def known(count):
        found = difference_shares(sample(count, 0), sample(count, 1, 0.3), sample(count, 2, 0.3), names)
        return sum(np.isfinite(list(found.values())))

    assert known(20) <= 1
    assert known(2000) == 6


def test_real_fields_are_typical_and_others_are_not():
    reference = fit_typicality(sample(1000, 0))
    for shift, low, high in ((0, 0.9, 1), (3, 0, 0.02)):
        inside = (typicality(sample(1000, 1, shift), reference) <= 1).mean()
        assert low <= inside <= high
    own = typicality(sample(1000, 0), reference)
    assert (own <= 1).mean() == pytest.approx(0.99)


def test_one_foreign_feature_is_enough():
    reference, foreign = fit_typicality(sample(1000, 0)), np.zeros((1, 6))
    assert typicality(foreign, reference)[0] < 0.5
    foreign[0, 3] = 12
    assert typicality(foreign, reference)[0] > 1


def test_units_of_features_do_not_matter():
    real, units, offset = sample(200, 0), np.array([1, 10, 100, 1, 1, 7]), 1000
    fitted, scaled = fit_typicality(real * 50), fit_typicality(real * 50 * units + offset)
    near = sample(5, 1) * 50
    np.testing.assert_allclose(typicality(near, fitted), typicality(near * units + offset, scaled), rtol=1e-6)


def test_equal_features_of_all_real_fields_do_not_tolerate_others():
    real = sample(100, 0)
    real[:, 0] = 7
    reference = fit_typicality(real)
    assert np.isfinite(typicality(real, reference)).all()
    near, far = real[:1].copy(), real[:1].copy()
    near[0, 0], far[0, 0] = 7.001, 8
    assert typicality(near, reference)[0] <= 1.05
    assert typicality(far, reference)[0] > 5


def test_typicality_comes_back_from_arrays_and_damage_is_refused():
    reference, unseen = fit_typicality(sample(50, 0)), sample(4, 1)
    arrays = reference.to_arrays()
    loaded = Typicality.from_arrays(arrays)
    np.testing.assert_array_equal(typicality(unseen, loaded), typicality(unseen, reference))
    for key, array in arrays.items():
        with pytest.raises(LeighError, match="again"):
            Typicality.from_arrays({name: each for name, each in arrays.items() if name != key})
        for bad in (array[None], array[:0], array.astype(str), array * np.nan):
            with pytest.raises(LeighError, match="again"):
                Typicality.from_arrays(arrays | {key: bad})
    with pytest.raises(LeighError, match="again"):
        Typicality.from_arrays(arrays | {"scale": 0 * arrays["scale"]})
    with pytest.raises(LeighError, match="known by 6 features, not by 5"):
        typicality(unseen[:, :5], reference)
    with pytest.raises(LeighError, match="no fields"):
        fit_typicality(unseen[:0])
