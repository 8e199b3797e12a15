import numpy as np
import pytest
from scipy.special import log_softmax

from leigh_mlops.scores.calibration import expected_calibration_error, fit_temperature, scale_by_temperature


def wells(temperature: float, count: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Wells whose logits are too large by a temperature."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (count, 3))
    chance = np.exp(log_softmax(logits, axis=1))
    labels = (rng.random((count, 1)) > chance.cumsum(axis=1)).sum(axis=1)
    return labels, log_softmax(temperature * logits, axis=1)


def test_error_by_hand() -> None:
    # Two wells sure to 0.9 of which one is right, two sure to 0.6 of which both are: (2 * 0.4 + 2 * 0.4) / 4.
    log_probs = np.log([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.4, 0.6]])
    assert expected_calibration_error([0, 1, 1, 1], log_probs) == pytest.approx(0.4)
    assert expected_calibration_error([0, 1, 1, 0], log_probs) == pytest.approx((2 * 0.4 + 2 * 0.1) / 4)
    # One bin: 3 of 4 are right, sure to 0.75 on average.
    assert expected_calibration_error([0, 1, 1, 1], log_probs, bins=1) == pytest.approx(0)


def test_certainty_counts() -> None:
    assert expected_calibration_error([0, 0], [[0.0, -800.0], [0.0, -800.0]]) == 0


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_of_overconfident_wells_is_found(temperature: float) -> None:
    labels, log_probs = wells(temperature)
    found = fit_temperature(labels, log_probs)
    assert found == pytest.approx(temperature, rel=0.05)
    before = expected_calibration_error(labels, log_probs)
    after = expected_calibration_error(labels, scale_by_temperature(log_probs, found))
    assert after < 0.015
    assert (before > 0.08) == (temperature != 1)


def test_a_temperature_changes_no_prediction() -> None:
    _, log_probs = wells(1.0, 50)
    for temperature in (0.1, 7.0):
        changed = scale_by_temperature(log_probs, temperature)
        np.testing.assert_allclose(np.exp(changed).sum(axis=1), 1)
        assert (changed.argmax(axis=1) == log_probs.argmax(axis=1)).all()
    np.testing.assert_allclose(scale_by_temperature(log_probs, 1.0), log_probs)


def test_wells_that_are_all_right_ask_for_no_certainty() -> None:
    labels, log_probs = np.repeat([0, 1], 5), np.repeat(np.log([[0.7, 0.3], [0.3, 0.7]]), 5, axis=0)
    assert fit_temperature(labels, log_probs) == 1
    # With one wrong well of ten, the best is to be sure of nine in ten.
    temperature = fit_temperature([1, *labels[1:]], log_probs)
    assert np.exp(scale_by_temperature(log_probs, temperature))[0, 0] == pytest.approx(0.9, abs=1e-4)


def test_what_cannot_be_is_said() -> None:
    nothing = np.zeros((0, 2))
    for make in (fit_temperature, expected_calibration_error):
        with pytest.raises(ValueError, match="no well"):
            make([], nothing)
    with pytest.raises(ValueError, match="above 0"):
        scale_by_temperature(np.log([[0.5, 0.5]]), 0.0)
