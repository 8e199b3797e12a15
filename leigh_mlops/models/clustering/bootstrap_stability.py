"""Stability of clusters: whether other wells would give the same ones."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from leigh_mlops.models.clustering.k_means import fit_k_means
from leigh_mlops.scores.cluster_agreement import adjusted_rand

__all__ = ["BOOTSTRAPS", "Stability", "bootstrap_stability"]

BOOTSTRAPS = 20
"""Bootstraps of wells."""


class Stability(NamedTuple):
    """Agreement of clusters with those of bootstrapped wells.

    Attributes:
        rand: Adjusted Rand index of each bootstrap with the clusters, over all points, shape (B,).
        jaccard: Mean over the bootstraps of the largest overlap of each cluster with one of theirs, relative to
            their union (Hennig 2007), 0 to 1, shape (k,).
    """

    rand: npt.NDArray[np.float64]
    jaccard: npt.NDArray[np.float64]


def bootstrap_stability(
    points: npt.ArrayLike,
    wells: npt.ArrayLike,
    labels: npt.NDArray[np.int64],
    *,
    seed: int = 0,
    bootstraps: int = BOOTSTRAPS,
) -> Stability:
    """Cluster the fields of wells that are drawn with replacement, and assign all fields to those clusters.

    Args:
        points: Reduced features, shape (N, D).
        wells: Well of each field, shape (N,).
        labels: Clusters of the same fields from 0, by k-means of the same points, shape (N,).
        seed: Seed of draws and clusters.
        bootstraps: Number B of draws.

    Raises:
        LeighError: A draw has fewer different fields than there are clusters.
    """
    rows, k = np.asarray(points, np.float32), int(labels.max()) + 1
    names, index = np.unique(np.asarray(wells), return_inverse=True)
    members = [np.flatnonzero(index == number) for number in range(len(names))]
    rng = np.random.default_rng(seed)
    rand, jaccard = np.zeros(bootstraps), np.zeros((bootstraps, k))
    for draw in range(bootstraps):
        drawn = np.concatenate([members[well] for well in rng.integers(len(names), size=len(names))])
        again = fit_k_means(rows[drawn], k, seed=seed + draw).centres.assign(rows)
        rand[draw] = adjusted_rand(labels, again)
        jaccard[draw] = _best_overlaps(labels, again, k)
    return Stability(rand, jaccard.mean(0))


def _best_overlaps(labels: npt.NDArray[np.int64], again: npt.NDArray[np.int64], k: int) -> npt.NDArray[np.float64]:
    shared = np.zeros((k, k))
    np.add.at(shared, (labels, again), 1)
    union = shared.sum(1, keepdims=True) + shared.sum(0) - shared
    best: npt.NDArray[np.float64] = (shared / np.maximum(union, 1)).max(1)
    return best
