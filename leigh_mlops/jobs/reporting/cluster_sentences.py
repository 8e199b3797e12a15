"""Sentences on the clusters of a job's heatmaps."""

from collections.abc import Sequence

from leigh_mlops.report.sentences import format_count
from leigh_mlops.report.table_columns import Columns, is_missing, row_count, table_rows

__all__ = ["describe_clusters"]

_MAX_NAMED = 4


def describe_clusters(clusters: Columns, method: str) -> Sequence[str]:
    """Describe how many kinds of heatmaps there are, and which are enriched where on the plate.

    Args:
        clusters: Columns of the table of clusters, see `cluster_table`.
        method: Title of the method that made the heatmaps.
    """
    if not row_count(clusters):
        return []
    rows = table_rows(clusters)
    counts = {name: len({row["cluster"] for row in rows if row["predicted"] == name}) for name in clusters["predicted"]}
    listed = ", ".join(f"{name} {count}" for name, count in counts.items())
    sentences = [
        f"Fields of one predicted class whose heatmaps ({method}) look alike are one cluster (after SpRAy, Lapuschkin "
        f"et al. 2019); clusters by predicted class: {listed}. Several clusters mean several ways to the same answer."
    ]
    placed = [row for row in rows if not is_missing(row.get("position"))]
    sentences += [
        f"Cluster {row['cluster']} of {row['predicted']} is enriched in {row['position']}: "
        f"{row['wells_there']:.0f} of {format_count(int(row['of_wells_there']), 'well')} there belong to it, "
        f"q {row['q']:.2g}. Look at these heatmaps: what they show may come from the position."
        for row in placed[:_MAX_NAMED]
    ]
    if not placed and max(counts.values()) > 1:
        sentences.append("No cluster is enriched in a row, a column, the edge or a plate.")
    return sentences
