"""k-means in which each cluster has members."""

import warnings
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from leigh_mlops.errors import LeighError

__all__ = ["ITERATIONS", "Clustering", "KMeans", "fit_k_means"]

ITERATIONS = 20
"""Iterations of Caron et al. 2018."""

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class KMeans:
    """Centroids of clusters.

    Attributes:
        centroids: Shape (k, D).
    """

    centroids: Floats

    def assign(self, points: npt.ArrayLike) -> Labels:
        """Cluster of each point (N, D), from 0, shape (N,)."""
        from sklearn.metrics import pairwise_distances_argmin

        labels: Labels = pairwise_distances_argmin(np.asarray(points, np.float32), self.centroids).astype(np.int64)
        return labels


class Clustering(NamedTuple):
    """Clusters of some points.

    Attributes:
        centres: The centroids.
        labels: Cluster of each point from 0, shape (N,); each cluster has members.
    """

    centres: KMeans
    labels: Labels


def fit_k_means(points: npt.ArrayLike, k: int, *, seed: int = 0, starts: int = 1) -> Clustering:
    """Cluster points by scikit-learn's k-means; an empty cluster moves to the point farthest from its centroid.

    Args:
        points: Shape (N, D), finite.
        k: Number of clusters, 1 to N.
        seed: Seed of the starts (k-means++).
        starts: Number of starts, of which the best counts.

    Raises:
        LeighError: There are fewer points, or fewer different ones, than clusters.
    """
    from sklearn import cluster
    from sklearn.exceptions import ConvergenceWarning

    # Sums of single precision would depend on the order in which threads end.
    rows = np.asarray(points, np.float64)
    if not 1 <= k <= len(rows):
        raise LeighError(f"k is {k}, and there are {len(rows)} images; choose a k from 1 to {len(rows)}.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of fewer different points, which are refused below
        found = cluster.KMeans(k, n_init=starts, max_iter=ITERATIONS, random_state=seed % 2**32).fit(rows)
    centres = KMeans(found.cluster_centers_.astype(np.float32))
    labels = centres.assign(rows)
    if (made := len(np.unique(labels))) < k:
        raise LeighError(
            f"k is {k}, but the features of the {len(rows)} images make {made} clusters with members; lower k."
        )
    return Clustering(centres, labels)
