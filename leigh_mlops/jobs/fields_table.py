"""What is asked of a job's table of fields in several places."""

import pandas as pd

from leigh_mlops.explanations import KINDS

__all__ = ["WELL", "holding", "kinds_in", "well_names"]

WELL = ["Metadata_Plate", "Metadata_Well"]
"""Columns that name a well."""


def well_names(fields: pd.DataFrame) -> list[str]:
    """``plate/well`` of each row."""
    return [f"{plate}/{well}" for plate, well in zip(*(fields[name] for name in WELL), strict=True)]


def kinds_in(fields: pd.DataFrame) -> list[str]:
    """The kinds of counterfactuals that a table of fields has, the one that says most first."""
    return [kind for kind in reversed(KINDS) if f"counterfactual_{kind}_light" in fields]


def holding(fields: pd.DataFrame, kind: str) -> "pd.Series[bool]":
    """Whether each field has a counterfactual of a kind that is what was asked for: its light is not red."""
    return fields[f"counterfactual_{kind}_light"].isin(["green", "amber"])
