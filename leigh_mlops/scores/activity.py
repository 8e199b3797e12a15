"""Activity of a treatment: whether its replicates look more alike than they look like controls."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["average_precisions", "mean_average_precision"]

NULL_DRAWS = 2000
"""Random rankings with which a mean average precision is compared; the least p is about 1 / 2000."""

Array = NDArray[np.float64]


def average_precisions(profiles: Array, controls: Array) -> Array:
    """Average precision with which each replicate finds the others among controls, by cosine similarity.

    Args:
        profiles: Profiles of the replicates, centred on the controls, shape (n, P), n at least 2.
        controls: Profiles of the negative controls, shape (S, P), S at least 1.

    Returns:
        Shape (n,), above 0 and at most 1, which means that all other replicates are nearer than any control.

    Example:
        >>> average_precisions(np.array([[1.0, 0.1], [1.0, 0.0]]), np.array([[-1.0, 0.0], [0.0, 1.0]])).tolist()
        [1.0, 1.0]
    """
    unit = _unit(np.concatenate([profiles, controls]))
    n, found = len(profiles), []
    for query in range(n):
        others = np.delete(np.arange(len(unit)), query)
        order = np.argsort(-(unit[others] @ unit[query]), kind="stable")
        found.append(_average_precision(others[order] < n))
    return np.asarray(found)


def mean_average_precision(profiles: Array, controls: Array, *, seed: int = 0) -> tuple[float, float]:
    """Mean average precision of replicates against controls (Kalinin et al. 2025), and its p.

    p is the share of random rankings that do as well. It treats replicates as independent, and is optimistic
    with few of them.

    Args:
        profiles: Profiles of the replicates, centred on the controls, shape (n, P).
        controls: Profiles of the negative controls, shape (S, P).
        seed: Seed of the random rankings.

    Returns:
        The mean and p, both 0 to 1; NaN for fewer than two replicates or without a control.
    """
    if len(profiles) < 2 or not len(controls):
        return float("nan"), float("nan")
    mean = float(average_precisions(profiles, controls).mean())
    null = _null_means(len(profiles), len(controls), seed)
    return mean, float((1 + np.sum(null >= mean - 1e-12)) / (1 + len(null)))


@lru_cache(maxsize=256)
def _null_means(replicates: int, controls: int, seed: int) -> Array:
    """Mean average precisions of random rankings, shape (NULL_DRAWS,)."""
    rng = np.random.default_rng(seed)
    hits = np.arange(replicates - 1 + controls) < replicates - 1
    means = np.zeros(NULL_DRAWS)
    for _ in range(replicates):
        drawn = rng.permuted(np.broadcast_to(hits, (NULL_DRAWS, hits.size)), axis=1)
        ranks = np.cumsum(drawn, axis=1) / np.arange(1, hits.size + 1)
        means += (ranks * drawn).sum(axis=1) / (replicates - 1) / replicates
    return means


def _average_precision(hits: NDArray[np.bool_]) -> float:
    """Average precision of a ranking, the nearest first."""
    precision = np.cumsum(hits) / np.arange(1, hits.size + 1)
    return float(precision[hits].mean())


def _unit(vectors: Array) -> Array:
    lengths: Array = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1.0)
