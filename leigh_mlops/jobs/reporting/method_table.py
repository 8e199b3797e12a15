"""Checks of a job's methods, formatted for its report."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from leigh_mlops.jobs.reporting.captions import map_title

__all__ = ["format_checks", "method_warnings"]


def method_warnings(methods: pd.DataFrame) -> dict[str, str]:
    """Return a warning for each method that did not pass its checks, by the method's name.

    Args:
        methods: The table of ``methods.csv``; empty where nothing was checked.
    """
    if methods.empty:
        return {}
    failed = methods.loc[~methods["passed"].astype(bool), "method"]
    return {str(name): "It has not passed its checks on this model; the first page says why." for name in failed}


def format_checks(methods: pd.DataFrame) -> pd.DataFrame:
    """Format the checks for a reader; the file has all the numbers.

    Args:
        methods: The table of ``methods.csv``; empty where nothing was checked.
    """
    if methods.empty:
        return methods
    rows = []
    for row in methods.to_dict("records"):
        rows.append(
            {
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
        )
    return pd.DataFrame(rows).dropna(axis="columns", how="all")


def _format_comparison(row: Mapping[Any, Any], name: str) -> str | None:
    """Format a score with those of a random map and of an edge map."""
    values = [row.get(key) for key in (name, f"{name}_random", f"{name}_edge")]
    if values[0] is None or pd.isna(values[0]):
        return None
    own, random, edge = ("-" if value is None or pd.isna(value) else f"{value:.2f}" for value in values)
    return f"{own} ({random}, {edge})"
