"""Parts of a difference between images, each applied alone."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from leigh_mlops.errors import LeighError
from leigh_mlops.models.transport import named_parts, part_names

CHANNELS = ("DAPI", "TMRM")
SHAPE = (3, 2, 16, 16)


@pytest.fixture
def raw() -> np.ndarray:
    return np.random.default_rng(0).gamma(2, 20, SHAPE).astype(np.float32)


@pytest.fixture
def typical() -> np.ndarray:
    return np.random.default_rng(1).gamma(5, 20, SHAPE).astype(np.float32)


def ranks(images: np.ndarray) -> np.ndarray:
    return images.reshape(*images.shape[:2], -1).argsort(axis=2).argsort(axis=2)


def histogram(images: np.ndarray) -> np.ndarray:
    return np.sort(images.reshape(*images.shape[:2], -1), axis=2)


def correlation(field: np.ndarray) -> float:
    return float(spearmanr(field[0].ravel(), field[1].ravel()).statistic)


def test_equal_images_have_no_parts(raw: np.ndarray, typical: np.ndarray) -> None:
    parts = named_parts(raw, raw, CHANNELS)
    assert tuple(parts) == part_names(CHANNELS)
    for name, changed in parts.items():
        np.testing.assert_allclose(changed, raw, rtol=1e-6, err_msg=name)
    for name, changed in named_parts(raw, typical, CHANNELS).items():
        assert not np.allclose(changed, raw), name


def test_intensity_changes_the_histogram_and_keeps_the_order(raw: np.ndarray, typical: np.ndarray) -> None:
    changed = named_parts(raw, typical, CHANNELS)["intensity of TMRM"]
    np.testing.assert_allclose(histogram(changed)[:, 1], histogram(typical)[:, 1])
    np.testing.assert_array_equal(ranks(changed)[:, 1], ranks(raw)[:, 1])
    np.testing.assert_array_equal(changed[:, 0], raw[:, 0])


def test_texture_changes_the_order_and_keeps_the_histogram(raw: np.ndarray, typical: np.ndarray) -> None:
    changed = named_parts(raw, typical, CHANNELS)["texture of DAPI"]
    np.testing.assert_allclose(histogram(changed)[:, 0], histogram(raw)[:, 0])
    np.testing.assert_array_equal(ranks(changed)[:, 0], ranks(typical)[:, 0])
    np.testing.assert_array_equal(changed[:, 1], raw[:, 1])


@pytest.mark.parametrize(("first", "second"), [("intensity", "texture"), ("texture", "intensity")])
def test_intensity_and_texture_make_all_of_a_channel(
    raw: np.ndarray, typical: np.ndarray, first: str, second: str
) -> None:
    half = named_parts(raw, typical, CHANNELS)[f"{first} of TMRM"]
    both = named_parts(half, typical, CHANNELS)[f"{second} of TMRM"]
    whole = named_parts(raw, typical, CHANNELS)["all of TMRM"]
    np.testing.assert_allclose(both, whole)
    np.testing.assert_array_equal(whole[:, 1], typical[:, 1])
    np.testing.assert_array_equal(whole[:, 0], raw[:, 0])


def test_pixels_of_one_intensity_stay_of_one(raw: np.ndarray, typical: np.ndarray) -> None:
    raw[:, :, :8] = 1
    changed = named_parts(raw, typical, CHANNELS)["intensity of TMRM"]
    assert np.ptp(changed[:, 1, :8], axis=(1, 2)) == pytest.approx(0)
    np.testing.assert_allclose(changed[:, 1].mean((1, 2)), typical[:, 1].mean((1, 2)), rtol=1e-6)


def test_pixels_that_are_equal_in_the_typical_image_keep_their_order(raw: np.ndarray, typical: np.ndarray) -> None:
    typical[:, 1, :8] = 0
    changed = named_parts(raw, typical, CHANNELS)["texture of TMRM"]
    np.testing.assert_allclose(histogram(changed)[:, 1], histogram(raw)[:, 1])
    np.testing.assert_array_equal(ranks(changed[:, :, :8])[:, 1], ranks(raw[:, :, :8])[:, 1])
    assert (changed[:, 1, :8].max((1, 2)) < changed[:, 1, 8:].min((1, 2))).all()


def test_correlation_changes_the_relation_alone(raw: np.ndarray, typical: np.ndarray) -> None:
    typical[:, 1] = typical[:, 0] + 0.3 * typical[:, 1]
    assert abs(correlation(raw[0])) < 0.2
    assert correlation(typical[0]) > 0.8
    changed = named_parts(raw, typical, CHANNELS)["correlation of DAPI and TMRM"]
    np.testing.assert_allclose(histogram(changed), histogram(raw))
    for one, other in zip(changed, typical, strict=True):
        assert correlation(one) == pytest.approx(correlation(other), abs=0.05)
    assert correlation(np.stack([raw[0, 0], changed[0, 0]])) > 0.8


def test_a_constant_channel_has_no_correlation(raw: np.ndarray, typical: np.ndarray) -> None:
    raw[:, 1] = 1
    changed = named_parts(raw, typical, CHANNELS)["correlation of DAPI and TMRM"]
    np.testing.assert_array_equal(changed, raw)


def test_parts_are_the_same_on_any_rising_scale(raw: np.ndarray, typical: np.ndarray) -> None:
    plain = named_parts(raw, typical, CHANNELS)
    logs = named_parts(np.log1p(raw), np.log1p(typical), CHANNELS)
    for name, changed in plain.items():
        np.testing.assert_allclose(np.log1p(changed), logs[name], rtol=1e-5, err_msg=name)


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_a_combined_channel_stays_the_mixture_that_it_is(raw: np.ndarray, typical: np.ndarray, share: float) -> None:
    channels = (*CHANNELS, "DAPI+TMRM")
    assert part_names(channels) == part_names(CHANNELS)
    noise = np.random.default_rng(2).normal(0, 1e-3, (3, 1, 16, 16)).astype(np.float32)
    mixture = share * raw.sum(1, keepdims=True) + noise
    parts = named_parts(np.concatenate([raw, mixture], 1), np.concatenate([typical, 0 * mixture], 1), channels)
    for name, changed in parts.items():
        np.testing.assert_allclose(changed[:, 2], share * changed[:, :2].sum(1), atol=0.1, err_msg=name)
    assert not np.allclose(parts["all of TMRM"][:, 2], mixture[:, 0], atol=1)
    changed = parts["intensity of DAPI"]
    np.testing.assert_allclose(changed[:, 2] - share * changed[:, :2].sum(1), noise[:, 0], atol=5e-3)


def test_fields_are_computed_one_by_one(raw: np.ndarray, typical: np.ndarray) -> None:
    whole = named_parts(raw, typical, CHANNELS)
    for name, changed in named_parts(raw[1:2], typical[1:2], CHANNELS).items():
        np.testing.assert_array_equal(changed[0], whole[name][1])


def test_what_does_not_fit_is_an_error(raw: np.ndarray, typical: np.ndarray) -> None:
    with pytest.raises(LeighError, match="two sets of one shape"):
        named_parts(raw, typical[:1], CHANNELS)
    with pytest.raises(LeighError, match="1 channel names"):
        named_parts(raw, typical, ("DAPI",))
