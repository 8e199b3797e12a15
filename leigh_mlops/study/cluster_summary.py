"""Summary of clusters of wells by several ways: sentences, a table for the terminal and a file."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.table import Table

from leigh_mlops.plates.columns import is_metadata
from leigh_mlops.plates.spreadsheet_text import write_csv
from leigh_mlops.report.profile_sentences import seen_sentences
from leigh_mlops.study.cluster_comparison import ClusterComparison, ComparedClusters

__all__ = ["comparison_lines", "comparison_table", "write_clusters"]


def comparison_lines(found: ClusterComparison) -> list[str]:
    """Sentences, the most important first: wells that the model has seen, positions that clusters follow, features."""
    lines = []
    for each in found.ways:
        followed = {name: agreement for name, agreement in each.positions.items() if not agreement.is_by_chance}
        if followed:
            listed = ", ".join(
                f"{name} {agreement.information:.3f} (shuffled wells at most {agreement.high:.3f})"
                for name, agreement in followed.items()
            )
            lines.append(
                f"Clusters of {each.features} by {each.way} follow the position on the plate; normalised mutual "
                f"information within classes with {listed}."
            )
        elif each.quarters is not None and not each.quarters.is_by_chance:
            lines.append(
                f"Clusters of {each.features} by {each.way} follow the position on the plate; normalised mutual "
                f"information with its quarters {each.quarters.information:.3f} (shuffled wells at most "
                f"{each.quarters.high:.3f}). What sets them apart, a class that stands apart on the plate included, "
                "can't be told from the position."
            )
    if found.ways and not lines:
        lines.append("No clusters follow row, column or plate more than wells shuffled within their class do.")
    for kind, retrieval in found.retrievals.items():
        lines.append(
            f"Fields of one well find each other by {kind} with a score of {retrieval.score:.3f} above shuffled wells "
            "and the position (1 is perfect, 0 is chance)."
        )
    return [*seen_sentences(found.seen, len(found.wells)), *lines]


def comparison_table(ways: Sequence[ComparedClusters]) -> Table:
    """Table of one row per way; columns that nothing fills are left out."""
    table = Table(title="Clusters of wells; classes are compared afterwards and choose nothing")
    columns = {
        "features": [each.features for each in ways],
        "way": [each.way for each in ways],
        "clusters": [str(len(set(each.labels[each.labels >= 0]))) for each in ways],
        "wells in none": [str(int(np.sum(each.labels < 0)) or "") for each in ways],
        "stability\nARI": [_number(each.stability) for each in ways],
        "classes\nNMI": [_number(each.information) for each in ways],
        "classes\nARI": [_number(each.rand) for each in ways],
    }
    for name in ("row", "column", "plate"):
        columns[f"{name}\nNMI in class"] = [
            _number(each.positions[name].information) if name in each.positions else "" for each in ways
        ]
    shown = {name: texts for name, texts in columns.items() if any(texts)}
    for name in shown:
        table.add_column(name)
    for row in zip(*shown.values(), strict=True):
        table.add_row(*row)
    return table


def write_clusters(found: ClusterComparison, out: Path) -> None:
    """Write a CSV file of one row per well: its metadata, and its cluster by each way from 1, empty for none."""
    table = found.wells[[name for name in found.wells if is_metadata(name)]].copy()
    for each in found.ways:
        column = f"{each.features.replace(' ', '_')}_{each.way}"
        table[column] = [str(label + 1) if label >= 0 else "" for label in each.labels.tolist()]
    out.parent.mkdir(parents=True, exist_ok=True)
    write_csv(table, out)


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.3f}"
