"""Masks that take over ever more of a counterfactual, and the curve of the prediction."""

import numpy as np
import pytest

from leigh_mlops.explanations.counterfactuals.mask_curve import SHARES, mask_curve, smooth_masks

SIDE = 64
CORNER = (slice(8, 24), slice(32, 48))  # a sixteenth of the image


def corner_change() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Dark image, a counterfactual that is brighter everywhere, and a map that acts in one corner."""
    image = np.zeros((2, SIDE, SIDE), np.float32)
    change_map = np.random.default_rng(0).uniform(0, 0.1, (SIDE, SIDE))
    change_map[CORNER] -= 5
    return image, image + 8, change_map


def probabilities(share: np.ndarray) -> np.ndarray:
    return np.stack([1 - share, share], 1).astype(np.float64)


def by_corner(raw: np.ndarray) -> dict[str, np.ndarray]:
    """Predictions by the mean of the corner alone."""
    return {"corner": probabilities(raw[:, 0, *CORNER].mean((1, 2)) / 8)}


def by_all_pixels(raw: np.ndarray) -> dict[str, np.ndarray]:
    return {"pixels": probabilities(raw[:, 0].mean((1, 2)) / 8)}


def by_nothing(raw: np.ndarray) -> dict[str, np.ndarray]:
    return {"nothing": probabilities(np.full(len(raw), 0.25))}


def by_three(raw: np.ndarray) -> dict[str, np.ndarray]:
    return by_corner(raw) | {"copy": by_corner(raw)["corner"]} | by_nothing(raw)


def test_masks_grow_from_nothing_to_everything_where_the_map_is_strongest() -> None:
    _, _, change_map = corner_change()
    masks = smooth_masks(change_map)
    assert masks.shape == (len(SHARES), SIDE, SIDE)
    assert masks[0].max() == 0
    assert masks[-1].min() == 1
    assert (np.diff(masks, axis=0) >= 0).all()
    tenth = masks[SHARES.index(0.05)]
    assert tenth[CORNER].mean() > 0.6
    assert tenth[40:].max() == 0


def test_edges_are_soft_and_specks_are_dropped() -> None:
    change_map = np.zeros((SIDE, SIDE))
    change_map[20:40, 20:40] = 1
    mask = smooth_masks(change_map, (0, 400 / SIDE**2, 1))[1]
    assert np.unique(mask).size > 4
    assert mask[30, 30] == pytest.approx(1)
    assert mask.mean() == pytest.approx(400 / SIDE**2, rel=0.1)
    lone = np.random.default_rng(0).permutation(np.repeat([9.0, 0], [40, SIDE**2 - 40])).reshape(SIDE, SIDE)
    assert smooth_masks(lone, (0, 40 / SIDE**2, 1))[1].mean() < 20 / SIDE**2


def test_an_even_rise_has_half_the_area_and_a_local_cause_more() -> None:
    image, after, change_map = corner_change()
    even = mask_curve(image, after, change_map, 1, by_all_pixels)
    assert even.areas["pixels"] == pytest.approx(0.5)
    np.testing.assert_allclose(even.scores["pixels"], even.shares, atol=1e-6)
    assert mask_curve(image, after, change_map, 1, by_corner).areas["corner"] > 0.9
    assert mask_curve(image, after, -change_map, 1, by_corner).areas["corner"] > 0.9
    wrong_order = mask_curve(image, after, 1 / (1 + np.abs(change_map)), 1, by_corner)
    assert wrong_order.areas["corner"] < 0.2
    assert mask_curve(image, after, change_map, 1, by_nothing).areas == {"nothing": 0}
    assert mask_curve(image, after, change_map, 0, by_corner).areas == {"corner": 0}  # nothing to gain


def test_a_falling_score_has_a_negative_area() -> None:
    image, after, change_map = corner_change()
    reverse = mask_curve(after * np.float32(0.5), image, change_map, 1, by_corner)
    assert reverse.areas["corner"] < -0.5


def test_the_smallest_mask_turns_most_predictors() -> None:
    image, after, change_map = corner_change()
    curve = mask_curve(image, after, change_map, 1, by_three)
    assert list(curve.scores) == list(curve.areas) == ["corner", "copy", "nothing"]
    assert curve.agreeing[0] == 0
    assert curve.agreeing[-1] == 2
    first = int(np.argmax(curve.agreeing == 2))
    assert curve.smallest is not None
    assert curve.smallest.share == curve.shares[first] < 0.1
    expected = curve.smallest.mask * after + (1 - curve.smallest.mask) * image
    np.testing.assert_allclose(curve.smallest.hybrid, expected, atol=1e-6)
    assert by_corner(curve.smallest.hybrid[None])["corner"].argmax() == 1
    half = mask_curve(image, after, change_map, 1, lambda raw: by_corner(raw) | by_nothing(raw))
    assert half.agreeing.max() == 1
    assert half.smallest is None


def test_an_image_that_is_the_target_needs_no_pixel() -> None:
    image, after, change_map = corner_change()
    curve = mask_curve(image, after, change_map, 0, by_nothing)
    assert curve.smallest is not None
    assert curve.smallest.share == 0
    np.testing.assert_array_equal(curve.smallest.hybrid, image)


def test_what_does_not_fit_is_an_error() -> None:
    image, after, change_map = corner_change()
    with pytest.raises(ValueError, match="shapes"):
        mask_curve(image, after[:1], change_map, 1, by_corner)
    with pytest.raises(ValueError, match="no predictors"):
        mask_curve(image, after, change_map, 1, lambda raw: {})
    with pytest.raises(ValueError, match="from 0 to 1"):
        smooth_masks(change_map, (0.1, 1))
    with pytest.raises(ValueError, match="not finite"):
        smooth_masks(change_map * np.nan)
