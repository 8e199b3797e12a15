"""Uses of wells: what a search would do with each."""

from enum import StrEnum
from typing import Any

import pandas as pd

from leigh_mlops.plates.columns import Metadata
from leigh_mlops.plates.folder_roles import SPLIT_PARTS
from leigh_mlops.plates.treatment import is_treated

__all__ = ["WellUse", "well_uses"]


class WellUse(StrEnum):
    """Uses of a well."""

    TRAIN = "training"
    VAL = "validation"
    TEST = "test"
    LEAK = "several parts"
    TREATED = "treated, in no class"
    EXCLUDED = "all fields excluded"
    UNASSIGNED = "in no part"
    NO_CLASS = "no class"


_OF_PART = dict(zip(SPLIT_PARTS, (WellUse.TRAIN, WellUse.VAL, WellUse.TEST), strict=True))


def well_uses(table: pd.DataFrame, parts: "pd.Series[str] | None", *, needs_labels: bool = True) -> pd.DataFrame:
    """Find the use of each well by a search with its defaults.

    Args:
        table: Image table with all classes; ``Metadata_Excluded`` is used if present.
        parts: Part of each row (``train``, ``val``, ``test`` or missing) on the table's index; ``None`` where
            the wells cannot be divided.
        needs_labels: Whether treated wells and those without a class are in no part.

    Returns:
        One row per well, sorted, with ``Metadata_Plate``, ``Metadata_Well``, ``Metadata_Row``, ``Metadata_Col``,
        ``Metadata_Condition`` and ``use``.
    """
    excluded = table[Metadata.EXCLUDED] if Metadata.EXCLUDED in table else pd.Series(False, index=table.index)
    part = pd.Series(None, table.index, dtype=object) if parts is None else parts.reindex(table.index)
    rows = table.assign(treated=is_treated(table) & needs_labels, excluded=excluded.astype(bool), part=part)
    wells = rows.groupby([Metadata.PLATE, Metadata.WELL], sort=True)
    about = wells[[Metadata.ROW, Metadata.COLUMN, Metadata.CONDITION, "treated"]].first()
    about["excluded"] = wells["excluded"].all()
    about["part"], about["parts"] = wells["part"].first(), wells["part"].nunique()
    about["use"] = [_use(row, needs_labels=needs_labels) for _, row in about.iterrows()]
    return about.drop(columns=["treated", "excluded", "part", "parts"]).reset_index()


def _use(row: "pd.Series[Any]", *, needs_labels: bool) -> WellUse:
    if row["treated"]:
        return WellUse.TREATED
    if needs_labels and pd.isna(row[Metadata.CONDITION]):
        return WellUse.NO_CLASS
    if row["parts"] > 1:
        return WellUse.LEAK
    if row["excluded"]:
        return WellUse.EXCLUDED
    return _OF_PART[row["part"]] if row["parts"] else WellUse.UNASSIGNED
