import numpy as np
import pytest
from sklearn.decomposition import PCA

from leigh_mlops.errors import LeighError
from leigh_mlops.models.clustering import fit_reduction


@pytest.mark.parametrize("shape", [(200, 12), (30, 80)])
def test_reduction_is_whitened_components_of_length_one(shape: tuple[int, int]) -> None:
    rows = np.random.default_rng(0).normal(size=shape) @ np.diag(np.linspace(1, 9, shape[1])) + 5
    theirs = PCA(6, whiten=True, svd_solver="full").fit_transform(rows)
    found = fit_reduction(rows, 6).apply(rows)
    theirs /= np.linalg.norm(theirs, axis=1, keepdims=True)
    np.testing.assert_allclose(np.abs(found), np.abs(theirs), atol=2e-3)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)


def test_components_are_at_most_what_the_rows_span() -> None:
    rng = np.random.default_rng(1)
    assert fit_reduction(rng.normal(size=(10, 40))).components.shape == (9, 40)
    flat = rng.normal(size=(50, 3)) @ rng.normal(size=(3, 20))
    assert fit_reduction(flat).components.shape == (3, 20)


def test_another_number_of_features_is_refused() -> None:
    rows = np.random.default_rng(2).normal(size=(20, 5))
    with pytest.raises(LeighError, match="takes 5 features"):
        fit_reduction(rows).apply(rows[:, :4])


@pytest.mark.parametrize("value", [0.0, 3.3])
def test_constant_features_are_refused(value: float) -> None:
    with pytest.raises(LeighError, match="The features of the 8 images are constant"):
        fit_reduction(np.full((8, 4), value, np.float32))
    with pytest.raises(LeighError, match="features of 1 images"):
        fit_reduction(np.ones((1, 4)))
