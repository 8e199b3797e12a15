import numpy as np
import pytest

from leigh_mlops.scores import LIGHT_RULE, background_noise, certificate, light, reencoding_error
from leigh_mlops.scores.counterfactual import LIMITS

IMAGES = np.array([[[[10.0, 20.0]], [[100.0, 100.0]]]])  # one image, two channels, 1 x 2


def measures(counterfactuals, **changed):
    given = {
        "images": IMAGES,
        "counterfactuals": np.asarray(counterfactuals, dtype=float),
        "log_probs": np.log([[0.2, 0.8]]),
        "target": [1],
        "reencoding_errors": [0.01],
        "full_scale": 255.0,
        "noise": 2.0,
    }
    return certificate(**given | changed)


def test_the_same_image_has_changed_nowhere():
    same = measures(IMAGES)
    assert same.changed.tolist() == [0]
    assert same.clipped.tolist() == [0]
    assert same.change_absolute.tolist() == [[0, 0]]


def test_measures_by_hand():
    c = measures([[[[14.0, 18.0]], [[100.0, 301.0]]]])
    assert c.predicted.tolist() == [1]
    assert c.valid.tolist() == [True]
    assert c.probability == pytest.approx([0.8])
    assert c.reencoding_error.tolist() == [0.01]
    assert c.clipped.tolist() == [0.25]
    # The second channel's 301 is saved as 255.
    assert c.change_absolute.tolist() == [[3, 77.5]]
    assert c.change_signed.tolist() == [[1, 77.5]]
    assert c.changed.tolist() == [1]


def test_noise_is_per_channel_and_a_change_as_large_is_none():
    changed = [[[[12.0, 20.0]], [[100.0, 109.0]]]]
    assert measures(changed, noise=1.0).changed.tolist() == [1]
    assert measures(changed, noise=2.0).changed.tolist() == [0.5]
    assert measures(changed, noise=[2.0, 9.0]).changed.tolist() == [0]


def test_a_failed_counterfactual_is_counted():
    failed = measures(IMAGES, target=[0])
    assert failed.valid.tolist() == [False]
    assert failed.predicted.tolist() == [1]
    assert failed.probability == pytest.approx([0.2])


def test_rows_that_do_not_fit():
    with pytest.raises(ValueError, match="do not fit"):
        measures(IMAGES, reencoding_errors=[0.0, 0.0])


def test_reencoding_error_by_hand():
    z, shifted = np.zeros((3, 1, 2)), np.array([[[3.0, 4.0]], [[6.0, 8.0]], [[0.0, 0.0]]])
    reencoded = shifted + np.array([[[0.0, 0.0]], [[0.0, 5.0]], [[1.0, 0.0]]])
    np.testing.assert_array_equal(reencoding_error(z, shifted, reencoded), [0, 0.5, np.nan])


def test_what_rounds_into_the_range_is_not_clipped():
    assert measures([[[[-0.6, 20.0]], [[255.6, 100.0]]]]).clipped.tolist() == [0.5]
    assert measures([[[[-0.4, 20.0]], [[255.4, 100.0]]]]).clipped.tolist() == [0]


def test_noise_is_that_of_each_image():
    twice = np.concatenate([IMAGES, IMAGES])
    found = measures(
        twice + 3.0, images=twice, log_probs=np.log([[0.2, 0.8]] * 2), target=[1, 1], reencoding_errors=[0.0, 0.0],
        noise=[[2.0, 2.0], [4.0, 4.0]],
    )  # fmt: skip
    assert found.changed.tolist() == [1, 0]


def test_background_noise_is_its_spread_whatever_the_cells_do():
    rng = np.random.default_rng(0)
    image = rng.normal(1000, [[[20.0]], [[5.0]]], (2, 200, 200))
    np.testing.assert_allclose(background_noise(image), [20, 5], rtol=0.05)
    image[:, :60] += 5000
    np.testing.assert_allclose(background_noise(image), [20, 5], rtol=0.2)
    assert background_noise(np.zeros((1, 8, 8))).tolist() == [0.5]


GOOD = {
    "valid": True, "probability": 0.95, "asked": 0.95, "reencoding_error": 0.01, "padding_energy": 0.0,
    "clipped": 0.0, "distance": 1.0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, "green"),
        ({"probability": 0.941}, "green"),
        ({"probability": 0.93}, "amber"),
        ({"probability": 0.51, "asked": None}, "green"),
        ({"reencoding_error": 0.11}, "amber"),
        ({"padding_energy": 0.011}, "amber"),
        ({"clipped": 0.011}, "amber"),
        ({"distance": 1.6}, "amber"),
        ({"distance": float("nan"), "padding_energy": float("nan")}, "green"),
        ({"valid": False}, "red"),
        ({"valid": False, "reencoding_error": 0.5}, "red"),
    ],
)
def test_the_light_follows_its_rule(changed, expected):
    assert light(**GOOD | changed) == expected


def test_the_rule_names_every_limit():
    for limit in LIMITS.values():
        assert f"above {limit}" in LIGHT_RULE
