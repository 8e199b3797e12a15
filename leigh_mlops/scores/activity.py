"""Activity and consistency: whether replicates look more alike than they look like controls, or like others."""

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "chance_precision",
    "group_precisions",
    "mean_average_precision",
    "mean_group_precisions",
]

NULL_DRAWS = 2000
"""Random groups with which a mean average precision is compared; the least p is about 1 / 2000."""

_CHUNK = 256  # queries whose similarities are held at once

Array = NDArray[np.float64]


def mean_average_precision(profiles: Array, controls: Array, *, seed: int = 0) -> tuple[float, float]:
    """Mean average precision of replicates against controls (Kalinin et al. 2025), and its p.

    p is the share of random groups of as many replicates and controls that do as well. Unlike copairs' p, for which
    one ranking stands for all replicates, it is no larger than needed, and unlike independent rankings it
    respects that similarity is mutual.

    Args:
        profiles: Profiles of the replicates, centred on the controls, shape (n, P).
        controls: Profiles of the negative controls, shape (S, P).
        seed: Seed of the random groups.

    Returns:
        The mean and p, both 0 to 1; NaN for fewer than two replicates or without a control.
    """
    if len(profiles) < 2 or not len(controls):
        return float("nan"), float("nan")
    ranks = _mutual_ranks(np.concatenate([profiles, controls]))
    return _test_group(ranks, np.arange(len(profiles)), seed)


def mean_group_precisions(profiles: Array, groups: NDArray[np.int64], *, seed: int = 0) -> tuple[Array, Array]:
    """Mean average precision of each group of profiles among all others, and its p by random groups of its size.

    Args:
        profiles: Shape (n, P).
        groups: Group of each profile, from 0 to G - 1; -1 for none, shape (n,).
        seed: Seed of the random groups.

    Returns:
        Means and p, both of shape (G,); NaN for a group of one profile, or if all are of it.
    """
    count = int(groups.max(initial=-1)) + 1
    found = np.full((2, count), np.nan)
    ranks = _mutual_ranks(profiles)
    for group in range(count):
        members = np.flatnonzero(groups == group)
        if 1 < len(members) < len(groups):
            found[:, group] = _test_group(ranks, members, seed)
    return found[0], found[1]


def group_precisions(profiles: Array, groups: NDArray[np.int64]) -> Array:
    """Average precision with which each profile finds those of its group among all others, by cosine similarity.

    Args:
        profiles: Shape (n, P).
        groups: Group of each profile, shape (n,); -1 for one that is in none and only stands among the others.

    Returns:
        Shape (n,); not a number for a profile that is alone in its group, or in none.

    Example:
        >>> group_precisions(np.array([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]]), np.array([0, 0, 1])).tolist()
        [1.0, 1.0, nan]
    """
    unit, found = _unit(profiles), np.full(len(profiles), np.nan)
    counts = np.bincount(groups[groups >= 0], minlength=1)
    queries = np.flatnonzero((groups >= 0) & (counts[groups] > 1))
    for start in range(0, len(queries), _CHUNK):
        rows = queries[start : start + _CHUNK]
        similarity = unit[rows] @ unit.T
        similarity[np.arange(len(rows)), rows] = -np.inf
        order = np.argsort(-similarity, axis=1, kind="stable")[:, :-1]
        hits = groups[order] == groups[rows][:, None]
        precision = np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)
        found[rows] = (precision * hits).sum(axis=1) / hits.sum(axis=1)
    return found


def chance_precision(relevant: ArrayLike, others: ArrayLike) -> Array:
    """Mean of the average precision of random rankings.

    Args:
        relevant: Number of profiles to be found, at least 1, of any shape.
        others: Number of those among which they are, of the same shape.

    Example:
        >>> chance_precision([1, 1], [0, 1]).tolist()
        [1.0, 0.75]
    """
    found, total = np.asarray(relevant), np.add(relevant, others)
    harmonic = np.cumsum(1 / np.arange(1, total.max(initial=1) + 1))[total - 1]
    chance: Array = (harmonic + (found - 1) / np.maximum(1, total - 1) * (total - harmonic)) / total
    return chance


def _mutual_ranks(profiles: Array) -> NDArray[np.int64]:
    """Rank of each profile in the ranking by each other, from 1, by cosine similarity; its own is n, shape (n, n)."""
    unit = _unit(profiles)
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, -np.inf)
    order = np.argsort(-similarity, axis=1, kind="stable")
    ranks = np.empty(order.shape, np.int64)
    np.put_along_axis(ranks, order, np.arange(1, len(unit) + 1)[None], axis=1)
    return ranks


def _test_group(ranks: NDArray[np.int64], members: NDArray[np.int64], seed: int) -> tuple[float, float]:
    """Mean average precision of a group, and the share of random groups of its size that do as well."""
    null = _group_means(ranks, _random_groups(len(ranks), len(members), seed))
    mean = float(_group_means(ranks, members[None])[0])
    return mean, float((1 + np.sum(null >= mean - 1e-12)) / (1 + len(null)))


@lru_cache(maxsize=64)
def _random_groups(total: int, size: int, seed: int) -> NDArray[np.int64]:
    """Members of random groups, shape (NULL_DRAWS, size)."""
    rng = np.random.default_rng(seed)
    return rng.random((NULL_DRAWS, total)).argpartition(size - 1, axis=1)[:, :size].copy()


def _group_means(ranks: NDArray[np.int64], members: NDArray[np.int64]) -> Array:
    """Mean average precisions of D groups, members of shape (D, m), shape (D,)."""
    count = members.shape[1]
    # The own rank is the largest.
    found = np.sort(ranks[members[:, :, None], members[:, None, :]], axis=2)[:, :, :-1]
    means: Array = (np.arange(1, count) / found).mean(axis=(1, 2))
    return means


def _unit(vectors: Array) -> Array:
    lengths: Array = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1.0)
