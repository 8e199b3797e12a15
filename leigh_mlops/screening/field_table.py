"""Shared queries on a job's table of fields."""

import pandas as pd

from leigh_mlops.explanations import COUNTERFACTUAL_KINDS
from leigh_mlops.plates.columns import Metadata

__all__ = ["WELL_COLUMNS", "is_valid_counterfactual", "counterfactual_kinds", "well_names"]

WELL_COLUMNS = [Metadata.PLATE, Metadata.WELL]
"""Columns that identify a well."""


def well_names(fields: pd.DataFrame) -> list[str]:
    """Names ``plate/well`` of the rows."""
    return [f"{plate}/{well}" for plate, well in zip(*(fields[name] for name in WELL_COLUMNS), strict=True)]


def counterfactual_kinds(fields: pd.DataFrame) -> list[str]:
    """Kinds of counterfactuals in a table of fields, the most informative first."""
    return [kind for kind in reversed(COUNTERFACTUAL_KINDS) if f"counterfactual_{kind}_light" in fields]


def is_valid_counterfactual(fields: pd.DataFrame, kind: str) -> "pd.Series[bool]":
    """Return whether each field has a valid counterfactual of a kind: one whose light is green or amber."""
    return fields[f"counterfactual_{kind}_light"].isin(["green", "amber"])
