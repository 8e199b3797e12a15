"""Ways to cluster features of a frozen network, beside each other."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from leigh_mlops.errors import LeighError
from leigh_mlops.models.clustering.k_means import fit_k_means
from leigh_mlops.models.clustering.turtle_labels import label_by_margins

__all__ = ["CLUSTERERS", "cluster_features"]

_STARTS = 10
_FEWEST_MEMBERS = 5

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


def cluster_features(features: npt.ArrayLike, way: str, k: int, *, seed: int = 0) -> Labels:
    """Cluster features by one of `CLUSTERERS`.

    Args:
        features: Shape (N, F), finite.
        way: A key of `CLUSTERERS`.
        k: Number of clusters; `hdbscan` finds their number itself.
        seed: Seed of the clusters.

    Returns:
        Cluster of each row from 0, shape (N,); -1 for a row in none, by `hdbscan` alone.

    Raises:
        LeighError: The way is unknown, k above the number of rows, or the features are constant.
    """
    if way not in CLUSTERERS:
        raise LeighError(f"{way!r} is not a way to cluster; choose one of {', '.join(CLUSTERERS)}.")
    return CLUSTERERS[way](np.asarray(features, np.float32), k, seed)


def _by_k_means(features: Floats, k: int, seed: int) -> Labels:
    """Cluster standardised features by the best of ten starts."""
    return fit_k_means(_standardise(features), k, seed=seed, starts=_STARTS).labels


def _by_density(features: Floats, k: int, seed: int) -> Labels:
    """Cluster standardised features by density, whatever k and seed."""
    from sklearn.cluster import HDBSCAN

    labels: Labels = HDBSCAN(min_cluster_size=_FEWEST_MEMBERS, copy=True).fit_predict(_standardise(features))
    return labels.astype(np.int64)


def _by_margins(features: Floats, k: int, seed: int) -> Labels:
    return label_by_margins([_standardise(features)], k, seed=seed)


def _standardise(features: Floats) -> Floats:
    spread = features.std(0)
    if not spread.any():
        raise LeighError(
            f"The features of the {len(features)} images are constant, so there is nothing to cluster; use another "
            "network."
        )
    return np.asarray((features - features.mean(0)) / np.where(spread > 0, spread, 1), np.float32)


CLUSTERERS: dict[str, Callable[[Floats, int, int], Labels]] = {
    "k-means": _by_k_means,
    "hdbscan": _by_density,
    "turtle": _by_margins,
}
