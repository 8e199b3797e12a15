"""Control characters in the names of classes, compounds and plates, which are text in every output."""

import re

import pandas as pd

from leigh_mlops.errors import LeighError, escape_unprintable
from leigh_mlops.plates.columns import Metadata, strip_metadata_prefix
from leigh_mlops.plates.platemap_file import TEXT_COLUMNS
from leigh_mlops.plates.treatment import COMPOUND_COLUMNS

__all__ = ["require_printable_names"]

_CONTROL = r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
"""Control characters of ASCII and Latin 1, line separators, changes of direction, and bytes that are no text."""
_NAMES = tuple(dict.fromkeys((*TEXT_COLUMNS, *COMPOUND_COLUMNS, Metadata.ACQUISITION)))


def require_printable_names(table: pd.DataFrame) -> None:
    """Refuse an image table with control characters in the name of a class, compound, plate, donor or the like.

    Such a name would break tables, pages and terminals, or read there as another name.

    Raises:
        LeighError: A name has one.
    """
    for column in (name for name in _NAMES if name in table):
        for name in table[column].dropna().unique():
            if re.search(_CONTROL, str(name)):
                row = table[table[column] == name].iloc[0]
                where = escape_unprintable(f"{row[Metadata.PLATE]}/{row[Metadata.WELL]}")
                raise LeighError(
                    f"{strip_metadata_prefix(column)} '{escape_unprintable(name)}' of well {where} has a control "
                    "character; rename it in the plate map, the table or the folders."
                )
