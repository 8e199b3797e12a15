"""k-means in which an empty cluster is filled by a split of the largest one."""

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from leigh_mlops.errors import LeighError

__all__ = ["ITERATIONS", "Clustering", "KMeans", "fit_k_means"]

ITERATIONS = 20
"""Iterations of Caron et al. 2018."""

_CHUNK = 8192
_SPLIT = 1e-3  # of the spread of the points
_MORE_ROUNDS = 50
_START_POINTS = 100  # for each cluster

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
        return self._closest(points)[0]

    def distances(self, points: npt.ArrayLike) -> Floats:
        """Squared distance of each point (N, D) to each centroid, shape (N, k)."""
        rows = np.asarray(points, np.float32)
        lengths = np.square(rows).sum(1, keepdims=True) + np.square(self.centroids).sum(1)
        distances: Floats = np.maximum(lengths - 2 * rows @ self.centroids.T, 0)
        return distances

    def _closest(self, points: npt.ArrayLike) -> tuple[Labels, Floats]:
        """Closest centroid of each point, and a number that is larger the closer it is, shape (N,) each."""
        rows, half = np.asarray(points, np.float32), np.square(self.centroids).sum(1) / 2
        labels, near = np.empty(len(rows), np.int64), np.empty(len(rows), np.float32)
        for start in range(0, len(rows), _CHUNK):
            part = slice(start, start + _CHUNK)
            scores = rows[part] @ self.centroids.T - half
            labels[part] = scores.argmax(1)
            near[part] = scores.max(1)
        return labels, near

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the centroids as plain arrays."""
        return asdict(self)

    @classmethod
    def from_arrays(cls, arrays: dict[str, npt.NDArray[Any]]) -> "KMeans":
        """Create clusters from the arrays of :meth:`to_arrays`.

        Raises:
            LeighError: The array is missing or of another shape.
        """
        centroids = arrays.get("centroids")
        if centroids is None or centroids.ndim != 2:
            raise LeighError("The stored centroids are incomplete; train the model again.")
        return cls(np.asarray(centroids, np.float32))


class Clustering(NamedTuple):
    """Clusters of some points.

    Attributes:
        centres: The centroids.
        labels: Cluster of each point from 0, shape (N,); each cluster has members.
        splits: How many times a cluster was empty, and the largest one was split.
    """

    centres: KMeans
    labels: Labels
    splits: int


def fit_k_means(points: npt.ArrayLike, k: int, *, seed: int = 0, iterations: int = ITERATIONS) -> Clustering:
    """Cluster points by Lloyd's iterations from k-means++.

    Each empty cluster becomes a half of the largest one: two centroids a small random step to either side of it. All
    clusters have members at the end.

    Args:
        points: Shape (N, D), finite.
        k: Number of clusters, 1 to N.
        seed: Seed of the start and of the splits.
        iterations: Most iterations; they end earlier where no point changes its cluster.

    Raises:
        LeighError: There are fewer points, or fewer different ones, than clusters.
    """
    from sklearn.cluster import kmeans_plusplus

    rows = np.ascontiguousarray(points, np.float32)
    if not 1 <= k <= len(rows):
        raise LeighError(f"k is {k}, and there are {len(rows)} images; choose a k from 1 to {len(rows)}.")
    rng = np.random.default_rng(seed)
    # A start takes longer than all iterations, and needs no more points than tell the clusters apart.
    some = rows if len(rows) <= _START_POINTS * k else rows[rng.permutation(len(rows))[: _START_POINTS * k]]
    centroids, _ = kmeans_plusplus(some, k, random_state=seed % 2**32)
    spread = float(rows.std(0).max())
    labels, splits = np.full(len(rows), -1, np.int64), 0
    for done in range(iterations + _MORE_ROUNDS):
        assigned = KMeans(centroids).assign(rows)
        sizes = np.bincount(assigned, minlength=k)
        if sizes.all() and (done >= iterations or (assigned == labels).all()):
            return Clustering(KMeans(centroids), assigned, splits)
        labels, splits = assigned, splits + int(np.sum(sizes == 0))
        centroids = _split_largest(_means(rows, labels, sizes), sizes, rng, _SPLIT * spread)
    raise LeighError(
        f"k is {k}, but the features of the {len(rows)} images make {np.count_nonzero(sizes)} clusters with members; "
        "lower k."
    )


def _means(rows: Floats, labels: Labels, sizes: Labels) -> Floats:
    """Mean of the points of each cluster, shape (k, D); 0 for an empty one."""
    ones = np.ones(len(rows), np.float32)
    members = csr_array((ones, (labels, np.arange(len(rows)))), shape=(len(sizes), len(rows)))
    return np.asarray(members @ rows / np.maximum(sizes, 1)[:, None], np.float32)


def _split_largest(centroids: Floats, sizes: Labels, rng: np.random.Generator, step: float) -> Floats:
    left = sizes.copy()
    for empty in np.flatnonzero(sizes == 0):
        largest = int(left.argmax())
        move = np.float32(step) * rng.standard_normal(centroids.shape[1], dtype=np.float32)
        centroids[empty], centroids[largest] = centroids[largest] + move, centroids[largest] - move
        left[empty], left[largest] = left[largest] // 2, (left[largest] + 1) // 2
    return centroids
