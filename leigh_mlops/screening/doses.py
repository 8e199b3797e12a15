"""Detection of the dose column of a plate map."""

import re

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from leigh_mlops.errors import LeighError
from leigh_mlops.plates.columns import is_metadata

__all__ = ["dose_column"]

# The unit is part of the name, as in plate maps of Cell Painting (mmoles_per_liter, mg_per_ml).
_DOSE_WORDS = re.compile(r"dose|concentration|moles_per_lit|g_per_ml", re.IGNORECASE)
_DOSE_UNITS = re.compile(r"_(?:[pnumµμ]?M|[nuµμm]?g_m[lL])$")


def dose_column(table: pd.DataFrame, asked: str | None = None) -> tuple[str | None, str]:
    """Find the column of doses.

    If no name is given, it is the one numeric ``Metadata_`` column whose name contains ``dose``,
    ``concentration``, ``moles_per_liter`` or ``g_per_ml``, or ends in ``_M``, ``_mM``, ``_uM`` or
    ``_nM``, and which has at least two different values above 0.

    Args:
        table: One row per field or well.
        asked: Name of the column, with or without ``Metadata_``.

    Returns:
        The column, or None, and a sentence if several columns are possible, else an empty one.

    Raises:
        LeighError: The given column does not exist or is not numeric.

    Example:
        >>> dose_column(pd.DataFrame({"Metadata_mmoles_per_liter": [0.1, 1.0]}))
        ('Metadata_mmoles_per_liter', '')
    """
    if asked is not None:
        return _requested_column(table, asked), ""
    found = [str(name) for name in table if is_metadata(name) and _is_dose_name(str(name)) and _has_doses(table[name])]
    if len(found) > 1:
        return None, f"Doses could stand in {' or '.join(found)}; name one with --doses."
    return (found[0] if found else None), ""


def _requested_column(table: pd.DataFrame, asked: str) -> str:
    name = asked if asked in table else f"Metadata_{asked}"
    if name not in table:
        raise LeighError(f"--doses {asked!r} is no column of the data; name one of its plate map.")
    if not is_numeric_dtype(table[name]):
        raise LeighError(f"--doses {asked!r} holds something else than numbers; correct the plate map.")
    return name


def _is_dose_name(name: str) -> bool:
    return bool(_DOSE_WORDS.search(name) or _DOSE_UNITS.search(name))


def _has_doses(column: "pd.Series[float]") -> bool:
    return is_numeric_dtype(column) and len(np.unique(column[column > 0])) > 1
