"""Which class is diseased, which is healthy, and which wells are their controls."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from leigh_mlops.errors import LeighError

__all__ = ["COMPOUND_COLUMNS", "Direction", "compounds_of", "control_roles", "direction_of"]

COMPOUND_COLUMNS = (
    "Metadata_Compound",
    "Metadata_compound",
    "Metadata_pert_iname",
    "Metadata_broad_sample",
    "Metadata_JCP2022",
)
"""Columns that name what was added to a well; the first that a table has counts."""

_USUAL = ("DS", "WT")
_NOTHING = ("", "dmso", "vehicle", "none", "untreated")
_ROLES = {"negcon": "source", "poscon": "target"}


@dataclass(frozen=True)
class Direction:
    """The way that a compound should go.

    Attributes:
        source: The class of diseased cells, 0 % rescue.
        target: The class of healthy cells, 100 % rescue.
        sentence: How it was chosen, in words.
    """

    source: str
    target: str
    sentence: str


def direction_of(
    wells: pd.DataFrame, classes: Sequence[str], source: str | None = None, target: str | None = None
) -> Direction | None:
    """Choose the way: as asked; DS to WT; negative to positive controls; from the one class to the other.

    Args:
        wells: One row per well, or per field.
        classes: The model's classes.
        source: The diseased class, where it is given.
        target: The healthy class, where it is given.

    Returns:
        None where none of the rules says which classes are meant.

    Raises:
        LeighError: A class that was given is none of the model's, or both are one.
    """
    for option, name in (("--rescue-from", source), ("--rescue-to", target)):
        if name is not None and name not in classes:
            raise LeighError(f"{option} {name!r} is no class of the model; choose from {', '.join(classes)}.")
    if source is not None and source == target:
        raise LeighError(f"--rescue-from and --rescue-to are both {source!r}; give two classes.")
    chosen, why = _chosen(wells, classes, source, target)
    if chosen is None:
        return None
    return Direction(*chosen, f"Rescue is measured from {chosen[0]} (0 %) to {chosen[1]} (100 %), {why}.")


def control_roles(wells: pd.DataFrame, direction: Direction) -> "pd.Series[str]":
    """``source`` or ``target`` for control wells, the empty text for every other, on the index of the wells.

    A well that the plate map calls a negative or positive control is one of the class that it is
    labelled as; without a label a negative control counts as source and a positive one as target.
    A positive control labelled as source is a treatment that is known to rescue, and no control here.
    A class without such wells has all its labelled wells to which no compound was added.
    """
    nothing = pd.Series(pd.NA, wells.index, dtype=object)
    control, condition = (wells.get(f"Metadata_{name}", nothing) for name in ("Control", "Condition"))
    of_class = condition.map({direction.source: "source", direction.target: "target"})
    roles = of_class.where(condition.notna(), control.map(_ROLES)).where(control.isin(_ROLES))
    roles = roles.mask((control == "poscon") & (roles == "source"))
    untreated = control.isna() & compounds_of(wells).isna()
    for role in ("source", "target"):
        if not (roles == role).any():
            roles = roles.where(~(untreated & (of_class == role)), role)
    return roles.fillna("").astype(str)


def compounds_of(wells: pd.DataFrame) -> "pd.Series[str]":
    """What was added to each well, missing where that is nothing or the solvent alone, on the index of the wells."""
    column = next((name for name in COMPOUND_COLUMNS if name in wells and wells[name].notna().any()), None)
    if column is None:
        return pd.Series(None, wells.index, dtype=object)
    names = wells[column].astype(object).where(wells[column].notna())
    return names.map(lambda name: None if str(name).strip().casefold() in _NOTHING else str(name), na_action="ignore")


def _chosen(
    wells: pd.DataFrame, classes: Sequence[str], source: str | None, target: str | None
) -> tuple[tuple[str, str] | None, str]:
    if source is not None and target is not None:
        return (source, target), "as asked"
    if source is None and target is None:
        if set(_USUAL) <= set(classes):
            return _USUAL, "as these are the classes of disease and health"
        if by_controls := _by_controls(wells, classes):
            return by_controls, "as the plate map's negative and positive controls are of these classes"
    if len(classes) != 2:
        return None, ""
    first = source or next(name for name in classes if name != target)
    second = target or next(name for name in classes if name != first)
    return (first, second), "the two classes of the model; give --rescue-from and --rescue-to for another way"


def _by_controls(wells: pd.DataFrame, classes: Sequence[str]) -> tuple[str, str] | None:
    if not {"Metadata_Control", "Metadata_Condition"} <= set(wells):
        return None
    found = [
        wells.loc[(wells["Metadata_Control"] == kind) & wells["Metadata_Condition"].isin(classes), "Metadata_Condition"]
        for kind in _ROLES
    ]
    if any(each.empty for each in found):
        return None
    negative, positive = (str(each.mode().iloc[0]) for each in found)
    return None if negative == positive else (negative, positive)
