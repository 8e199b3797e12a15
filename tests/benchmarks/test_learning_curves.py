import numpy as np
import pytest

from benchmarks.learning_curves import CurveModel, choose_trial, encode_configs
from leigh_mlops.settings import SearchSpace

EPOCHS = 8
SPACE = SearchSpace.model_validate(
    {
        "family": "resnext",
        "metric": "val/log_loss",
        "published": {"learning_rate": 0.001, "optimizer": "adam", "flip": 0.5},
        "space": {
            "learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
            "optimizer": ["adam", "sgd"],
            "flip": {"low": 0.0, "high": 1.0},
        },
    }
)


def config(rate, optimizer="adam", flip=0.5):
    return {"learning_rate": rate, "optimizer": optimizer, "flip": flip, "epochs": EPOCHS}


def curve(end, epochs=EPOCHS):
    return [end + (0.7 - end) * np.exp(-0.5 * epoch) for epoch in range(epochs)]


def test_configurations_are_encoded_by_hyperparameter():
    rate, optimizer, flip = encode_configs(SPACE, [config(1e-4), config(1e-3, "sgd"), config(1e-2, flip=1.0)])
    np.testing.assert_allclose(rate, [[0], [0.5], [1]])
    np.testing.assert_allclose(flip, [[0.5], [0.5], [1]])
    assert np.linalg.norm(optimizer[0] - optimizer[1]) == pytest.approx(1)
    assert (optimizer[0] == optimizer[2]).all()


def fitted(features, losses):
    model = CurveModel(features, EPOCHS)
    model.tune(losses)
    return model.fit(losses)


def test_a_curve_is_predicted_from_its_beginning_and_from_similar_trials():
    configs = [config(1e-4), config(2e-4), config(1e-2), config(8e-3), config(9e-3)]
    losses = [curve(0.6), curve(0.6), curve(0.2), curve(0.2), []]
    features = encode_configs(SPACE, configs)
    (unstarted,), (spread,) = fitted(features, losses).predict([4])
    assert unstarted[-1] == pytest.approx(np.log(losses[2][-1]), abs=0.3)
    (begun,), (less,) = fitted(features, [*losses[:4], curve(0.6, 4)]).predict([4])
    assert begun[-1] == pytest.approx(np.log(losses[0][-1]), abs=0.3)
    assert less[-1, -1] < spread[-1, -1]


def test_tuned_parameters_explain_the_curves_better():
    features = encode_configs(SPACE, [config(1e-4), config(2e-4), config(1e-2), config(8e-3)])
    losses = [curve(0.6), curve(0.6), curve(0.2), curve(0.2)]
    plain = CurveModel(features, EPOCHS).fit(losses).predict([0])[1]
    # Curves without noise need less of it than is typical.
    assert fitted(features, losses).predict([0])[1][0].trace() < 0.8 * plain[0].trace()


def test_losses_of_any_size_can_be_tuned_to():
    features = encode_configs(SPACE, [config(1e-4), config(2e-4), config(1e-2)])
    losses = [curve(1e-5), [2.0, 1e-4, 30.0], curve(0.6)]
    means, covariances = fitted(features, losses).predict([0, 1, 2])
    assert np.isfinite(means).all()
    assert (np.linalg.eigvalsh(covariances) > 0).all()


def test_the_process_knows_what_it_has_seen_and_doubts_the_rest():
    features = encode_configs(SPACE, [config(1e-3), config(2e-3)])
    (means,), (covariance,) = fitted(features, [curve(0.3, 4), curve(0.5, 2)]).predict([0])
    np.testing.assert_allclose(means[:4], np.log(curve(0.3, 4)), atol=0.1)
    assert (np.diff(covariance.diagonal()[3:]) > 0).all()
    assert np.linalg.eigvalsh(covariance).min() > 0


def test_the_trial_that_promises_most_is_chosen():
    features = encode_configs(SPACE, [config(1e-4), config(1e-2), config(9e-3), config(1.1e-4)])
    losses = [curve(0.6), curve(0.2, 4), [], []]
    model = fitted(features, losses)
    assert choose_trial(model, losses, [3, 2]) == choose_trial(model, losses, [2, 3]) == 2
    assert choose_trial(model, losses, [3]) == 3
    with pytest.raises(ValueError, match="at least one candidate"):
        choose_trial(model, losses, [])


def test_losses_that_have_no_logarithm_are_refused():
    model = CurveModel(encode_configs(SPACE, [config(1e-3)]), EPOCHS)
    for losses in ([[0.0]], [[]]):
        with pytest.raises(ValueError, match="above 0"):
            model.fit(losses)
