import numpy as np
import pytest
from sklearn.decomposition import PCA

from leigh_mlops.errors import LeighError
from leigh_mlops.models import PCABaseline, fit_pca

SHAPE = (2, 4, 4)


def low_rank(count, rank, seed=0):
    """Images of a fixed space of some rank, away from zero."""
    space = np.random.default_rng(9).normal(size=(rank, 32))
    weights = np.random.default_rng(seed).normal(size=(count, rank))
    return (3 + weights @ space).reshape(count, *SHAPE).astype(np.float32)


def cut(images, size):
    return [images[start : start + size] for start in range(0, len(images), size)]


@pytest.mark.parametrize("size", [1, 3, 7, 50])
def test_images_of_low_rank_are_reconstructed_however_they_are_cut(size):
    pca = fit_pca(iter(cut(low_rank(50, 3), size)), 3)
    held = low_rank(10, 3, seed=1)
    assert fit_pca(iter(cut(low_rank(50, 3), size)), 2).mse(held).mean() > 0.01
    assert pca.mse(held).shape == (10,)
    assert pca.mse(held).max() < 1e-8


def test_components_give_back_what_they_span():
    images, held = low_rank(50, 3), low_rank(10, 3, seed=1)
    less, enough = fit_pca([images], 2), fit_pca([images], 3)
    assert np.abs(less.reconstruct(held) - held).max() > 0.1
    np.testing.assert_allclose(enough.reconstruct(held), held, atol=1e-4)
    np.testing.assert_allclose(less.mse(held), np.square(less.reconstruct(held) - held).mean(axis=(1, 2, 3)))
    with pytest.raises(LeighError, match="have 32 numbers, an image here has 16"):
        less.reconstruct(held[:, :1])


def test_it_is_close_to_pca_of_all_at_once():
    images = low_rank(200, 3) + np.random.default_rng(2).normal(size=(200, *SHAPE)).astype(np.float32) * 0.1
    flat = images.reshape(200, -1)
    full = PCA(3).fit(flat)
    oracle = np.square(full.inverse_transform(full.transform(flat)) - flat).mean(1)
    np.testing.assert_allclose(fit_pca(cut(images, 20), 3).mse(images), oracle, rtol=0.02)


def test_arrays_bring_it_back():
    pca, images = fit_pca(cut(low_rank(20, 3), 5), 2), low_rank(4, 3)
    arrays = pca.to_arrays()
    assert np.array_equal(PCABaseline.from_arrays(arrays).mse(images), pca.mse(images))
    for name in arrays:
        with pytest.raises(LeighError, match="incomplete"):
            PCABaseline.from_arrays({key: array for key, array in arrays.items() if key != name})


def test_fewer_images_than_components_are_refused():
    with pytest.raises(LeighError, match="6 principal components need 6 images, but there are 5"):
        fit_pca(cut(low_rank(5, 3), 2), 6)
