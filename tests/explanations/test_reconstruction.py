import numpy as np
import pytest

from leigh_mlops.explanations.reconstruction import reconstruction_columns
from leigh_mlops.images import IntensityScale
from leigh_mlops.models import fit_pca

SCALE = IntensityScale("log", 255, (3.0, 4.0), (0.125, 0.0625))
CHANNELS = ("DAPI", "TMRM")


@pytest.fixture
def raw():
    """Raw intensities whose network units are of rank 2."""
    rng = np.random.default_rng(0)
    scaled = (rng.normal(size=(12, 2)) @ rng.normal(size=(2, 32))).astype(np.float32).reshape(12, 2, 4, 4)
    return SCALE.invert(scaled)


def arrays(raw, components):
    fitted = fit_pca([SCALE.apply(raw)], components)
    return {f"pca/{name}": array for name, array in fitted.to_arrays().items()}


def test_columns_stand_side_by_side_in_raw_intensity(raw):
    off = raw + np.array([3.0, -2.0], np.float32)[:, None, None]
    columns = reconstruction_columns(raw, off, CHANNELS, SCALE, arrays(raw, 2))
    assert len(columns) == 12
    for row in columns:
        assert row["reconstruction_error_DAPI"] == pytest.approx(3, rel=1e-4)
        assert row["reconstruction_error_TMRM"] == pytest.approx(2, rel=1e-4)
        assert row["reconstruction_pca_error_TMRM"] < 0.01
    worse = reconstruction_columns(raw, off, CHANNELS, SCALE, arrays(raw, 1))
    assert worse[0]["reconstruction_pca_error_TMRM"] > 0.01


def test_without_components_the_model_stands_alone(raw):
    (row,) = reconstruction_columns(raw[:1], raw[:1], CHANNELS, SCALE, {"training_digests": np.zeros(2)})
    assert row == {"reconstruction_error_DAPI": 0, "reconstruction_error_TMRM": 0}
