"""Tables of scores for the terminal."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
from rich.table import Table
from rich.text import Text

from leigh_mlops.events import kept_metrics
from leigh_mlops.report.class_balance import majority_note
from leigh_mlops.report.sentences import Z_PRIME_NOTE

__all__ = ["REFERENCE_NAMES", "flag_table", "leaderboard_table", "leaderboard_rows", "score_table"]

Record = Mapping[str, Any]

COLUMNS = {
    "accuracy": ("accuracy\nfields", ".3f"),
    "log_loss": ("log loss\nfields", ".3f"),
    "wells/accuracy": ("accuracy\nwells", ".3f"),
    "wells/balanced_accuracy": ("balanced\nwells", ".3f"),
    "plates/wells/balanced_accuracy": ("balanced wells,\nplate left out", ".3f"),
    "wells/z_prime_log_odds": ("Z' wells\nlog-odds", ".2f"),
    "wells/z_prime": ("Z' wells\nprobability", ".2f"),
    "mse": ("mse", ".4f"),
    "replicates/score": ("fields of a well\nfind each other", ".3f"),
    "seconds": ("seconds", ".0f"),
}

REFERENCE_NAMES = {
    "baseline": "a threshold on intensity",
    "position": "the position on the plate",
    "pca": "PCA with as many numbers",
}


SCORE_COLUMNS = {
    "wells/accuracy": ("accuracy\nwells", ".3f"),
    "wells/balanced_accuracy": ("balanced\nwells", ".3f"),
    "wells/auc": ("AUC\nwells", ".3f"),
    "plates/wells/balanced_accuracy": ("balanced wells,\nplate left out", ".3f"),
    "plates/wells/auc": ("AUC wells,\nplate left out", ".3f"),
    "wells/z_prime_log_odds": ("Z' wells\nlog-odds", ".2f"),
    "wells/z_prime": ("Z' wells\nprobability", ".2f"),
    "accuracy": ("accuracy\nfields", ".3f"),
    "log_loss": ("log loss\nfields", ".3f"),
    "beside/accuracy": ("accuracy, wells\nnext to another class", ".3f"),
    "mse": ("mean squared error\nnormalised intensity²", ".4f"),
    "replicates/score": ("fields of a well\nfind each other", ".3f"),
    "nmi/class": ("NMI with\nclasses", ".3f"),
    "nmi/plate": ("NMI with\nplates", ".3f"),
}


def score_table(rows: Mapping[str, Mapping[str, float]], *, title: str) -> Table:
    """Table of models, a threshold on intensity and the position on the plate, scored on the same wells.

    Args:
        rows: Name to its scores, in the order of the table; keys as in ``SCORE_COLUMNS``, and
            ``beside/wells``, the number of wells with a neighbour of another class. A column
            without any value is left out.
        title: Title of the table.
    """
    table = Table(title=title, title_justify="left", caption=_caption(rows.values()), caption_justify="left")
    table.add_column("", overflow="fold")
    columns = {key: about for key, about in SCORE_COLUMNS.items() if any(key in scores for scores in rows.values())}
    for key, (heading, _) in columns.items():
        counts = [int(scores["beside/wells"]) for scores in rows.values() if "beside/wells" in scores]
        table.add_column(
            f"{heading} ({counts[0]})" if key.startswith("beside/") and counts else heading, justify="right"
        )
    for name, scores in rows.items():
        cells = (format(scores[key], spec) if key in scores else "-" for key, (_, spec) in columns.items())
        table.add_row(Text(name), *cells)
    return table


def flag_table(counts: pd.DataFrame) -> Table:
    """Table of the number of fields with each flaw, by class, and of those left out; flaws without a field are omitted.

    Args:
        counts: One row per flaw, its name as the index, one column per class; the last row counts
            those left out.
    """
    table = Table(title="Flawed fields (kept in the table with the reason)", title_justify="left")
    table.add_column("")
    for name in counts:
        table.add_column(Text(str(name)), justify="right")
    for flaw, row in counts.iterrows():
        if row.any() or flaw == counts.index[-1]:
            table.add_row(Text(str(flaw).replace("_", " ")), *(str(count) for count in row))
    return table


def leaderboard_table(
    rows: Sequence[Record], *, winners: Collection[str] | None = None, top: int | None = None
) -> Table:
    """Table of the trials of all families, the best of each marked, above the references that need no network.

    Args:
        rows: ``model`` (the trial's name), ``family``, ``kind`` (``network``,
            ``baseline`` or ``position``; a network where it is left out) and any
            of ``accuracy``, ``log_loss``, ``wells/accuracy``, ``wells/balanced_accuracy``,
            ``wells/z_prime_log_odds``, ``wells/z_prime``, ``mse``, ``replicates/score`` and ``seconds``; the caption
            names the ``majority_share`` and the ``wells/majority_share``.
        winners: Names of the trials to mark. Without it, in each family the
            lowest ``log_loss``, the lowest ``mse`` or the highest ``replicates/score``, whichever it has.
        top: Number of trials shown for each family; by default all.

    Returns:
        Families in order of first appearance, the best trial first; the
        references come last, under a line. A missing score is a dash; a column
        without any score is left out.
    """
    networks = [row for row in rows if row.get("kind", "network") == "network"]
    families = list(dict.fromkeys(str(row["family"]) for row in networks))
    table = Table(title="Validation scores (* = best of its family)", caption=_caption(rows), caption_justify="left")
    for heading in ("", "model"):
        table.add_column(heading, overflow="fold")
    columns = {key: about for key, about in COLUMNS.items() if any(key in row for row in rows)}
    for heading, _ in columns.values():
        table.add_column(heading, justify="right", no_wrap=True)
    for family in families:
        ranked = sorted((row for row in networks if row["family"] == family), key=_sort_key)
        best = {str(ranked[0]["model"])} if winners is None else set(winners)
        for row in ranked[:top]:
            _add_row(table, row, columns, str(row["model"]), marked=row["model"] in best)
        table.add_section()
    for row in rows:
        if row.get("kind") in REFERENCE_NAMES:
            _add_row(table, row, columns, REFERENCE_NAMES[row["kind"]], marked=False)
    return table


def leaderboard_rows(records: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of the leaderboard from the stored runs of a search, with the ``status`` of each run.

    Args:
        records: ``name``, ``status``, ``tags`` and ``metrics`` of each run.
    """
    rows = []
    for record in records:
        tags, metrics = record["tags"], record["metrics"]
        if "model" not in tags:
            continue
        kind = "network" if "trial" in tags else tags["model"]
        row = {"model": record["name"], "family": tags["model"], "kind": kind, "status": record["status"]}
        row["winner"] = tags.get("winner") == "true"
        kept = kept_metrics(metrics) if kind == "network" else metrics
        scores = {name.removeprefix("val/"): value for name, value in kept.items() if name.startswith("val/")}
        rows.append(row | scores)
        if "seconds" in metrics:
            rows[-1]["seconds"] = metrics["seconds"]
    return rows


def _caption(rows: Collection[Record]) -> str | None:
    z_prime = Z_PRIME_NOTE if any("wells/z_prime" in row for row in rows) else None
    return " ".join(filter(None, [majority_note(rows), z_prime])) or None


def _sort_key(row: Record) -> tuple[float, float, float]:
    found = _number(row, "replicates/score", -math.inf)
    return _number(row, "log_loss", math.inf), _number(row, "mse", math.inf), -found


def _number(row: Record, key: str, missing: float) -> float:
    value = row.get(key)
    return missing if value is None or math.isnan(value) else float(value)


def _add_row(table: Table, row: Record, columns: Mapping[str, tuple[str, str]], name: str, *, marked: bool) -> None:
    cells = []
    for key, (_, spec) in columns.items():
        value = _number(row, key, math.nan)
        cells.append("-" if math.isnan(value) else format(value, spec))
    # A name may contain square brackets, which rich would take for markup.
    table.add_row(Text("*" if marked else ""), Text(name), *cells, style="bold" if marked else None)
