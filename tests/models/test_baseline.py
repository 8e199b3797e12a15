import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from leigh_mlops.errors import LeighError
from leigh_mlops.models import Baseline, fit_baseline


def data(classes=3, count=90, features=5, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    return rng.normal(size=(count, features)) * 100 + 60 * labels[:, None], labels


@pytest.mark.parametrize("classes", [2, 3])
def test_the_linear_baseline_is_scikit_learns(classes):
    (x, y), (held, _) = data(classes), data(classes, seed=1)
    scaler = StandardScaler().fit(x)
    oracle = LogisticRegression(max_iter=10_000).fit(scaler.transform(x), y).predict_proba(scaler.transform(held))
    ours = fit_baseline(x, y, classes, kind="linear").probabilities(held)
    np.testing.assert_allclose(ours, oracle, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("classes", [2, 3])
def test_the_forest_is_scikit_learns(classes):
    (x, y), (held, _) = data(classes), data(classes, count=400, seed=1)
    oracle = RandomForestClassifier(100, min_samples_leaf=2, random_state=4).fit(x, y).predict_proba(held)
    ours = fit_baseline(x, y, classes, kind="forest", seed=4).probabilities(held)
    other = fit_baseline(x, y, classes, kind="forest", seed=5).probabilities(held)
    np.testing.assert_allclose(ours, oracle, rtol=1e-12, atol=1e-14)
    assert not np.allclose(other, oracle)


@pytest.mark.parametrize("kind", ["linear", "forest"])
def test_arrays_bring_a_baseline_back(kind):
    x, y = data()
    baseline = fit_baseline(x, y, 3, kind=kind)
    arrays = baseline.to_arrays()
    assert all(array.dtype.kind in "iuf" for array in arrays.values())
    assert np.array_equal(Baseline.from_arrays(arrays).log_probs(x), baseline.log_probs(x))
    for name in arrays:
        with pytest.raises(LeighError, match="train the model again"):
            Baseline.from_arrays({key: array for key, array in arrays.items() if key != name})


@pytest.mark.parametrize("kind", ["linear", "forest"])
def test_log_probabilities_are_finite_and_sum_to_one(kind):
    x, y = data()
    x += 1e4 * y[:, None]
    baseline = fit_baseline(x, y, 3, kind=kind)
    log_probs = baseline.log_probs(1e3 * x)
    assert baseline.probabilities(1e3 * x).min() < 1e-6
    assert log_probs.min() >= np.log(0.001 / 3)
    np.testing.assert_allclose(np.exp(log_probs).sum(1), 1)


def test_a_class_that_training_did_not_see_is_unlikely_but_possible():
    x, y = data(2)
    log_probs = fit_baseline(x, 2 * y, 3).log_probs(x)
    assert log_probs.shape == (90, 3)
    np.testing.assert_allclose(log_probs[:, 1], np.log(0.001 / 3))
    assert (log_probs.argmax(1) == 2 * y).mean() > 0.8


def test_a_forest_whose_walk_would_not_end_is_refused():
    x, y = data()
    arrays = fit_baseline(x, y, 3, kind="forest").to_arrays()
    Baseline.from_arrays(arrays)
    for bad in (0, 10**6):
        left = arrays["left"].copy()
        left[0, 0] = bad
        with pytest.raises(LeighError, match="not a set of trees"):
            Baseline.from_arrays(arrays | {"left": left})


def test_linear_arrays_that_do_not_fit_are_refused():
    arrays = fit_baseline(*data(), 3).to_arrays()
    with pytest.raises(LeighError, match="inconsistent shapes"):
        Baseline.from_arrays(arrays | {"bias": np.zeros(7)})


def test_one_class_and_an_unknown_kind_are_refused():
    x, y = data()
    with pytest.raises(LeighError, match="got 1; give fields of more classes"):
        fit_baseline(x, 0 * y, 3)
    with pytest.raises(ValueError, match="choose linear or forest"):
        fit_baseline(x, y, 3, kind="svm")
