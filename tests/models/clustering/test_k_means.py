from functools import partial

import numpy as np
import pytest
from sklearn import cluster

from leigh_mlops.errors import LeighError
from leigh_mlops.models.clustering import KMeans, fit_k_means
from leigh_mlops.scores.cluster_agreement import adjusted_rand


def blobs(count: int = 5, each: int = 40) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    truth = np.repeat(np.arange(count), each)
    return 10 * rng.normal(size=(count, 8))[truth] + rng.normal(size=(len(truth), 8)), truth


def test_blobs_are_found_and_seeds_repeat() -> None:
    points, truth = blobs()
    found, labels = fit_k_means(points, 5, seed=1)
    assert adjusted_rand(labels, truth) == 1
    assert (found.assign(points) == labels).all()
    np.testing.assert_array_equal(fit_k_means(points, 5, seed=1).centres.centroids, found.centroids)


def test_an_empty_cluster_gets_members(monkeypatch: pytest.MonkeyPatch) -> None:
    points, _ = blobs(2, 50)
    far = np.concatenate([points[:3], np.full((4, 8), 1e6)]).astype(np.float32)
    assert len(np.unique(KMeans(far).assign(points.astype(np.float32)))) < 7
    started = partial(cluster.KMeans, init=far)
    monkeypatch.setattr(cluster, "KMeans", started)
    _, labels = fit_k_means(points, 7)
    assert np.bincount(labels, minlength=7).min() > 0


def test_as_many_clusters_as_points_are_allowed_and_no_more() -> None:
    points, _ = blobs(3, 4)
    assert sorted(fit_k_means(points, 12).labels) == list(range(12))
    with pytest.raises(LeighError, match="k is 13, and there are 12 images; choose a k from 1 to 12"):
        fit_k_means(points, 13)
    with pytest.raises(LeighError, match="k is 0"):
        fit_k_means(points, 0)


def test_fewer_different_points_than_clusters_are_refused() -> None:
    with pytest.raises(LeighError, match="k is 4, but the features of the 30 images make 3 clusters"):
        fit_k_means(np.eye(3).repeat(10, axis=0), 4)
