"""Labels of an epoch that a network gives itself: the clusters of its features."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from leigh_mlops.errors import LeighError
from leigh_mlops.images import FieldBatches, derived_seed
from leigh_mlops.models.clustering import fit_k_means, fit_reduction
from leigh_mlops.models.deep_cluster import DeepCluster
from leigh_mlops.models.precision import full_float32
from leigh_mlops.scores.cluster_agreement import normalised_information
from leigh_mlops.training.state import TrainingState

__all__ = ["ClusterEpoch", "cluster_fields"]

_CLUSTERS = "clusters"
_KMEANS_STREAM, _HEAD_STREAM = 3, 4

Labels = npt.NDArray[np.int64]


class ClusterEpoch(NamedTuple):
    """Training batches of an epoch with clusters for labels.

    Attributes:
        batches: The same fields; each cluster is seen equally often.
        measures: Sizes of the clusters, and their agreement with those of the epoch before.
    """

    batches: FieldBatches
    measures: dict[str, float]


def cluster_fields(state: TrainingState, train: FieldBatches) -> ClusterEpoch:
    """Cluster the features of all training fields without augmentation, and give the network a fresh head for them.

    The clusters follow from the network, the seed and the epoch, so an epoch that begins again has the same. The
    head's part of the optimizer begins anew, too.

    Raises:
        LeighError: There are fewer fields than clusters, or the features are constant.
    """
    model = state.model
    if not isinstance(model, DeepCluster):
        raise TypeError(f"{type(model).__name__} does not learn from clusters")
    features = _read_features(model, train)
    if not np.isfinite(features).all():
        raise LeighError(f"Features are not finite before epoch {state.epoch + 1}; lower the learning rate.")
    k = len(model.spec.classes)
    if k > len(features):
        raise LeighError(
            f"clusters is {k}, and there are {len(features)} training images; set architecture.clusters to at most "
            f"{len(features) // 2}."
        )
    reduction = fit_reduction(features, len(model.reduction_components))
    found = fit_k_means(reduction.apply(features), k, seed=derived_seed(state.seed, state.epoch, _KMEANS_STREAM))
    model.start_head(reduction, found.centres, derived_seed(state.seed, state.epoch, _HEAD_STREAM))
    for parameter in model.head.parameters():
        state.optimizer.state.pop(parameter, None)
    measures = _measure_sizes(found.labels, k) | _compare_with_former(state, found.labels)
    state.carried[_CLUSTERS] = torch.from_numpy(found.labels)
    return ClusterEpoch(replace(train, labels=found.labels, is_uniform=True), measures)


@torch.no_grad()
@full_float32()
def _read_features(model: DeepCluster, batches: FieldBatches) -> npt.NDArray[np.float32]:
    """Features (n, F) of the rows of some batches, in eval mode; the mode is restored."""
    device, was_training = next(model.parameters()).device, model.training
    model.eval()
    try:
        found = [model.encode(batch.images.to(device, non_blocking=True)) for batch in batches]
    finally:
        model.train(was_training)
    return torch.cat(found).float().cpu().numpy()


def _measure_sizes(labels: Labels, k: int) -> dict[str, float]:
    sizes = np.bincount(labels, minlength=k)
    return {
        "clusters/smallest": float(sizes.min()),
        "clusters/median": float(np.median(sizes)),
        "clusters/largest": float(sizes.max()),
    }


def _compare_with_former(state: TrainingState, labels: Labels) -> dict[str, float]:
    former = state.carried.get(_CLUSTERS)
    if former is None or len(former) != len(labels):
        return {}
    return {"clusters/nmi_before": normalised_information(former.cpu().numpy(), labels)}
