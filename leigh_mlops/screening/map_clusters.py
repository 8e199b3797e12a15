"""Clusters of the heatmaps of a job, and the positions on the plate in which each is enriched."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from leigh_mlops.job_columns import JobColumn
from leigh_mlops.scores.heatmap_clusters import MIN_MAPS, cluster_heatmaps, find_enrichments
from leigh_mlops.screening.well_groups import PlateShapes, measure_plates, most_frequent_clusters, position_groups
from leigh_mlops.screening.well_table import WELL_COLUMNS

__all__ = ["CLUSTER_COLUMNS", "ENRICHMENT_FDR", "FieldMaps", "MeanMap", "cluster_table", "mean_maps"]

ENRICHMENT_FDR = 0.05
"""False discovery rate below which a cluster counts as enriched in a position."""

CLUSTER_COLUMNS = [
    "predicted", "cluster", "fields", "wells", "position", "wells_there", "of_wells_there", "odds_ratio", "p", "q",
]  # fmt: skip

FieldMaps = Mapping[str, Sequence[Sequence[float]]]
"""Heatmap (h, w) of a field at low resolution, by its name."""


class MeanMap(NamedTuple):
    """Mean of heatmaps.

    Attributes:
        heat: The mean, shape (h, w), in the unit of the maps.
        fields: Number of the maps.
    """

    heat: npt.NDArray[np.float64]
    fields: int


def mean_maps(fields: pd.DataFrame, maps: FieldMaps, method: str) -> dict[str, MeanMap]:
    """Mean of the heatmaps of each predicted class, over the fields whose map explains it.

    Args:
        fields: The table of fields.
        maps: Heatmaps of some of the fields.
        method: Method that made them.
    """
    if JobColumn.PREDICTED not in fields:
        return {}
    predicted = fields[JobColumn.PREDICTED]
    explained = fields.get(f"{method}_target", predicted)
    own = fields[fields[JobColumn.FIELD].isin(list(maps)) & (explained == predicted)]
    return {
        str(name): MeanMap(np.mean([maps[field] for field in members], axis=0), len(members))
        for name, members in own.groupby(JobColumn.PREDICTED, sort=True)[JobColumn.FIELD]
    }


def cluster_table(fields: pd.DataFrame, maps: FieldMaps) -> pd.DataFrame:
    """Cluster the heatmaps of the fields of each predicted class, and find where each cluster is enriched.

    A well belongs to the cluster of most of its fields, and counts once. Positions are compared within the
    wells of one predicted class, so that classes laid out by row or column are no enrichment.

    Args:
        fields: The table of fields.
        maps: Heatmaps of some of the fields, all made by one method for the predicted class.

    Returns:
        `CLUSTER_COLUMNS`, one row for each cluster and position in which it is enriched, and one without a position
        for a cluster that is not; empty for a class with fewer than `MIN_MAPS` maps.
    """
    known = fields[fields[JobColumn.FIELD].isin(list(maps))] if len(maps) else fields[:0]
    rows: list[dict[str, object]] = []
    if JobColumn.PREDICTED in known:
        for name, own in known.groupby(JobColumn.PREDICTED, sort=True):
            if len(own) >= MIN_MAPS:
                heatmaps = np.array([maps[field] for field in own[JobColumn.FIELD]])
                rows += _describe_clusters(str(name), own, heatmaps, measure_plates(fields))
    return pd.DataFrame(rows, columns=CLUSTER_COLUMNS)


def _describe_clusters(
    name: str, own: pd.DataFrame, maps: npt.NDArray[np.float64], shapes: PlateShapes
) -> list[dict[str, object]]:
    found = cluster_heatmaps(maps)
    wells = own.drop_duplicates(WELL_COLUMNS)
    clusters = most_frequent_clusters(own, found, wells)
    groups = position_groups(wells, shapes)
    enriched = [each for each in find_enrichments(clusters, groups) if each.q < ENRICHMENT_FDR]
    rows: list[dict[str, object]] = []
    for number in np.unique(found):
        about: dict[str, object] = {
            "predicted": name,
            "cluster": int(number),
            "fields": int((found == number).sum()),
            "wells": int((clusters == number).sum()),
        }
        places = [each for each in enriched if each.cluster == number]
        rows += [
            about
            | {"position": each.group, "wells_there": each.inside, "of_wells_there": each.wells}
            | {"odds_ratio": each.odds_ratio, "p": each.p, "q": each.q}
            for each in places
        ] or [about]
    return rows
