"""Differences of a cluster's wells from all others in measured features."""

import warnings
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import ttest_ind

from leigh_mlops.scores.fdr import false_discovery_rate

__all__ = ["ClusterDifferences", "cluster_differences"]

_FEWEST_WELLS = 3

Array = NDArray[np.float64]


class ClusterDifferences(NamedTuple):
    """Differences of the wells of each of k clusters from the other wells of their plates in F features.

    Attributes:
        effects: Difference of the means in standard deviations of all wells, shape (k, F); NaN where a side has fewer
            than three wells or a feature does not vary.
        q: Benjamini-Hochberg rate of Welch's tests over all clusters and features, shape (k, F).
    """

    effects: Array
    q: Array


def cluster_differences(features: ArrayLike, clusters: ArrayLike, plates: ArrayLike, k: int) -> ClusterDifferences:
    """Compare each cluster with the rest, well by well.

    Features are centred on each plate first, so that a cluster that lies on one plate does not differ by the plate's
    own level.

    Args:
        features: Mean of each feature over the fields of each well, shape (W, F); may be NaN.
        clusters: Cluster of each well from 0, shape (W,).
        plates: Plate of each well, shape (W,).
        k: Number of clusters.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a feature that a plate or a cluster lacks stays NaN
        return _compare(features, clusters, plates, k)


def _compare(features: ArrayLike, clusters: ArrayLike, plates: ArrayLike, k: int) -> ClusterDifferences:
    values, found, where = np.array(features, np.float64), np.asarray(clusters), np.asarray(plates)
    for plate in np.unique(where):
        values[where == plate] -= np.nanmean(values[where == plate], axis=0)
    spread = np.nanstd(values, axis=0)
    varies = spread > 1e-9 * np.maximum(np.nanmax(np.abs(np.asarray(features, np.float64)), axis=0), 1e-300)
    effects, p = np.full((2, k, values.shape[1]), np.nan)
    for number in range(k):
        own, rest = values[found == number], values[found != number]
        if min(len(own), len(rest)) < _FEWEST_WELLS:
            continue
        effects[number, varies] = ((np.nanmean(own, axis=0) - np.nanmean(rest, axis=0))[varies]) / spread[varies]
        p[number, varies] = ttest_ind(
            own[:, varies], rest[:, varies], equal_var=False, nan_policy="omit"
        ).pvalue  # fmt: skip
    return ClusterDifferences(effects, false_discovery_rate(p.ravel()).reshape(p.shape))
