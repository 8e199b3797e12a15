"""The trials of a search as a table in the terminal."""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

__all__ = ["leaderboard"]

Record = Mapping[str, Any]

COLUMNS = {
    "accuracy": ("accuracy\nfields", ".3f"),
    "log_loss": ("log loss\nfields", ".3f"),
    "wells/accuracy": ("accuracy\nwells", ".3f"),
    "wells/z_prime": ("Z'\nwells", ".2f"),
    "mse": ("mse", ".4f"),
    "seconds": ("seconds", ".0f"),
}

REFERENCES = {"baseline": "a threshold on intensity", "position": "the position on the plate"}


def leaderboard(rows: Sequence[Record], *, winners: Collection[str] | None = None) -> Table:
    """Trials of all families, the best of each marked, over what needs no network.

    Args:
        rows: ``model`` (the trial's name), ``family``, ``kind`` (``network``,
            ``baseline`` or ``position``; a network where it is left out) and any
            of ``accuracy``, ``log_loss``, ``wells/accuracy``, ``wells/z_prime``,
            ``mse`` and ``seconds``.
        winners: Names of the trials to mark. Without it, in each family the
            lowest ``log_loss``, or the lowest ``mse`` where none has a log loss.

    Returns:
        Families in order of first appearance, the best trial first; the
        references stand last, under a line. A missing score is a dash.
    """
    networks = [row for row in rows if row.get("kind", "network") == "network"]
    families = list(dict.fromkeys(str(row["family"]) for row in networks))
    table = Table(title="Validation scores; * marks the best of a family")
    for heading in ("", "model"):
        table.add_column(heading, overflow="fold")
    for heading, _ in COLUMNS.values():
        table.add_column(heading, justify="right", no_wrap=True)
    for family in families:
        ranked = sorted((row for row in networks if row["family"] == family), key=_rank)
        best = {str(ranked[0]["model"])} if winners is None else set(winners)
        for row in ranked:
            _add(table, row, str(row["model"]), marked=row["model"] in best)
        table.add_section()
    for row in rows:
        if row.get("kind") in REFERENCES:
            _add(table, row, REFERENCES[row["kind"]], marked=False)
    return table


def _rank(row: Record) -> tuple[float, float]:
    return _number(row, "log_loss", math.inf), _number(row, "mse", math.inf)


def _number(row: Record, key: str, missing: float) -> float:
    value = row.get(key)
    return missing if value is None or math.isnan(value) else float(value)


def _add(table: Table, row: Record, name: str, *, marked: bool) -> None:
    cells = []
    for key, (_, spec) in COLUMNS.items():
        value = _number(row, key, math.nan)
        cells.append("-" if math.isnan(value) else format(value, spec))
    # A name may hold square brackets, which rich would take for markup.
    table.add_row(Text("*" if marked else ""), Text(name), *cells, style="bold" if marked else None)
