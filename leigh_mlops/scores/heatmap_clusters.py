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
_LEAST_GAP = 0.1  # of the eigenvalues, which lie between 0 and 2: a smaller gap is no division

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

    Spectral clustering on the graph of nearest neighbours. The number of clusters is where the
    eigenvalues of its Laplacian have their largest gap, up to 6; without a clear gap all maps are one cluster.

    Args:
        maps: Heatmaps, shape (N, h, w) and small, such as 16 x 16; each counts by its shape, not by its strength.
        seed: Seed of the k-means step.

    Returns:
        Number of each map's cluster, 1 for the largest, shape (N,); all 1 for fewer than `MIN_MAPS`.
    """
    flat = np.asarray(maps, np.float64).reshape(len(np.asarray(maps)), -1)
    if len(flat) < MIN_MAPS:
        return np.ones(len(flat), np.int64)
    from sklearn.cluster import SpectralClustering

    lengths = np.linalg.norm(flat, axis=1, keepdims=True)
    affinity = _neighbour_graph(flat / np.where(lengths > 0, lengths, 1.0))
    count = _count_clusters(affinity)
    if count == 1:
        return np.ones(len(flat), np.int64)
    model = SpectralClustering(count, affinity="precomputed", assign_labels="kmeans", random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # clusters without any common neighbour are the clearest ones
        found = model.fit_predict(affinity)
    order = np.argsort(-np.bincount(found, minlength=count), kind="stable")
    ranks = np.empty(count, np.int64)
    ranks[order] = np.arange(1, count + 1)
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


def _neighbour_graph(points: Array) -> Array:
    """Symmetric graph of nearest neighbours, shape (N, N): 1 for mutual neighbours, 0.5 for neighbours one way."""
    from sklearn.neighbors import kneighbors_graph

    near = kneighbors_graph(points, min(_NEIGHBOURS, len(points) - 1)).toarray()
    graph: Array = (near + near.T) / 2
    return graph


def _count_clusters(affinity: Array) -> int:
    """Number of clusters by the largest gap between the least eigenvalues of the normalised Laplacian."""
    from scipy.linalg import eigh

    root = 1 / np.sqrt(affinity.sum(axis=1))
    laplacian = np.eye(len(affinity)) - root[:, None] * affinity * root
    values = eigh(laplacian, eigvals_only=True, subset_by_index=(0, min(MAX_CLUSTERS, len(affinity) - 1)))
    gaps = np.diff(values)
    return int(gaps.argmax()) + 1 if gaps.max() > _LEAST_GAP else 1
