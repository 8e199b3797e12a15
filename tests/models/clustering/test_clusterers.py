import numpy as np
import pytest

from leigh_mlops.errors import LeighError
from leigh_mlops.models.clustering import CLUSTERERS, bootstrap_stability, cluster_features, fit_k_means
from leigh_mlops.models.clustering.turtle_labels import label_by_margins
from leigh_mlops.scores.cluster_agreement import adjusted_rand

TRUTH = np.repeat([0, 1, 2], 30)


def features(strength: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (strength * rng.normal(size=(3, 20))[TRUTH] + rng.normal(size=(90, 20))).astype(np.float32)


@pytest.mark.parametrize("way", sorted(CLUSTERERS))
def test_each_way_finds_clear_clusters_and_none_in_noise(way: str) -> None:
    assert adjusted_rand(cluster_features(features(0), way, 3), TRUTH) < 0.1
    labels = cluster_features(features(3), way, 3, seed=1)
    assert adjusted_rand(labels, TRUTH) > 0.95
    assert labels.shape == (90,)
    np.testing.assert_array_equal(cluster_features(features(3), way, 3, seed=1), labels)


@pytest.mark.parametrize("way", sorted(CLUSTERERS))
def test_constant_features_are_refused(way: str) -> None:
    with pytest.raises(LeighError, match="constant"):
        cluster_features(np.ones((20, 4)), way, 3)


@pytest.mark.parametrize("way", sorted(set(CLUSTERERS) - {"hdbscan"}))
def test_more_clusters_than_images_are_refused(way: str) -> None:
    with pytest.raises(LeighError, match="k is 91, and there are 90 images"):
        cluster_features(features(1), way, 91)


def test_an_unknown_way_is_refused() -> None:
    with pytest.raises(LeighError, match="'ward' is not a way to cluster; choose one of k-means"):
        cluster_features(features(1), "ward", 3)


def test_two_spaces_help_where_one_is_noisy() -> None:
    both = label_by_margins([features(0.8), features(0.8, seed=5)], 3)
    assert adjusted_rand(both, TRUTH) > 0.9


def test_clear_clusters_are_stable_and_those_of_noise_are_not() -> None:
    wells = np.arange(90) // 3

    def stability(strength: float) -> tuple[float, float]:
        labels = fit_k_means(features(strength), 3).labels
        found = bootstrap_stability(features(strength), wells, labels)
        assert found.rand.shape == (20,)
        assert found.jaccard.shape == (3,)
        return float(np.median(found.rand)), float(found.jaccard.min())

    assert min(stability(4)) == 1
    assert max(stability(0)) < 0.8
