"""Checks of a job's methods, formatted for its report."""

from collections.abc import Mapping, Sequence
from typing import Any

from leigh_mlops.jobs.reporting.captions import map_title
from leigh_mlops.report.table_columns import Columns, drop_empty, is_missing

__all__ = ["format_checks", "method_warnings"]

Check = Mapping[str, Any]


def method_warnings(methods: Sequence[Check]) -> dict[str, str]:
    """Return a warning for each method that did not pass its checks, by the method's name.

    Args:
        methods: Rows of ``methods.csv``.
    """
    failed = [row["method"] for row in methods if not row["passed"]]
    return {str(name): "It has not passed its checks on this model; the first page says why." for name in failed}


def format_checks(methods: Sequence[Check]) -> Columns:
    """Format the checks for a reader; the file has all the numbers.

    Args:
        methods: Rows of ``methods.csv``.
    """
    rows = list(map(_format_check, methods))
    return drop_empty({name: [row[name] for row in rows] for name in rows[0]}) if rows else {}


def _format_check(row: Check) -> dict[str, Any]:
    return {
        "method": map_title(str(row["method"])) or str(row["method"]).replace("_", " "),
        "checks": "● passed" if row["passed"] else "■ not passed",
        "why": row["why"],
        "deletion (random, edges)": _format_comparison(row, "deletion"),
        "insertion (random, edges)": _format_comparison(row, "insertion"),
        "likeness to an untrained network's": row.get("randomised_similarity"),
        "completeness error": row.get("completeness_error"),
        "infidelity": row.get("infidelity"),
        "sensitivity": row.get("sensitivity"),
        "images": row.get("images"),
    }


def _format_comparison(row: Check, name: str) -> str | None:
    """Format a score with those of a random map and of an edge map."""
    values = [row.get(key) for key in (name, f"{name}_random", f"{name}_edge")]
    if is_missing(values[0]):
        return None
    own, random, edge = ("-" if is_missing(value) else f"{value:.2f}" for value in values)
    return f"{own} ({random}, {edge})"
