import numpy as np
import pytest
import torch

from leigh_mlops.errors import LeighError
from leigh_mlops.explanations import class_means
from leigh_mlops.explanations.latent_map import LatentMap, PooledLatents


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def map_of(features, cut=7):
    """The map of features (N, c), spread evenly over a latent of 2 x 2 places."""
    seen = PooledLatents()
    for batch in torch.from_numpy(features).split(cut):
        seen.update(batch[:, :, None, None].expand(-1, -1, 2, 2))
    return seen.fit()


@pytest.fixture
def features():
    """60 fields of 12 numbers, two directions strong, far from zero."""
    return 5 + random(60, 12) * np.array([9, 4, *[0.5] * 10])


def test_components_are_eigenvectors_of_the_covariance(features):
    values, vectors = np.linalg.eigh(np.cov(features.T))
    found = map_of(features)
    assert found.components.shape == (10, 12)
    np.testing.assert_allclose(found.components @ found.components.T, np.eye(10), atol=1e-12)
    np.testing.assert_allclose(found.variances, values[::-1][:10], rtol=1e-5)
    np.testing.assert_allclose(found.explained, values[::-1][:10] / values.sum(), rtol=1e-5)
    np.testing.assert_allclose(np.abs(found.components @ vectors[:, ::-1])[:2, :2], np.eye(2), atol=1e-5)


@pytest.mark.parametrize("shape", [(60, 12), (33, 400)])
def test_projection_has_the_training_variances_however_the_fields_are_cut(shape):
    features = random(*shape)
    whole, pieces = map_of(features, 999), map_of(features, 4)
    np.testing.assert_allclose(whole.components, pieces.components, atol=1e-10)
    coordinates = whole.project(torch.from_numpy(features))
    np.testing.assert_allclose(coordinates.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(np.cov(coordinates.T), np.diag(whole.variances), atol=1e-4)


def test_places_of_the_map_are_pooled():
    latents = torch.from_numpy(random(30, 4, 3, 5))
    seen, means = PooledLatents(), PooledLatents()
    seen.update(latents)
    means.update(latents.mean(dim=(2, 3)))
    np.testing.assert_array_equal(seen.fit().components, means.fit().components)
    np.testing.assert_allclose(seen.fit().project(latents), means.fit().project(latents.mean(dim=(2, 3))), atol=1e-12)


def test_distance_is_that_of_mahalanobis(features):
    found = map_of(features)
    new = random(5, 12, seed=1)
    inverse = found.components.T @ np.diag(1 / found.variances) @ found.components
    expected = [np.sqrt((x - found.mean) @ inverse @ (x - found.mean)) for x in new]
    np.testing.assert_allclose(found.distance(found.project(torch.from_numpy(new))), expected)


def test_training_distances_leave_the_field_itself_out(features):
    features = features[:, :2]
    brute = []
    for place, field in enumerate(features):
        others = np.delete(features, place, axis=0)
        away = field - others.mean(axis=0)
        brute.append(np.sqrt(away @ np.linalg.inv(np.cov(others.T)) @ away))
    found = map_of(features)
    in_sample = np.sort(found.distance(found.project(torch.from_numpy(features))))
    assert np.abs(in_sample - np.sort(brute)).max() > 0.1
    np.testing.assert_allclose(found.distances, np.sort(brute), rtol=1e-4)


def test_the_limit_is_the_distance_that_a_share_of_the_training_fields_does_not_exceed(features):
    found = map_of(features)
    assert (found.distances <= found.limit(0.9)).mean() == pytest.approx(0.9, abs=0.01)
    far = torch.from_numpy(features.mean(axis=0) + 100 * found.components[:1])
    assert found.columns(far)[0]["latent_distance"] > found.limit()


def test_new_fields_like_those_of_training_seldom_lie_outside():
    spread = 0.8 ** np.arange(60)
    training, new = random(60, 60) * spread, torch.from_numpy(random(4000, 60, seed=1) * spread)
    found = map_of(training)
    distances = found.distance(found.project(new))
    in_sample = found.distance(found.project(torch.from_numpy(training)))
    assert (distances > np.quantile(in_sample, 0.99)).mean() > 0.05
    assert (distances > found.limit(0.99)).mean() < 0.03


def test_equal_latents_have_no_component():
    found = map_of(np.ones((9, 3)))
    assert found.components.shape == (0, 3)
    assert found.columns(torch.ones(2, 3)) == [{"latent_distance": 0.0}] * 2
    stored = LatentMap.from_arrays(found.to_arrays())
    assert stored is not None
    assert stored.components.shape == (0, 3)


def test_latents_of_one_direction_have_one_component():
    found = map_of(random(30, 1) @ random(1, 6, seed=1))
    assert found.explained.tolist() == [pytest.approx(1)]


def test_few_fields_span_few_components():
    assert len(map_of(random(7, 12)).variances) == 2
    assert len(map_of(random(2, 12)).variances) == 0


def test_arrays_bring_it_back(features):
    found = map_of(features)
    arrays = found.to_arrays()
    assert all(name.startswith("latents/") for name in arrays)
    again = LatentMap.from_arrays(arrays | {"training_digests": np.zeros(3)})
    assert again is not None
    new = torch.from_numpy(random(3, 12, seed=2))
    assert again.columns(new) == found.columns(new)
    assert LatentMap.from_arrays({"training_digests": np.zeros(3)}) is None
    with pytest.raises(LeighError, match="incomplete"):
        LatentMap.from_arrays({name: array for name, array in arrays.items() if name != "latents/mean"})
    with pytest.raises(LeighError, match="incomplete"):
        LatentMap.from_arrays(arrays | {"latents/mean": np.zeros(5)})


def test_columns_are_numbered_from_one(features):
    (columns,) = map_of(features).columns(torch.zeros(1, 12))
    assert list(columns) == [*(f"latent_{number}" for number in range(1, 11)), "latent_distance"]
    assert all(isinstance(value, float) for value in columns.values())


def test_the_pass_of_the_class_means_gives_the_map_of_all_latents(flow, images):
    batches = [(images[:25], torch.zeros(25, dtype=torch.int64)), (images[25:], torch.ones(15, dtype=torch.int64))]
    seen, own = PooledLatents(), PooledLatents()
    means = class_means(flow, batches, seen)
    torch.testing.assert_close(means["true"], class_means(flow, batches)["true"])
    own.update(flow.encode(images))
    for name, array in seen.fit().to_arrays().items():
        np.testing.assert_allclose(array, own.fit().to_arrays()[name], atol=1e-6)


def test_what_cannot_be_fitted():
    with pytest.raises(ValueError, match="no latent"):
        PooledLatents().fit()
    with pytest.raises(ValueError, match="NaN or infinite"):
        map_of(np.full((9, 3), np.nan))
