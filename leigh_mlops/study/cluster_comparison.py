"""Clusters of wells by several ways and features beside each other, with what each has in common with what is known."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from rich.console import Console

from leigh_mlops.errors import LeighError
from leigh_mlops.models import ModelPackage
from leigh_mlops.models.clustering import CLUSTERERS, bootstrap_stability, cluster_features
from leigh_mlops.models.clustering.turtle_labels import label_by_margins
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.scores import aggregate_wells as aggregate_log_probs
from leigh_mlops.scores.cluster_agreement import (
    PositionAgreement,
    adjusted_rand,
    normalised_information,
)
from leigh_mlops.scores.replicate_retrieval import Retrieval, replicate_retrieval
from leigh_mlops.screening.well_groups import compare_positions, compare_quarters, known_classes
from leigh_mlops.screening.well_table import well_names
from leigh_mlops.study.evaluation import predict_rows
from leigh_mlops.study.field_features import FEATURE_KINDS
from leigh_mlops.study.profiles import Profiles, UsableFields, aggregate_wells, field_profiles

__all__ = ["NETWORK", "ClusterComparison", "ComparedClusters", "compare_clusters"]

NETWORK = "network"
"""Way of a network that names clusters itself."""
_BOTH = "embedding and intensity"

Labels = npt.NDArray[np.int64]


class ComparedClusters(NamedTuple):
    """Clusters of W wells by one way.

    Attributes:
        features: ``embedding``, ``intensity``, or both.
        way: A key of `CLUSTERERS`, or ``network``.
        labels: Cluster of each well from 0, shape (W,); -1 for none.
        stability: Median adjusted Rand index over 20 bootstraps of wells; NaN for other ways than k-means.
        information: Normalised mutual information with the classes; NaN without two of them.
        rand: Adjusted Rand index with the classes; NaN without two of them.
        positions: Agreement with ``row``, ``column`` and ``plate`` within classes, where there are several.
        quarters: Agreement with the quarters of the plates, whatever the classes; None where they are unknown.
    """

    features: str
    way: str
    labels: Labels
    stability: float
    information: float
    rand: float
    positions: Mapping[str, PositionAgreement]
    quarters: PositionAgreement | None = None


class ClusterComparison(NamedTuple):
    """Clusters of wells by several ways.

    Attributes:
        wells: Metadata of the W wells.
        ways: The ways.
        retrievals: Retrieval of fields of one well by each kind of features; none where wells have a single field.
        seen: Number of wells by whose class the model was trained or chosen.
    """

    wells: pd.DataFrame
    ways: Sequence[ComparedClusters]
    retrievals: Mapping[str, Retrieval]
    seen: int = 0


def compare_clusters(
    package: ModelPackage, fields: UsableFields, k: int, ways: Sequence[str], console: Console, *, seed: int = 0
) -> ClusterComparison:
    """Cluster the profiles of wells by each way, by the network's embedding and by intensity features.

    Margins are sought in both spaces together, too. Labels take no part in any of them.

    Args:
        package: The model.
        fields: Usable fields of the plates.
        k: Number of clusters.
        ways: Keys of `CLUSTERERS`.
        console: Where progress is shown.
        seed: Seed of all ways.

    Raises:
        LeighError: A way is unknown, there are fewer wells than clusters, or features are constant.
    """
    if unknown := [way for way in ways if way not in CLUSTERERS]:
        raise LeighError(f"--ways {unknown[0]!r} is unknown; choose some of {', '.join(CLUSTERERS)}.")
    by_field = {kind: field_profiles(kind, package, fields, console) for kind in FEATURE_KINDS}
    profiles = {kind: aggregate_wells(each) for kind, each in by_field.items()}
    wells = profiles["embedding"].metadata
    if k > len(wells):
        raise LeighError(f"--clusters is {k}, and there are {len(wells)} wells; choose at most {len(wells)}.")
    found = [
        _describe(kind, way, cluster_features(each.features, way, k, seed=seed), wells, each.features)
        for kind, each in profiles.items()
        for way in ways
    ]
    if "turtle" in ways:
        labels = label_by_margins([each.features for each in profiles.values()], k, seed=seed)
        found.append(_describe(_BOTH, "turtle", labels, wells))
    if package.model.task == "cluster":
        found.append(_describe("embedding", NETWORK, _network_clusters(package, fields, wells), wells))
    return ClusterComparison(wells, found, _retrieve(by_field), fields.seen)


def _describe(
    features: str, way: str, labels: Labels, wells: pd.DataFrame, profiles: npt.NDArray[np.float64] | None = None
) -> ComparedClusters:
    classes = known_classes(wells)
    known = classes != ""
    is_told = len(set(classes[known])) > 1
    stability = float("nan")
    if way == "k-means" and profiles is not None:
        spread = profiles.std(0)
        points = (profiles - profiles.mean(0)) / np.where(spread > 0, spread, 1)
        try:
            stability = float(np.median(bootstrap_stability(points, np.arange(len(points)), labels).rand))
        except LeighError:  # as many clusters as wells: a bootstrap has fewer
            stability = float("nan")
    information = normalised_information(labels[known], classes[known]) if is_told else float("nan")
    rand = adjusted_rand(labels[known], classes[known]) if is_told else float("nan")
    positions, quarters = compare_positions(wells, labels), compare_quarters(wells, labels)
    return ComparedClusters(features, way, labels, stability, information, rand, positions, quarters)


def _network_clusters(package: ModelPackage, fields: UsableFields, wells: pd.DataFrame) -> Labels:
    """Cluster that the network names for each well, from the mean log-probability of its fields."""
    outputs = predict_rows(package, fields.data, fields.rows)
    names = list(fields.data.wells[outputs.rows])
    merged = aggregate_log_probs(names, np.zeros(len(names), int), outputs.values)
    places = {name: place for place, name in enumerate(merged.wells)}
    order = [places[name] for name in well_names(wells)]
    labels: Labels = merged.log_probs.argmax(1)[order].astype(np.int64)
    return labels


def _retrieve(by_field: Mapping[str, Profiles]) -> dict[str, Retrieval]:
    found = {}
    for kind, each in by_field.items():
        table = each.metadata
        plates = table[Metadata.PLATE].astype(str)
        positions = table[[Metadata.ROW, Metadata.COLUMN]].to_numpy(int) if Metadata.ROW in table else None
        try:
            found[kind] = replicate_retrieval(each.features, well_names(table), plates.to_numpy(str), positions)
        except LeighError:  # wells of a single field have no replicates, and are clustered all the same
            return {}
    return found
