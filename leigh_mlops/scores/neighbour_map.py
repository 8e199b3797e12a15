"""Maps of neighbours: places in a plane at which rows that are alike lie close together."""

import importlib.util
import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["MOST_ROWS", "neighbour_map", "sample_groups"]

MOST_ROWS = 2000
"""Rows that a map has at most, so that it takes seconds."""

MIN_ROWS = 12
"""Fewest rows with which neighbours say anything."""

_PERPLEXITY, _NEIGHBOURS = 30.0, 15

Array = NDArray[np.float64]


def neighbour_map(rows: Array, *, seed: int = 0) -> tuple[Array, str] | None:
    """Place rows so that neighbours stay neighbours, by UMAP where umap-learn is installed, else by t-SNE.

    t-SNE (van der Maaten and Hinton 2008) is scikit-learn's, with a perplexity of 30, or a third of fewer rows.
    Distances between far groups, and sizes of groups, mean nothing in either.

    Args:
        rows: Shape (n, P), finite, n at most about 2,000.
        seed: Seed.

    Returns:
        Places, shape (n, 2), and ``UMAP`` or ``t-SNE``; None for fewer than 12 rows, or if all are equal.
    """
    if len(rows) < MIN_ROWS or not np.ptp(rows, axis=0).any():
        return None
    if importlib.util.find_spec("umap") is not None:
        return _umap(rows, seed), "UMAP"
    from sklearn.manifold import TSNE

    perplexity = min(_PERPLEXITY, (len(rows) - 1) / 3)
    places = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(rows)
    return np.asarray(places, np.float64), "t-SNE"


def sample_groups(groups: Sequence[object], most: int, *, seed: int = 0) -> NDArray[np.int64]:
    """Row numbers of a random sample in which each group has as many rows as any other, as far as it has them.

    Args:
        groups: Group of each row, such as its well, N of them.
        most: Number of rows; all are taken if there are fewer.
        seed: Seed.

    Returns:
        Ascending, shape (min(N, most),).

    Example:
        >>> sample_groups(["A01"] * 8 + ["A02", "A03"], 3).tolist()[1:]
        [8, 9]
    """
    order = np.random.default_rng(seed).permutation(len(groups))
    taken: dict[object, int] = {}
    rounds = np.empty(len(groups), np.int64)
    for row in order:
        rounds[row] = taken.get(groups[row], 0)
        taken[groups[row]] = int(rounds[row]) + 1
    return np.sort(order[np.argsort(rounds[order], kind="stable")[:most]])


def _umap(rows: Array, seed: int) -> Array:
    import umap

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a seed leaves one thread, of which it warns
        fitted = umap.UMAP(n_neighbors=min(_NEIGHBOURS, len(rows) - 1), random_state=seed, n_jobs=1)
        return np.asarray(fitted.fit_transform(rows), np.float64)
