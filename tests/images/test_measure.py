from pathlib import Path

import cv2
import numpy as np
import pytest

from leigh_mlops.images import QUALITY_NUMBERS, measure_field, read_image
from leigh_mlops.images.measure import measure_plane

SIDE = 540
BACKGROUND = 200.0


def scene(rng: np.random.Generator, cells: int = 60, signal: float = 3000.0) -> np.ndarray:
    """Textured discs of 12 px radius on a flat background, float, without noise."""
    discs = np.zeros((SIDE, SIDE), np.float32)
    for x, y in rng.integers(0, SIDE, (cells, 2)):
        cv2.circle(discs, (int(x), int(y)), 12, 1.0, -1)
    texture = cv2.GaussianBlur(rng.random((SIDE, SIDE)).astype(np.float32), (0, 0), 1.5)
    texture = (texture - texture.min()) / (texture.max() - texture.min())
    return BACKGROUND + signal * discs * (0.3 + texture)


def photons(image: np.ndarray) -> np.ndarray:
    return np.random.default_rng(1).poisson(image).astype(np.uint16)


def test_every_channel_gets_every_number() -> None:
    image = np.stack([photons(scene(np.random.default_rng(seed))) for seed in range(2)])
    measured = measure_field(image, ["DAPI", "TMRM"])
    assert list(measured) == [f"{name}_{channel}" for channel in ("DAPI", "TMRM") for name in QUALITY_NUMBERS]
    assert measured["mean_TMRM"] == pytest.approx(image[1].mean())
    assert measured["max_TMRM"] == image[1].max()
    assert np.isfinite(list(measured.values())).all()


def test_focus_falls_with_every_blur() -> None:
    sharp = scene(np.random.default_rng(0))
    focus = [measure_plane(photons(cv2.GaussianBlur(sharp, (0, 0), s) if s else sharp))["focus"] for s in (0, 1, 2, 4)]
    assert focus == sorted(focus, reverse=True)
    assert focus[0] > 3 * focus[2] > 9 * focus[3]


@pytest.mark.parametrize("blur", [0.5, 2.0])
@pytest.mark.parametrize("exposure", [0.1, 0.5, 2.0])
def test_focus_does_not_depend_on_exposure_or_noise(exposure: float, blur: float) -> None:
    image = cv2.GaussianBlur(scene(np.random.default_rng(0)), (0, 0), blur)
    expected = measure_plane(image.astype(np.uint16))["focus"]
    assert measure_plane((image * exposure).astype(np.uint16))["focus"] == pytest.approx(expected, rel=0.03)
    assert measure_plane(photons(image * exposure))["focus"] == pytest.approx(expected, rel=0.1)


def test_an_empty_field_has_no_signal_and_no_focus() -> None:
    measured = measure_plane(photons(np.full((SIDE, SIDE), BACKGROUND)))
    assert measured["foreground"] < 0.001
    assert measured["debris"] == 0
    assert np.isnan(measured["focus"])
    assert measured["background"] == pytest.approx(BACKGROUND, abs=2)


@pytest.mark.parametrize("cells", [20, 200])
def test_foreground_is_the_share_of_cells(cells: int) -> None:
    image = scene(np.random.default_rng(0), cells)
    measured = measure_plane(photons(image))
    assert measured["foreground"] == pytest.approx((image > BACKGROUND).mean(), rel=0.15)
    assert measured["background"] == pytest.approx(BACKGROUND, rel=0.03)
    # A mean of 2 x 2 pixels spreads half as much as a pixel.
    assert measured["background_spread"] == pytest.approx(np.sqrt(BACKGROUND) / 2, rel=0.25)


def test_debris_is_the_share_of_bright_blobs() -> None:
    image = scene(np.random.default_rng(0))
    assert measure_plane(photons(image))["debris"] == 0
    cv2.circle(image, (200, 300), 20, 40000.0, -1)
    assert measure_plane(photons(image))["debris"] == pytest.approx(np.pi * 20**2 / SIDE**2, rel=0.15)


@pytest.mark.parametrize(("limit", "share"), [(4095, True), (65535, True), (4095 << 4, True), (4001, False)])
def test_only_the_top_of_a_detectors_range_counts_as_saturated(limit: int, share: bool) -> None:
    image = photons(np.full((SIDE, SIDE), 100.0))
    assert measure_plane(image)["at_max"] == 0
    image[:54] = limit
    measured = measure_plane(image)
    assert measured["max"] == limit
    assert measured["at_max"] == (pytest.approx(0.1) if share else 0)


@pytest.mark.parametrize("shift", [0, 4])
def test_bits_tell_how_the_values_were_stored(shift: int) -> None:
    image = np.random.default_rng(0).integers(0, 4096, (SIDE, SIDE)).astype(np.uint16) << np.uint16(shift)
    assert measure_plane(image)["bits"] == 4095 << shift


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (7, 7), (33, 70), (600, 1300)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("value", [0, 255])
def test_any_shape_can_be_measured(shape: tuple[int, int], dtype: type, value: int) -> None:
    measured = measure_plane(np.full(shape, value, dtype))
    assert measured["mean"] == pytest.approx(value)
    assert measured["background"] == value
    assert measured["foreground"] == measured["debris"] == 0
    assert measured["at_max"] == (1 if value else 0)


def test_a_dim_8_bit_picture_is_measured_like_its_16_bit_twin() -> None:
    image = photons(scene(np.random.default_rng(0), signal=20) / 50)
    small, large = measure_plane(image.astype(np.uint8)), measure_plane(image)
    assert {**small, "background_spread": 0} == pytest.approx({**large, "background_spread": 0}, abs=0.3, nan_ok=True)


def test_real_plates_have_nuclei_and_no_saturation(real_plates: Path) -> None:
    for path in sorted((real_plates / "leigh_ds_tt").rglob("*.png"))[::200]:
        measured = measure_field(read_image(path), ["DAPI", "TMRM", "both"])
        assert 0.01 < measured["foreground_DAPI"] < 0.5
        assert measured["at_max_DAPI"] == 0
        assert measured["background_DAPI"] <= 4
