"""Cards of clusters of fields: members, enrichment, differences from the rest, stability."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from leigh_mlops.errors import LeighError
from leigh_mlops.job_columns import IMAGE, LATENT, PROBABILITY, QUALITY, JobColumn
from leigh_mlops.models.clustering import bootstrap_stability
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.scores.cluster_agreement import PositionAgreement
from leigh_mlops.scores.cluster_differences import cluster_differences
from leigh_mlops.scores.heatmap_clusters import Enrichment, find_enrichments
from leigh_mlops.screening.well_groups import (
    annotation_groups,
    compare_positions,
    compare_quarters,
    measure_plates,
    most_frequent_clusters,
    position_groups,
)
from leigh_mlops.screening.well_table import WELL_COLUMNS, well_names

__all__ = ["CARD_FDR", "ClusterCard", "ClusterCards", "FeatureDifference", "describe_members"]

CARD_FDR = 0.05
"""False discovery rate below which an enrichment or a difference is on a card."""

_EXAMPLES = 6
_MOST_DIFFERENCES = 5
_UNMEASURED = ("max_", "bits_", "at_max_")  # quality of the file, not of cells
_FOCUS = "focus_"

Labels = npt.NDArray[np.int64]


class FeatureDifference(NamedTuple):
    """Difference of a cluster's wells from the others in a feature: its name, in standard deviations, and q."""

    feature: str
    effect: float
    q: float

    @property
    def is_focus(self) -> bool:
        """Return whether the feature is the sharpness of a channel."""
        return self.feature.startswith(_FOCUS)


class ClusterCard(NamedTuple):
    """Card of one cluster.

    Attributes:
        name: Name of the cluster by the model.
        fields: Number of its fields.
        wells: Number of wells most of whose fields are in it.
        typical: Fields that the model puts into it with the most certainty, the surest first.
        uncertain: Those with the least, the least certain first.
        places: Plates, rows, columns and edges in which its wells are enriched.
        groups: Classes, compounds and donors in which they are.
        differences: Measured features in which its wells differ from the others, the largest first.
        stability: Mean overlap with the best cluster of bootstrapped wells, 0 to 1; NaN where it can't be measured.
    """

    name: str
    fields: int
    wells: int
    typical: tuple[str, ...]
    uncertain: tuple[str, ...]
    places: tuple[Enrichment, ...]
    groups: tuple[Enrichment, ...]
    differences: tuple[FeatureDifference, ...]
    stability: float

    @property
    def follows_focus(self) -> bool:
        """Return whether nothing else differs as much as the sharpness."""
        return bool(self.differences) and self.differences[0].is_focus


class ClusterCards(NamedTuple):
    """Cards of all clusters of a job that have fields, the largest first.

    Attributes:
        cards: One for each.
        clusters: Number of the model's clusters; those without a field have no card.
        rand: Median adjusted Rand index with the clusters of bootstrapped wells; NaN where it can't be measured.
        agreements: Agreement of the clusters of wells with ``row``, ``column`` and ``plate`` within classes, if known
            and several.
        quarters: Agreement with the quarters of the plates, whatever the classes; None where they are unknown.
    """

    cards: tuple[ClusterCard, ...]
    clusters: int
    rand: float
    agreements: Mapping[str, PositionAgreement]
    quarters: PositionAgreement | None = None

    @property
    def follows_position(self) -> bool:
        """Return whether clusters follow row, column, plate or its quarters more than shuffled wells do."""
        return self.follows_quarters or any(not each.is_by_chance for each in self.agreements.values())

    @property
    def follows_quarters(self) -> bool:
        """Return whether clusters follow the quarters of the plates more than shuffled wells do."""
        return self.quarters is not None and not self.quarters.is_by_chance


def describe_members(fields: pd.DataFrame) -> ClusterCards:
    """Describe the clusters of fields that a model has put into clusters.

    A well belongs to the cluster of most of its fields, and counts once.

    Args:
        fields: The job's table of fields.
    """
    if JobColumn.PREDICTED not in fields or not fields[JobColumn.PREDICTED].notna().any():
        return ClusterCards((), 0, float("nan"), {})
    known = fields[fields[JobColumn.PREDICTED].notna()]
    names = sorted({str(name) for name in known[JobColumn.PREDICTED]})
    labels = np.array([names.index(str(name)) for name in known[JobColumn.PREDICTED]])
    wells = known.drop_duplicates(WELL_COLUMNS).sort_values(WELL_COLUMNS)
    of_wells = most_frequent_clusters(known, labels, wells)
    places = position_groups(wells, measure_plates(known))
    groups = annotation_groups(wells)
    found = [each for each in find_enrichments(of_wells, places | groups) if each.q < CARD_FDR]
    differing = _find_differences(known, wells, of_wells, len(names))
    rand, overlaps = _measure_stability(known, labels, len(names))
    cards = [
        ClusterCard(
            name,
            int(np.sum(labels == number)),
            int(np.sum(of_wells == number)),
            *_choose_examples(known[labels == number], name),
            tuple(each for each in found if each.cluster == number and each.group in places),
            tuple(each for each in found if each.cluster == number and each.group in groups),
            differing[number],
            float(overlaps[number]),
        )
        for number, name in enumerate(names)
    ]
    cards.sort(key=lambda card: -card.fields)
    clusters, positions = len(PROBABILITY.select(fields)), compare_positions(wells, of_wells)
    return ClusterCards(tuple(cards), clusters, rand, positions, compare_quarters(wells, of_wells))


def _choose_examples(own: pd.DataFrame, name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    ordered = own.sort_values(PROBABILITY(name), ascending=False, kind="stable")[JobColumn.FIELD].astype(str)
    return tuple(ordered[:_EXAMPLES]), tuple(ordered[::-1][:_EXAMPLES])


def _find_differences(
    fields: pd.DataFrame, wells: pd.DataFrame, of_wells: Labels, k: int
) -> list[tuple[FeatureDifference, ...]]:
    """Differences of each cluster, the largest first."""
    measured = {
        name: column
        for family in (QUALITY, IMAGE)
        for name, column in family.select(fields.select_dtypes("number")).items()
        if not name.startswith(_UNMEASURED)
    }
    if not measured:
        return [()] * k
    means = fields.groupby(WELL_COLUMNS)[list(measured.values())].mean()
    values = means.loc[list(wells[WELL_COLUMNS].itertuples(index=False, name=None))].to_numpy(float)
    found = cluster_differences(values, of_wells, wells[Metadata.PLATE].astype(str).to_numpy(str), k)
    chosen = []
    for effects, rates in zip(found.effects, found.q, strict=True):
        each = [
            FeatureDifference(name, float(effect), float(q))
            for name, effect, q in zip(measured, effects, rates, strict=True)
            if q < CARD_FDR
        ]
        chosen.append(tuple(sorted(each, key=lambda one: -abs(one.effect))[:_MOST_DIFFERENCES]))
    return chosen


def _measure_stability(fields: pd.DataFrame, labels: Labels, k: int) -> tuple[float, npt.NDArray[np.float64]]:
    """Median adjusted Rand index over bootstraps of wells, and the overlap of each cluster, shape (k,)."""
    unknown = float("nan"), np.full(k, np.nan)
    columns = [column for name, column in LATENT.select(fields).items() if name.isdigit()]
    points = fields[columns].to_numpy(float)
    if not columns or k < 2 or not np.isfinite(points).all():
        return unknown
    try:
        found = bootstrap_stability(points, well_names(fields), labels)
    except LeighError:  # few wells are drawn several times, and leave fewer fields than clusters
        return unknown
    return float(np.median(found.rand)), found.jaccard
