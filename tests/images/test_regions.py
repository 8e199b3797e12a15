from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from leigh_mlops.images.regions import fit_thresholds, image_thresholds, otsu, region_features
from tests.training.conftest import prepared

CHANNELS = ("DAPI", "TMRM")


def field() -> np.ndarray:
    """A nucleus of 4 x 4 pixels within mitochondria of 8 x 8, in 16 x 16."""
    raw = np.full((2, 16, 16), 1.0, np.float32)
    raw[0, 6:10, 6:10] = 9.0
    raw[1, 4:12, 4:12] = 5.0
    return raw


def test_by_hand() -> None:
    found = region_features(field(), CHANNELS, [4.0, 3.0])
    assert set(found) == {
        "intensity_DAPI", "texture_DAPI", "intensity_TMRM", "texture_TMRM", "nuclei_area", "mitochondria_area",
        "nuclei_intensity_DAPI", "nuclei_intensity_TMRM", "mitochondria_intensity_DAPI", "mitochondria_intensity_TMRM",
    }  # fmt: skip
    assert found["intensity_DAPI"] == pytest.approx(1 + 8 * 16 / 256)
    assert found["nuclei_area"] == 16 / 256
    assert found["mitochondria_area"] == 64 / 256
    assert found["nuclei_intensity_TMRM"] == 5
    assert found["mitochondria_intensity_TMRM"] == 5
    assert found["mitochondria_intensity_DAPI"] == (16 * 9 + 48) / 64


def test_other_stains_are_called_by_their_channel() -> None:
    found = region_features(field(), ("ch1", "TMRM"), [4.0, 3.0])
    assert {"area_ch1", "ch1_intensity_ch1", "ch1_intensity_TMRM", "mitochondria_intensity_ch1"} <= set(found)
    assert "nuclei_area" not in found


def test_a_channel_that_joins_others_is_no_measure() -> None:
    raw = field()
    joined = region_features(np.stack([*raw, raw.sum(axis=0)]), (*CHANNELS, "DAPI+TMRM"), [4.0, 3.0, 5.0])
    assert joined == region_features(raw, CHANNELS, [4.0, 3.0])
    alone = region_features(raw[:1], ("A+B",), [4.0])
    assert "intensity_A+B" in alone


def test_intensity_is_that_of_the_same_cells_and_area_that_of_the_image() -> None:
    before, after = field(), field()
    after[1] = 2.0  # TMRM has gone
    own, same = (region_features(after, CHANNELS, [4.0, 3.0], cells=cells) for cells in (None, before))
    assert np.isnan(own["mitochondria_intensity_TMRM"])
    assert same["mitochondria_intensity_TMRM"] == 2
    assert own["mitochondria_area"] == same["mitochondria_area"] == 0


def test_texture_sees_structure_and_neither_gain_nor_a_flat_field() -> None:
    rng = np.random.default_rng(0)
    sharp = rng.random((1, 64, 64)).astype(np.float32) + 1
    blurred = cv2.GaussianBlur(sharp[0], (0, 0), 3)[None]
    texture = [region_features(raw, ("A",), [9.0])["texture_A"] for raw in (sharp, 7 * sharp, blurred)]
    assert texture[1] == pytest.approx(texture[0], rel=1e-5)
    assert texture[2] < 0.1 * texture[0]
    assert region_features(np.ones((1, 16, 16), np.float32), ("A",), [9.0])["texture_A"] == pytest.approx(0, abs=1e-6)
    assert np.isnan(region_features(np.zeros((1, 16, 16), np.float32), ("A",), [9.0])["texture_A"])


@pytest.mark.parametrize("seed", range(4))
def test_otsu_divides_as_opencv_does(seed: int) -> None:
    rng = np.random.default_rng(seed)
    plane = rng.choice([rng.normal(60, 9, 4096), rng.normal(150, 30, 4096)][0:2], axis=0, p=(0.8, 0.2))
    plane = np.where(rng.random(4096) < 0.2, rng.normal(150, 30, 4096), plane).clip(0, 255).astype(np.uint8)
    threshold, _ = cv2.threshold(plane.reshape(64, 64), 0, 255, cv2.THRESH_OTSU)
    values, counts = np.unique(plane, return_counts=True)
    np.testing.assert_array_equal(plane > otsu(values, counts), plane > threshold)


def test_otsu_takes_values_in_any_order_and_empty_ones() -> None:
    assert otsu(np.array([9.0, 1.0, 5.0, 2.0]), np.array([1, 5, 0, 5])) == 5.5
    assert otsu(np.array([3.0, 4.0]), np.array([7, 0])) == 3


def test_an_image_s_own_thresholds() -> None:
    assert image_thresholds(field()) == [5.0, 3.0]


def test_thresholds_of_training_fields_are_those_of_all_their_pixels(class_folders: Path) -> None:
    data = prepared(class_folders)
    rows = data.rows("train")
    raw = data.cache.raw(rows)
    expected = [otsu(*np.unique(raw[:, channel], return_counts=True)) for channel in range(raw.shape[1])]
    np.testing.assert_allclose(fit_thresholds(data.cache, rows), expected)


def test_thresholds_stand_at_the_level_of_the_controls(class_folders: Path) -> None:
    data = prepared(class_folders)
    rows, n = data.rows("train"), len(data.table)
    plain = fit_thresholds(data.cache, rows)
    levels = np.tile(np.array([20, 2], np.float32), (n, 3, 1))
    np.testing.assert_allclose(fit_thresholds(replace(data.cache, adjust=levels), rows), 20 + 2 * np.array(plain))
    levels[rows[0]] = [0, 1]  # a plate of another level
    mixed = replace(data.cache, adjust=levels)
    raw = mixed.raw(rows)
    expected = [otsu(*np.unique(raw[:, channel], return_counts=True)) for channel in range(raw.shape[1])]
    np.testing.assert_allclose(fit_thresholds(mixed, rows), expected, rtol=1e-5)
