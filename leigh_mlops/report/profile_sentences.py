"""Sentences and tables on profiles and their normalisation."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from leigh_mlops.report.sentences import format_count

__all__ = ["MISSING_CONTROLS", "normalisation_sentences", "normalisation_table"]

MISSING_CONTROLS = (
    "Plate {plate} has {wells} of negative controls, and {fewest} are needed to normalise profiles; add "
    "pert_type=negcon to its plate map{remedy}."
)

_TITLES = {
    "replicate_map": "mAP of\nreplicates",
    "activity_map": "mAP of\nactivity",
    "consistency_map": "mAP of\nconsistency",
    "plate_share": "share of\nthe plate",
}
_REPLICATES = {
    "treatment": "wells of one treatment",
    "class": "wells of one class",
    "well": "fields of one well",
}

Row = Mapping[str, Any]


def normalisation_table(rows: Sequence[Row]) -> Table:
    """Table of the scores of each kind of features after each normalisation, see ``ProfileScores``.

    Args:
        rows: One for each; a score that none of them has is left out.
    """
    shown = [name for name in _TITLES if any(row[name] is not None for row in rows)]
    table = Table(title="Profiles of wells by normalisation", title_justify="left")
    table.add_column("features")
    table.add_column("normalisation")
    table.add_column("number", justify="right")
    for name in shown:
        table.add_column(_TITLES[name], justify="right")
    for row in rows:
        cells = ["-" if row[name] is None else f"{row[name]:.3f}" for name in shown]
        table.add_row(row["features"], row["normalisation"], str(row["kept"]), *cells)
    return table


def normalisation_sentences(rows: Sequence[Row], chosen: tuple[str, str], replicates: str) -> list[str]:
    """Sentences on the scores: what they mean, the chosen row, and whether another one is better.

    Args:
        rows: As of :func:`normalisation_table`.
        chosen: Features and normalisation of the files.
        replicates: ``treatment``, ``class`` or ``well``.
    """
    own = next(row for row in rows if (row["features"], row["normalisation"]) == chosen)
    measure = "activity_map" if own["activity_map"] is not None else "replicate_map"
    if own[measure] is None:
        nothing = "No well has two usable fields" if replicates == "well" else "No replicates have profiles"
        return [f"{nothing}, so that replicates can't be compared."]
    chance = f" (by chance {own['replicate_chance']:.2f})"
    found = "" if own["replicate_map"] is None else f"{own['replicate_map']:.2f}{chance}"
    sentences = (
        [f"Replicates are {_REPLICATES[replicates]}; they find each other with a mAP of {found}."] if found else []
    )
    if own["activity_map"] is not None:
        count = format_count(own["treatments"], "treatment")
        sentences.append(f"{own['active']} of {count} are active against negative controls (false discovery rate 5 %).")
    return [*sentences, *_compare(rows, own, measure)]


def _compare(rows: Sequence[Row], own: Row, measure: str) -> list[str]:
    """Name the better rows, if there are any."""
    said = []
    name = _TITLES[measure].replace("\n", " ")
    best = max(rows, key=lambda row: -math.inf if row[measure] is None else row[measure])
    if best["features"] == own["features"] and best[measure] > own[measure]:
        said.append(
            f"The {name} is {own[measure]:.2f} with --normalise {own['normalisation']} and {best[measure]:.2f} with "
            f"{best['normalisation']}."
        )
    if own["features"] == "embedding" and best["features"] == "intensity" and best[measure] >= own[measure]:
        said.append(
            f"Intensity features ({best['normalisation']}) reach a {name} of {best[measure]:.2f}, the embedding "
            f"{own[measure]:.2f}: it adds nothing to them here."
        )
    return said
