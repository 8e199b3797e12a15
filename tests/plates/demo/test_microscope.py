import numpy as np
import pytest
from scipy.ndimage import laplace

from leigh_mlops.plates.demo.microscope import (
    COUNTS_PER_PHOTON,
    FLAWS,
    READ_NOISE_COUNTS,
    FieldParameters,
    _camera,
    draw_classes,
)
from leigh_mlops.plates.demo.optics import uneven_illumination
from leigh_mlops.plates.demo.phenotype import PHENOTYPES

SIZE_PX = 96


def draw(seed=0, name="WT", **field):
    rng = np.random.default_rng(seed)
    return draw_classes(rng, {name: PHENOTYPES[name]}, FieldParameters(**field), size_px=SIZE_PX)[name].astype(float)


def saturated(image):
    return (image[0] == 4095).mean()


def blurred(image):
    return -np.abs(laplace(image[0])).mean() / image[0].mean()


def empty(image):
    return -np.percentile(image[0], 99)


def bright_in_both(image):
    return (image.min(axis=0) > 2500).mean()


MEASURES = dict(zip(FLAWS, (saturated, blurred, empty, bright_in_both), strict=True))


@pytest.mark.parametrize("flaw", FLAWS)
def test_a_flaw_is_seen_where_it_is_and_nowhere_else(flaw):
    measure = MEASURES[flaw]
    sound = max(measure(draw(seed)) for seed in range(6))
    flawed = min(measure(draw(seed, flaw=flaw)) for seed in range(6))
    assert flawed > sound
    assert np.array_equal(draw(0), draw(0, flaw=""))


def test_flawed_twins_share_the_flaw():
    rng = np.random.default_rng(1)
    twins = draw_classes(rng, PHENOTYPES, FieldParameters(flaw="debris"), size_px=SIZE_PX)
    assert np.array_equal(twins["DS"][0], twins["WT"][0])
    spots = twins["WT"].min(axis=0) > 2500
    assert spots.any()
    assert (twins["TT"][1][spots] > 1500).all()


@pytest.mark.parametrize("light", [10.0, 100.0, 2000.0])
def test_noise_is_that_of_photons_and_of_reading(light):
    plane = np.full((2, 200, 200), light, dtype=np.float32)
    counts = _camera(plane, np.random.default_rng(0)).astype(float)
    assert counts.mean() == pytest.approx(110 + light, abs=0.2)
    expected = COUNTS_PER_PHOTON * light + READ_NOISE_COUNTS**2
    assert counts.var() == pytest.approx(expected, rel=0.05)


def test_the_illumination_is_what_the_image_is_divided_by():
    def corners_to_middle(image):
        middle = image[0, 40:56, 40:56].mean()
        return np.mean([image[0, y : y + 8, x : x + 8].mean() for y in (0, 88) for x in (0, 88)]) / middle

    dim = np.mean([draw(seed, flaw="empty", background=500, illumination=0.6) for seed in range(4)], axis=0) - 110
    assert corners_to_middle(dim) < 0.6
    assert corners_to_middle(dim / uneven_illumination(SIZE_PX, 0.6)) == pytest.approx(1, abs=0.05)


def test_stain_exposure_and_background_do_what_they_say():
    usual = draw().mean(axis=(1, 2)) - 110
    stained = draw(stain=2.0).mean(axis=(1, 2)) - 110
    assert stained[0] == pytest.approx(usual[0], rel=1e-6)
    assert stained[1] > 1.4 * usual[1]
    np.testing.assert_allclose(draw(exposure=(0.5, 0.8)).mean(axis=(1, 2)) - 110, usual * [0.5, 0.8], rtol=0.02)
    assert np.percentile(draw(background=100)[0], 5) > np.percentile(draw()[0], 5) + 40
