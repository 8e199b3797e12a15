from pathlib import Path

import numpy as np
import tifffile

from leigh_mlops.images import open_cache, white_levels
from tests.conftest import table_of


def test_the_level_is_twice_the_brightest_and_no_hot_pixel_decides(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.tif" for number in range(3)]
    for path in paths:
        image = np.random.default_rng(0).integers(0, 1001, (224, 224), np.uint16)
        image[5, 5] = 60_000
        tifffile.imwrite(path, image)
    cache = open_cache(table_of(paths, ("R",)), ("R",), 224, tmp_path / "c")
    assert cache.pixels.max() == 60_000
    np.testing.assert_allclose(white_levels(cache, np.arange(3)), [2000], rtol=0.01)
    assert white_levels(cache, np.array([1])).shape == (1,)


def test_black_fields_have_a_level_above_zero(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "0.tif", np.zeros((32, 32), np.uint16))
    cache = open_cache(table_of([tmp_path / "0.tif"], ("R",)), ("R",), 32, tmp_path / "c")
    assert white_levels(cache, np.array([0])) > 0
