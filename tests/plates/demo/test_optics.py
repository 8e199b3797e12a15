import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from leigh_mlops.plates.demo.optics import blur, defocus, enlarge, uneven_illumination


def random_plane(size_px):
    return np.random.default_rng(0).random((size_px, size_px), dtype=np.float32)


@pytest.mark.parametrize("sigma_px", [1.5, 6.0, 20.0])
def test_a_blur_is_that_of_a_gaussian(sigma_px):
    plane = random_plane(64)
    slow = gaussian_filter(plane.astype(float), sigma_px, mode="reflect", truncate=6.0)
    assert np.abs(plane - slow).max() > 0.3
    np.testing.assert_allclose(blur(plane, sigma_px / 64), slow, atol=2e-3)


def test_a_defocused_point_becomes_a_disc_of_the_same_light():
    point = np.zeros((129, 129), dtype=np.float32)
    point[64, 64] = 1
    assert defocus(point, 0.0) is point
    disc = defocus(point, 0.15)
    assert disc.sum() == pytest.approx(1, rel=0.02)
    away = np.hypot(*np.mgrid[-64:65, -64:65]) / 129
    inside, outside = disc[away < 0.08], disc[away > 0.25]
    assert inside.min() > 0.8 * inside.max() > 0
    assert outside.max() < 0.02 * inside.max()


@pytest.mark.parametrize("size_px", [24, 64, 150])
def test_another_size_shows_the_same_image(size_px):
    plane = random_plane(48)
    large = enlarge(plane, size_px, 0.05)
    assert large.shape == (size_px, size_px)
    assert large.mean() == pytest.approx(plane.mean(), rel=1e-4)
    same = enlarge(plane, 48, 0.05)
    np.testing.assert_allclose(large[0, 0], same[0, 0], atol=0.03)
    np.testing.assert_allclose(large[-1, 0], same[-1, 0], atol=0.03)


def test_a_corner_lacks_the_light_that_was_asked_for():
    assert np.array_equal(uneven_illumination(32, 0.0), np.ones((32, 32)))
    bowl = uneven_illumination(256, 0.4)
    assert 0 < bowl.min() < bowl.max() <= 1
    corners = [bowl[0, 0], bowl[0, -1], bowl[-1, 0], bowl[-1, -1]]
    assert np.mean(corners) == pytest.approx(0.6, abs=0.02)
