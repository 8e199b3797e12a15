"""The checks of a job's methods, as its report tells them."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from leigh_mlops.jobs.said import map_title

__all__ = ["checks_shown", "doubts_of"]


def doubts_of(methods: pd.DataFrame) -> dict[str, str]:
    """Why the maps of a method may not be believed, by the method's name; those that passed are left out.

    Args:
        methods: The table of ``methods.csv``; empty where nothing was checked.
    """
    if methods.empty:
        return {}
    failed = methods.loc[~methods["passed"].astype(bool), "method"]
    return {str(name): "It has not passed its checks on this model; the first page says why." for name in failed}


def checks_shown(methods: pd.DataFrame) -> pd.DataFrame:
    """The checks as a reader takes them in; the file holds each number.

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
                "deletion (random, edges)": _beside(row, "deletion"),
                "insertion (random, edges)": _beside(row, "insertion"),
                "likeness to an untrained network's": row.get("randomised_similarity"),
                "completeness error": row.get("completeness_error"),
                "infidelity": row.get("infidelity"),
                "sensitivity": row.get("sensitivity"),
                "images": row.get("images"),
            }
        )
    return pd.DataFrame(rows).dropna(axis="columns", how="all")


def _beside(row: Mapping[Any, Any], name: str) -> str | None:
    """A figure with those of a random and of an edge-drawn map."""
    values = [row.get(key) for key in (name, f"{name}_random", f"{name}_edge")]
    if values[0] is None or pd.isna(values[0]):
        return None
    own, random, edge = ("-" if value is None or pd.isna(value) else f"{value:.2f}" for value in values)
    return f"{own} ({random}, {edge})"
