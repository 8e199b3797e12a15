"""Clusters of heatmaps, which show whether a model uses several strategies, and where they are enriched."""

import warnings
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import fisher_exact

from leigh_mlops.scores.fdr import false_discovery_rate

__all__ = ["MIN_MAPS", "Enrichment", "cluster_heatmaps", "find_enrichments"]

MIN_MAPS = 12
"""Fewest heatmaps that are clustered."""

MAX_CLUSTERS = 6
_NEIGHBOURS = 10
_LEAST_SILHOUETTE = 0.5

Array = NDArray[np.float64]


class Enrichment(NamedTuple):
    """Enrichment of a cluster in a group of wells.

    Attributes:
        cluster: Number of the cluster.
        group: Name of the group.
        inside: Wells of the cluster in the group.
        wells: Wells of the group.
        odds_ratio: Odds of the cluster in the group over those elsewhere, above 1; infinite if it is only there.
        p: One-sided p of Fisher's exact test.
        q: p adjusted over all clusters and groups (Benjamini-Hochberg).
    """

    cluster: int
    group: str
    inside: int
    wells: int
    odds_ratio: float
    p: float
    q: float


def cluster_heatmaps(maps: ArrayLike, *, seed: int = 0) -> NDArray[np.int64]:
    """Cluster heatmaps by what they look like (spectral relevance analysis, Lapuschkin et al. 2019).

    Spectral clustering on the graph of nearest neighbours. Instead of by the gap of the graph's eigenvalues, which
    cuts a continuum into pieces, the number of clusters, up to 6, is chosen by the mean silhouette; without a clear
    structure (below 0.5, Kaufman & Rousseeuw 1990) all maps are one cluster.

    Args:
        maps: Heatmaps, shape (N, h, w) and small, such as 16 x 16; each counts by its shape, not by its strength.
        seed: Seed of the k-means step.

    Returns:
        Number of each map's cluster, 1 for the largest, shape (N,); all 1 for fewer than `MIN_MAPS`.
    """
    flat = np.asarray(maps, np.float64).reshape(len(np.asarray(maps)), -1)
    alike = np.ones(len(flat), np.int64)
    if len(flat) < MIN_MAPS:
        return alike
    from sklearn.metrics import silhouette_score

    lengths = np.linalg.norm(flat, axis=1, keepdims=True)
    points = flat / np.where(lengths > 0, lengths, 1.0)
    divisions = [each for each in _divide(points, seed) if len(np.unique(each)) > 1]
    scores = [float(silhouette_score(points, each)) for each in divisions]
    if max(scores, default=0.0) < _LEAST_SILHOUETTE:
        return alike
    found = divisions[int(np.argmax(scores))]
    order = np.argsort(-np.bincount(found), kind="stable")
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(1, len(order) + 1)
    numbers: NDArray[np.int64] = ranks[found]
    return numbers


def find_enrichments(clusters: NDArray[np.int64], groups: Mapping[str, NDArray[np.bool_]]) -> list[Enrichment]:
    """Test each cluster for enrichment in each group of wells; the surest first.

    Args:
        clusters: Cluster of each well, shape (W,).
        groups: Whether each well belongs to a group, shape (W,), by name.
    """
    tests = []
    numbers = np.unique(clusters)
    for number in numbers if len(numbers) > 1 else ():
        own = clusters == number
        for name, there in groups.items():
            table = [[np.sum(own & there), np.sum(own & ~there)], [np.sum(~own & there), np.sum(~own & ~there)]]
            ratio, p = fisher_exact(table, alternative="greater")
            tests.append(Enrichment(int(number), name, int(table[0][0]), int(there.sum()), float(ratio), float(p), 1.0))
    adjusted = false_discovery_rate([each.p for each in tests])
    return sorted((each._replace(q=float(q)) for each, q in zip(tests, adjusted, strict=True)), key=lambda each: each.p)


def _divide(points: Array, seed: int) -> list[NDArray[np.int64]]:
    """Divisions of points (N, P) into 2 to 6 clusters, by the graph of nearest neighbours."""
    from sklearn.cluster import SpectralClustering
    from sklearn.neighbors import kneighbors_graph

    near = kneighbors_graph(points, min(_NEIGHBOURS, len(points) - 1))
    affinity = (near + near.T) / 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # clusters without any common neighbour are the clearest ones
        return [
            SpectralClustering(count, affinity="precomputed", random_state=seed).fit_predict(affinity)
            for count in range(2, MAX_CLUSTERS + 1)
        ]
