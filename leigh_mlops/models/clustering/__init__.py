"""Clusters of features: reduction, k-means, density and margins, all as numeric arrays."""

from leigh_mlops.models.clustering.bootstrap_stability import Stability, bootstrap_stability
from leigh_mlops.models.clustering.clusterers import CLUSTERERS, cluster_features
from leigh_mlops.models.clustering.feature_reduction import FeatureReduction, fit_reduction
from leigh_mlops.models.clustering.k_means import Clustering, KMeans, fit_k_means

__all__ = [
    "CLUSTERERS",
    "Clustering",
    "FeatureReduction",
    "KMeans",
    "Stability",
    "bootstrap_stability",
    "cluster_features",
    "fit_k_means",
    "fit_reduction",
]
