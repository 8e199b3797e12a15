"""Which column of a plate map says how much was added."""

import re

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from leigh_mlops.errors import LeighError

__all__ = ["dose_column"]

# The unit stands in the name, as in plate maps of Cell Painting (mmoles_per_liter, mg_per_ml).
_WORDS = re.compile(r"dose|concentration|moles_per_lit|g_per_ml", re.IGNORECASE)
_UNITS = re.compile(r"_(?:[pnumµμ]?M|[nuµμm]?g_m[lL])$")


def dose_column(table: pd.DataFrame, asked: str | None = None) -> tuple[str | None, str]:
    """The column of doses, and what to say where it is not clear.

    Without a name it is the one numeric ``Metadata_`` column whose name says ``dose``,
    ``concentration``, ``moles_per_liter`` or ``g_per_ml``, or ends in ``_M``, ``_mM``, ``_uM`` or
    ``_nM``, and which has two values above 0.

    Args:
        table: One row per field or well.
        asked: Its name, with or without ``Metadata_``.

    Returns:
        The column, None where there is none, and a sentence where several could be meant.

    Raises:
        LeighError: The column that was asked for does not exist or is no number.

    Example:
        >>> dose_column(pd.DataFrame({"Metadata_mmoles_per_liter": [0.1, 1.0]}))
        ('Metadata_mmoles_per_liter', '')
    """
    if asked is not None:
        return _asked(table, asked), ""
    found = [
        str(name)
        for name in table
        if str(name).startswith("Metadata_") and _says_dose(str(name)) and _varies(table[name])
    ]
    if len(found) > 1:
        return None, f"Doses could stand in {' or '.join(found)}; name one with --doses."
    return (found[0] if found else None), ""


def _asked(table: pd.DataFrame, asked: str) -> str:
    name = asked if asked in table else f"Metadata_{asked}"
    if name not in table:
        raise LeighError(f"--doses {asked!r} is no column of the data; name one of its plate map.")
    if not is_numeric_dtype(table[name]):
        raise LeighError(f"--doses {asked!r} holds something else than numbers; correct the plate map.")
    return name


def _says_dose(name: str) -> bool:
    return bool(_WORDS.search(name) or _UNITS.search(name))


def _varies(column: "pd.Series[float]") -> bool:
    return is_numeric_dtype(column) and len(np.unique(column[column > 0])) > 1
