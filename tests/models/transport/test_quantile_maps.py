import numpy as np
import pytest
import torch

from leigh_mlops.models.transport.quantile_maps import MapTables, fit_quantile_maps


@pytest.mark.parametrize("knots", [12, 300])  # segments are counted in one byte, or in two
def test_tables_map_as_interpolation_does_and_back(knots):
    rng = np.random.default_rng(0)
    source, target = (np.sort(rng.normal(size=(3, knots)), axis=1) * scale for scale in (1, 4))
    maps = fit_quantile_maps(source, target, np.array([1.0, 0.5, 0.0]))
    numbers = 2 * rng.normal(size=(2, 3, 50))
    expected = numbers.copy()
    for row in range(3):
        real = maps.cells[row] <= 4096
        at, values = maps.knots[row][real], maps.values[row][real].astype(np.float64)
        expected[:, row] += np.interp(numbers[:, row], at, values - at)
    tables = MapTables(maps, torch.float64)
    mapped = tables.map(torch.from_numpy(numbers))
    assert np.abs(expected - numbers).max() > 1
    np.testing.assert_allclose(mapped, expected, atol=1e-9)
    np.testing.assert_allclose(tables.map_back(mapped), numbers, atol=1e-9)
