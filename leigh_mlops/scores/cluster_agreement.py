"""Agreement of two divisions of the same points into clusters, and with the positions of wells."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment

__all__ = ["PositionAgreement", "adjusted_rand", "match_clusters", "normalised_information", "position_agreement"]

SHUFFLES = 200

Labels = NDArray[np.int64]


class PositionAgreement(NamedTuple):
    """Normalised mutual information of clusters with a position, and of wells shuffled within their class.

    Attributes:
        information: Of the clusters as they are, 0 to 1.
        low: 2.5 % quantile of shuffled wells.
        high: 97.5 % quantile of shuffled wells.
    """

    information: float
    low: float
    high: float

    @property
    def is_by_chance(self) -> bool:
        """Return whether clusters follow the position no more than shuffled ones."""
        return self.information <= self.high


def normalised_information(first: ArrayLike, second: ArrayLike) -> float:
    """Mutual information of two divisions over the mean of their entropies, 0 to 1 for equal ones; names do not matter.

    Args:
        first: Cluster, class, row or column of each point, shape (N,).
        second: Another division of the same points, shape (N,).

    Returns:
        0 where one division is a single group, but 1 where both are.

    Example:
        >>> normalised_information([0, 0, 1, 1], [5, 5, 2, 2])
        1.0
    """
    table = _contingency(first, second)
    if table.shape == (1, 1):
        return 1.0
    shares = table / table.sum()
    expected = np.outer(shares.sum(1), shares.sum(0))
    there = shares > 0
    mutual = float((shares[there] * np.log(shares[there] / expected[there])).sum())
    entropies = [-float((side * np.log(side)).sum()) for side in (shares.sum(1), shares.sum(0))]
    return min(1.0, max(0.0, mutual / (sum(entropies) / 2)))


def adjusted_rand(first: ArrayLike, second: ArrayLike) -> float:
    """Share of pairs on which two divisions agree, adjusted for chance (Hubert & Arabie 1985).

    Args:
        first: Cluster of each point, shape (N,).
        second: Another division of the same points, shape (N,).

    Returns:
        1 for equal divisions, about 0 for unrelated ones; 1 where neither has any choice.

    Example:
        >>> adjusted_rand([0, 0, 1, 1], [1, 1, 0, 0])
        1.0
    """
    table = _contingency(first, second)
    pairs, rows, columns, every = (float((each * (each - 1) / 2).sum()) for each in (
        table, table.sum(1), table.sum(0), table.sum()
    ))  # fmt: skip
    chance = rows * columns / every if every else 0.0
    most = (rows + columns) / 2
    return 1.0 if most == chance else (pairs - chance) / (most - chance)


def match_clusters(former: Labels, latter: Labels, k: int) -> Labels:
    """Number, for each cluster of a division, of the cluster of a former one with which it shares most points.

    Args:
        former: Cluster of each point from 0 to k - 1, shape (N,).
        latter: Clusters of the same points, shape (N,).
        k: Number of clusters.

    Returns:
        A permutation, shape (k,): the sum of shared points is largest (Kuhn 1955).

    Example:
        >>> match_clusters(np.array([0, 0, 1, 2]), np.array([2, 2, 0, 1]), 3).tolist()
        [1, 2, 0]
    """
    shared = np.zeros((k, k), np.int64)
    np.add.at(shared, (latter, former), 1)
    numbers: Labels = linear_sum_assignment(-shared)[1].astype(np.int64)
    return numbers


def position_agreement(
    clusters: ArrayLike, positions: ArrayLike, classes: ArrayLike | None = None, *, seed: int = 0
) -> PositionAgreement:
    """Compare clusters of wells with a position, against wells shuffled within their class.

    Within a class, clusters that follow cells have no reason to follow the position. The information is the mean over
    the classes, weighed by their wells.

    Args:
        clusters: Cluster of each well, shape (W,).
        positions: Row, column or plate of the same wells, shape (W,).
        classes: Class of each well, shape (W,); ``None`` for one class.
        seed: Seed of the shuffled wells.
    """
    found, places = np.asarray(clusters), np.asarray(positions)
    groups = np.zeros(len(found)) if classes is None else np.asarray(classes)
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    rng = np.random.default_rng(seed)
    information = _mean_information(found, places, members)
    drawn = []
    for _ in range(SHUFFLES):
        shuffled = found.copy()
        for own in members:
            shuffled[own] = rng.permutation(found[own])
        drawn.append(_mean_information(shuffled, places, members))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return PositionAgreement(information, float(low), float(high))


def _mean_information(clusters: NDArray[np.generic], places: NDArray[np.generic], members: list[Labels]) -> float:
    """Mean over groups of wells; a group in one cluster follows no position."""
    each = [
        0.0 if len(np.unique(clusters[own])) == 1 else normalised_information(clusters[own], places[own])
        for own in members
    ]
    return float(np.average(each, weights=[len(own) for own in members]))


def _contingency(first: ArrayLike, second: ArrayLike) -> NDArray[np.float64]:
    """Points in each pair of groups, shape (A, B)."""
    one, other = np.asarray(first), np.asarray(second)
    if one.shape != other.shape or one.ndim != 1 or not one.size:
        raise ValueError(f"divisions of shapes {one.shape} and {other.shape} do not divide the same points")
    rows, columns = (np.unique(each, return_inverse=True)[1] for each in (one, other))
    table = np.zeros((rows.max() + 1, columns.max() + 1))
    np.add.at(table, (rows, columns), 1)
    return table
