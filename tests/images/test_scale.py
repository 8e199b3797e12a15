from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from leigh_mlops.errors import LeighError
from leigh_mlops.images import IntensityScale, fit_scale, open_cache
from tests.conftest import table_of


@pytest.mark.parametrize("transform", ["linear", "log"])
def test_the_training_rows_get_mean_0_and_deviation_1(tmp_path: Path, transform: str) -> None:
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{number}.png" for number in range(6)]
    for path in paths:
        Image.fromarray(rng.integers(0, 200, (32, 32, 3), np.uint8)).save(path)
    cache = open_cache(table_of(paths), ("R", "G", "B"), 32, tmp_path / "c")
    rows = np.array([0, 2, 4])
    scale = fit_scale(cache, rows, transform, chunk=2)
    scaled = scale.apply(cache.raw(rows))
    np.testing.assert_allclose(scaled.mean(axis=(0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(scaled.std(axis=(0, 2, 3)), 1, atol=1e-5)
    others = scale.apply(cache.raw(np.array([1, 3, 5])))
    assert np.abs(others.mean(axis=(0, 2, 3))).max() > 1e-5


@pytest.mark.parametrize("transform", ["linear", "log"])
@pytest.mark.parametrize("full_scale", [255, 65535])
def test_invert_undoes_apply(transform: str, full_scale: int) -> None:
    scale = IntensityScale(transform, full_scale, (0.1, 0.2), (0.5, 0.01))
    raw = np.random.default_rng(0).uniform(0, full_scale, (3, 2, 4, 4)).astype(np.float32)
    np.testing.assert_allclose(scale.invert(scale.apply(raw)), raw, rtol=1e-4, atol=full_scale * 1e-5)
    assert IntensityScale.from_json(scale.to_json()) == scale


def test_an_empty_channel_stays_finite(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(tmp_path / "a.png")
    cache = open_cache(table_of([tmp_path / "a.png"]), ("R", "G", "B"), 32, tmp_path / "c")
    assert fit_scale(cache, np.array([0]), "linear").std == (1.0, 1.0, 1.0)


@pytest.mark.parametrize("values", [{}, {"transform": "linear", "full_scale": 255, "mean": [0], "std": [0]}])
def test_a_damaged_scale_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(LeighError, match="scale"):
        IntensityScale.from_json(values)
