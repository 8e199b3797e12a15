import numpy as np
import pytest

from leigh_mlops.scores import (
    QUALITY_RULE,
    background_noise,
    changed_share,
    clipped_share,
    mean_change,
    quality_status,
    reencoding_error,
)
from leigh_mlops.scores.counterfactual import AMBER_LIMITS, MAX_DOUBT_RATIO

IMAGE = np.array([[[10.0, 20.0]], [[100.0, 100.0]]])  # two channels, 1 x 2


def test_the_same_image_has_changed_nowhere():
    assert changed_share(IMAGE, IMAGE, 0.5) == 0
    assert clipped_share(IMAGE, 255) == 0
    assert mean_change(IMAGE, IMAGE).tolist() == [0, 0]


def test_measures_by_hand():
    after = [[[14.0, 17.0]], [[100.0, 301.0]]]
    assert clipped_share(after, 255) == 0.25
    # The second channel's 301 is in the file, which is not clipped.
    assert mean_change(IMAGE, after).tolist() == [0.5, 100.5]
    assert changed_share(IMAGE, after, 2.0) == 1
    assert changed_share([[[250.0, 250.0]]], [[[250.0, 290.0]]], 10.0) == 0.5


def test_noise_is_per_channel_and_a_change_as_large_is_none():
    after = [[[12.0, 20.0]], [[100.0, 109.0]]]
    assert changed_share(IMAGE, after, 1.0) == 1
    assert changed_share(IMAGE, after, 2.0) == 0.5
    assert changed_share(IMAGE, after, [2.0, 9.0]) == 0


def test_reencoding_error_by_hand():
    z, shifted = np.zeros((3, 1, 2)), np.array([[[3.0, 4.0]], [[6.0, 8.0]], [[0.0, 0.0]]])
    reencoded = shifted + np.array([[[0.0, 0.0]], [[0.0, 5.0]], [[1.0, 0.0]]])
    np.testing.assert_array_equal(reencoding_error(z, shifted, reencoded), [0, 0.5, np.nan])


def test_what_rounds_into_the_range_is_not_clipped():
    assert clipped_share([[[-0.6, 20.0]], [[255.6, 100.0]]], 255) == 0.5
    assert clipped_share([[[-0.4, 20.0]], [[255.4, 100.0]]], 255) == 0


def test_background_noise_is_its_spread_whatever_the_cells_do():
    rng = np.random.default_rng(0)
    image = rng.normal(1000, [[[20.0]], [[5.0]]], (2, 200, 200))
    np.testing.assert_allclose(background_noise(image), [20, 5], rtol=0.05)
    image[:, :60] += 5000
    np.testing.assert_allclose(background_noise(image), [20, 5], rtol=0.2)
    assert background_noise(np.zeros((1, 8, 8))).tolist() == [0.5]


GOOD = {
    "valid": True, "probability": 0.95, "confidence": 0.95, "half": None, "reencoding_error": 0.01,
    "padding_energy": 0.0, "clipped": 0.0, "distance": 1.0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, "green"),
        ({"probability": 0.941}, "green"),
        ({"probability": 0.93}, "amber"),
        ({"probability": 0.9985, "confidence": 0.999}, "amber"),
        ({"probability": 0.9989, "confidence": 0.999}, "green"),
        ({"probability": 0.55, "confidence": 0.6}, "green"),
        ({"probability": 0.51, "confidence": None}, "green"),
        ({"reencoding_error": 0.11}, "amber"),
        ({"padding_energy": 0.011}, "amber"),
        ({"clipped": 0.011}, "amber"),
        ({"distance": 1.6}, "amber"),
        ({"distance": float("nan"), "padding_energy": float("nan")}, "green"),
        ({"valid": False}, "red"),
        ({"valid": False, "reencoding_error": 0.5}, "red"),
        ({"valid": False, "probability": 0.49, "confidence": None}, "red"),
        ({"valid": False, "probability": 0.49, "confidence": None, "half": 0.49}, "green"),
        ({"valid": False, "probability": 0.3, "confidence": None, "half": 0.44}, "red"),
        ({"valid": True, "probability": 0.6, "confidence": None, "half": 0.56}, "amber"),
    ],
)
def test_the_status_follows_its_rule(changed, expected):
    assert quality_status(**GOOD | changed) == expected


def test_the_rule_names_every_limit():
    words = {
        "reencoding_error": "re-encoding error above", "padding_energy": "padding energy above",
        "clipped": "values outside the intensity range above", "distance": "distance from the target class above",
    }  # fmt: skip
    assert words.keys() == AMBER_LIMITS.keys()
    for name, limit in AMBER_LIMITS.items():
        assert f"{words[name]} {limit}" in QUALITY_RULE
    assert f"more than {MAX_DOUBT_RATIO} times" in QUALITY_RULE
