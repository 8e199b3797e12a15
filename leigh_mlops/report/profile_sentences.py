"""Sentences and tables on profiles and their normalisation."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from leigh_mlops.report.sentences import format_count
from leigh_mlops.scores.normalisation import FITTED_BY_CONTROLS

__all__ = ["MISSING_CONTROLS", "normalisation_sentences", "normalisation_table", "seen_sentences"]

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
    if own["replicate_map"] is None:
        nothing = "No well has two usable fields" if replicates == "well" else "No replicates have profiles"
        return [f"{nothing}, so that replicates can't be compared."]
    sentences = [
        f"Replicates are {_REPLICATES[replicates]}; they find each other with a mAP of {own['replicate_map']:.2f} "
        f"(by chance {own['replicate_chance']:.2f})."
    ]
    if own["activity_map"] is not None:
        count = format_count(own["treatments"], "treatment")
        sentences.append(f"{own['active']} of {count} are active against negative controls (false discovery rate 5 %).")
        if own["held_out"]:
            sentences.append(
                f"Half of the controls fitted {own['normalisation']}, and activity is measured against the other half, "
                "then the reverse: controls that fit it look more alike than other wells."
            )
        elif own["normalisation"] in FITTED_BY_CONTROLS:
            sentences.append(
                f"The same controls fitted {own['normalisation']}, so that treatments differ from them too easily, and "
                "there are too few to hold half of them out; judge activity with --normalise mad or inverse_normal."
            )
    return [*sentences, *_compare(rows, own)]


def seen_sentences(seen: int, wells: int) -> list[str]:
    """Warn of wells by whose class a model was trained or chosen; nothing where there are none.

    Args:
        seen: Number of such wells.
        wells: Number of wells with features.
    """
    if not seen:
        return []
    return [
        f"The model was trained or chosen by the class of {seen} of {format_count(wells, 'well')}, so that its "
        "features separate the classes there anyway: give plates that it has not seen, or compare with the "
        "intensity features."
    ]


def _compare(rows: Sequence[Row], own: Row) -> list[str]:
    """Name the better rows, if there are any; by replicates, as activity depends on how a normalisation is fitted."""
    said, reached = [], own["replicate_map"]
    best, baseline = _best_row(rows, own["features"]), _best_row(rows, "intensity")
    if best["replicate_map"] > reached:
        said.append(
            f"The mAP of replicates is {reached:.2f} with --normalise {own['normalisation']} and "
            f"{best['replicate_map']:.2f} with {best['normalisation']}."
        )
    if own["features"] == "embedding" and baseline and baseline["replicate_map"] >= best["replicate_map"]:
        said.append(
            f"Intensity features ({baseline['normalisation']}) reach a mAP of replicates of "
            f"{baseline['replicate_map']:.2f}, the embedding at most {best['replicate_map']:.2f}: it adds nothing to "
            "them here."
        )
    return said


def _best_row(rows: Sequence[Row], features: str) -> Row:
    """Row of some features in which replicates find each other best; empty if there is none."""
    known = [row for row in rows if row["features"] == features and row["replicate_map"] is not None]
    return max(known, key=lambda row: float(row["replicate_map"]), default={})
