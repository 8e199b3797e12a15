from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from leigh_mlops.errors import LeighError
from leigh_mlops.images import IntensityScale, PixelCache, fit_scale, open_cache
from leigh_mlops.images.scale import ControlReference
from tests.conftest import table_of


@pytest.fixture
def cache(tmp_path: Path) -> PixelCache:
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{number}.png" for number in range(6)]
    for path in paths:
        Image.fromarray(rng.integers(0, 200, (40, 40, 3), np.uint8)).save(path)
    return open_cache(table_of(paths), ("R", "G", "B"), 32, tmp_path / "c")


def adjusted(cache: PixelCache) -> PixelCache:
    """Three rows of one plate, three of another."""
    plates = np.array([[[5, 1.5], [0, 1], [9, 0.5]], [[0, 1], [3, 2], [1, 1.1]]], np.float32)
    return replace(cache, adjust=plates.repeat(3, axis=0))


@pytest.mark.parametrize("transform", ["linear", "log"])
def test_the_training_rows_get_mean_0_and_deviation_1(cache: PixelCache, transform: str) -> None:
    rows = np.array([0, 2, 4])
    scale = fit_scale(cache, rows, transform)
    scaled = scale.apply(cache.raw(rows))
    np.testing.assert_allclose(scaled.mean(axis=(0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(scaled.std(axis=(0, 2, 3)), 1, atol=1e-5)
    others = scale.apply(cache.raw(np.array([1, 3, 5])))
    assert np.abs(others.mean(axis=(0, 2, 3))).max() > 1e-5


@pytest.mark.parametrize("transform", ["linear", "log"])
def test_a_fit_is_the_direct_computation_before_and_after_an_adjustment(cache: PixelCache, transform: str) -> None:
    rows = np.array([0, 1, 3, 5, 5])
    fitted = []
    for each in (cache, adjusted(cache)):
        raw = each.pixels[rows].astype(np.float64) * each.unit
        if each.adjust is not None:
            offset, gain = np.moveaxis(each.adjust[rows].astype(np.float64), -1, 0)[..., None, None]
            raw = offset + gain * raw
        direct = raw / 255 if transform == "linear" else np.log1p(raw)
        scale = fit_scale(each, rows, transform)
        np.testing.assert_allclose(scale.mean, direct.mean(axis=(0, 2, 3)), rtol=1e-7)
        np.testing.assert_allclose(scale.std, direct.std(axis=(0, 2, 3)), rtol=1e-7)
        fitted.append(scale)
    assert np.abs(np.subtract(fitted[0].mean, fitted[1].mean)).min() > 1e-4


@pytest.mark.parametrize("transform", ["linear", "log"])
@pytest.mark.parametrize("full_scale", [255, 65535])
def test_invert_undoes_apply(transform: str, full_scale: int) -> None:
    scale = IntensityScale(transform, full_scale, (0.1, 0.2), (0.5, 0.01))
    raw = np.random.default_rng(0).uniform(0, full_scale, (3, 2, 4, 4)).astype(np.float32)
    np.testing.assert_allclose(scale.invert(scale.apply(raw)), raw, rtol=1e-4, atol=full_scale * 1e-5)


def test_a_scale_goes_through_json_with_its_controls_and_as_it_was_before_there_were_any() -> None:
    plain = IntensityScale("log", 255, (0.1, 0.2), (0.5, 0.01))
    controlled = replace(plain, controls=ControlReference((300.5, 12.0), (40.0, 0.0)))
    assert plain != controlled
    for scale in (plain, controlled):
        assert IntensityScale.from_json(scale.to_json()) == scale
    older = plain.to_json()
    del older["controls"]
    assert IntensityScale.from_json(older) == plain


def test_an_empty_channel_stays_finite(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(tmp_path / "a.png")
    cache = open_cache(table_of([tmp_path / "a.png"]), ("R", "G", "B"), 32, tmp_path / "c")
    assert fit_scale(cache, np.array([0]), "linear").std == (1.0, 1.0, 1.0)


GOOD = {"transform": "linear", "full_scale": 255, "mean": [0.0], "std": [1.0]}


@pytest.mark.parametrize(
    "values",
    [
        {},
        GOOD | {"std": [0.0]},
        GOOD | {"mean": [0.0, 0.0]},
        GOOD | {"controls": {}},
        GOOD | {"controls": {"mean": [1.0]}},
        GOOD | {"controls": {"mean": [1.0], "std": [-1.0]}},
        GOOD | {"controls": {"mean": [float("nan")], "std": [1.0]}},
        GOOD | {"controls": {"mean": [1.0, 2.0], "std": [1.0, 1.0]}},
        GOOD | {"controls": {"mean": [], "std": []}},
        GOOD | {"controls": [1.0]},
        GOOD | {"controls": "P1"},
        [GOOD],
    ],
)
def test_a_damaged_scale_is_refused(values: dict[str, object]) -> None:
    assert IntensityScale.from_json(GOOD).mean == (0.0,)
    with pytest.raises(LeighError, match="model package"):
        IntensityScale.from_json(values)


def test_what_lies_below_zero_comes_back() -> None:
    scale = IntensityScale("log", 255, (0.8,), (0.4,))
    raw = np.array([[[-3.0, -0.9, -1e-3, 0.0, 1e-3, 200.0]]], np.float32)
    scaled = scale.apply(raw)
    assert (np.diff(scaled) > 0).all()
    np.testing.assert_allclose(scale.invert(scaled), raw, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(scale.apply(raw[..., 3:]), scaled[..., 3:])
