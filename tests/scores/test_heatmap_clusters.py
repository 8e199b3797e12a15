import numpy as np
from scipy.stats import fisher_exact

from leigh_mlops.scores.heatmap_clusters import MIN_MAPS, cluster_heatmaps, find_enrichments


def blobs(*centres: tuple[int, int], each: int = 20, noise: float = 0.05) -> np.ndarray:
    y, x = np.indices((16, 16))
    rng = np.random.default_rng(0)
    maps = [
        np.exp(-((y - cy + rng.normal(0, 1)) ** 2 + (x - cx + rng.normal(0, 1)) ** 2) / 8)
        for cy, cx in centres
        for _ in range(each)
    ]
    return np.array(maps) * rng.uniform(0.5, 5, (len(maps), 1, 1)) + rng.normal(0, noise, (len(maps), 16, 16))


def test_maps_of_one_kind_are_one_cluster() -> None:
    assert set(cluster_heatmaps(np.random.default_rng(1).normal(size=(60, 16, 16)))) == {1}
    assert set(cluster_heatmaps(blobs((8, 8)))) == {1}


def test_a_second_strategy_is_a_second_cluster() -> None:
    found = cluster_heatmaps(blobs((3, 3), (12, 12)))
    assert len(set(found[:20])) == len(set(found[20:])) == 1
    assert found[0] != found[-1]
    assert len(set(cluster_heatmaps(blobs((3, 3), (12, 12), (3, 12))))) == 3


def test_few_maps_are_not_clustered() -> None:
    assert set(cluster_heatmaps(blobs((3, 3), (12, 12), each=5))) == {1}
    assert MIN_MAPS > 10


def test_enrichments_are_fisher_s_over_wells() -> None:
    clusters = np.array([1] * 30 + [2] * 10)
    edge, even = np.arange(40) >= 29, np.arange(40) % 2 == 0
    found = find_enrichments(clusters, {"edge": edge, "even": even})
    assert (found[0].cluster, found[0].group, found[0].inside, found[0].wells) == (2, "edge", 10, 11)
    assert found[0].p == fisher_exact([[10, 0], [1, 29]], alternative="greater")[1]
    assert found[0].q < 0.001
    assert all(each.q > 0.05 for each in found[1:])
    assert find_enrichments(np.ones(40, int), {"edge": edge}) == []
