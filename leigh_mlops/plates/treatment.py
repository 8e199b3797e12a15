"""Treated wells: those with a compound, which are no controls, and have the label of their cells, not of the effect."""

from dataclasses import dataclass

import pandas as pd

from leigh_mlops.plates.columns import Metadata

__all__ = ["COMPOUND_COLUMNS", "TreatedCounts", "count_treated", "is_treated", "leave_out_treated", "well_compounds"]

COMPOUND_COLUMNS = (
    "Metadata_Compound",
    "Metadata_compound",
    "Metadata_pert_iname",
    "Metadata_broad_sample",
    "Metadata_JCP2022",
)
"""Columns that name the compound of a well; the first one that a table has is used."""

_UNTREATED_NAMES = ("", "dmso", "vehicle", "none", "untreated")


def well_compounds(wells: pd.DataFrame) -> "pd.Series[str]":
    """Compound of each well, missing for untreated wells and the solvent alone, on the index of the wells."""
    column = next((name for name in COMPOUND_COLUMNS if name in wells and wells[name].notna().any()), None)
    if column is None:
        return pd.Series(None, wells.index, dtype=object)
    names = wells[column].astype(object).where(wells[column].notna())
    return names.map(
        lambda name: None if str(name).strip().casefold() in _UNTREATED_NAMES else str(name), na_action="ignore"
    )


@dataclass(frozen=True)
class TreatedCounts:
    """Numbers of treated wells.

    Attributes:
        wells: Number of treated wells.
        fields: Number of their fields.
        by_class: Number of treated wells by the class that they are labelled as, sorted.
        lost_classes: Classes of which every well is treated.
        controls: Number of labelled control wells with a compound, which keep their class.
    """

    wells: int
    fields: int
    by_class: dict[str, int]
    lost_classes: tuple[str, ...]
    controls: int


def is_treated(table: pd.DataFrame) -> "pd.Series[bool]":
    """Mark the rows with a compound that are no controls, on the index of the table.

    A well with a compound whose plate map calls it ``negcon``, ``poscon`` or ``empty`` is a control.
    """
    control = table.get(Metadata.CONTROL, pd.Series(pd.NA, table.index, dtype=object))
    return (well_compounds(table).notna() & control.isna()).rename(None)


def leave_out_treated(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table without the class of treated wells, so that they are in no class and in no part of a split.

    The label of such a well is that of its cells before the compound: a rescued patient well has
    the label of a diseased one.
    """
    treated = is_treated(table)
    if Metadata.CONDITION not in table or not treated.any():
        return table
    return table.assign(Metadata_Condition=table[Metadata.CONDITION].mask(treated))


def count_treated(table: pd.DataFrame) -> TreatedCounts:
    """Count the treated wells of an image table, and the classes that have no other wells."""
    treated = is_treated(table)
    labels = table.get(Metadata.CONDITION, pd.Series(None, table.index, dtype=object))
    wells = table[Metadata.PLATE].astype(str) + "/" + table[Metadata.WELL].astype(str)
    labelled = treated & labels.notna()
    by_class = wells[labelled].groupby(labels[labelled].astype(str)).nunique()
    others = set(labels[~treated].dropna().astype(str))
    controls = well_compounds(table).notna() & ~treated & labels.notna()
    return TreatedCounts(
        wells=int(wells[treated].nunique()),
        fields=int(treated.sum()),
        by_class={str(name): int(count) for name, count in by_class.items()},
        lost_classes=tuple(str(name) for name in by_class.index if name not in others),
        controls=int(wells[controls].nunique()),
    )
