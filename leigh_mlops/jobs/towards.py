"""The field that interpolations of a job lead to."""

import re

import pandas as pd

from leigh_mlops.errors import LeighError
from leigh_mlops.jobs.reading import Field, FieldReader

__all__ = ["read_field_towards", "row_of_field"]


def read_field_towards(reader: FieldReader, name: str) -> Field:
    """The field that a user named.

    Args:
        reader: Of the model and its table.
        name: See `row_of_field`.

    Raises:
        LeighError: There is no such field, or it cannot be read.
    """
    row = row_of_field(reader.table, name)
    try:
        return reader.read(row)
    except LeighError as error:
        raise LeighError(f"--towards-field {name} can't be read: {error}") from None


def row_of_field(table: pd.DataFrame, name: str) -> int:
    """The row of a field that a user named.

    Of several planes or times the first is taken. The plate's name may hold slashes.

    Args:
        table: Image table.
        name: ``PLATE/WELL/SITE``, such as ``plate1/B03/2``.

    Raises:
        LeighError: That is no such name, or the table has no such field.
    """
    found = re.fullmatch(r"(.+)/([^/]+)/(\d+)", name)
    if not found:
        raise LeighError(f"--towards-field {name!r} names no field; write it as PLATE/WELL/SITE, such as plate1/B03/2.")
    keys = [("Metadata_Plate", found[1]), ("Metadata_Well", found[2]), ("Metadata_Site", str(int(found[3])))]
    rows = table
    for column, value in keys:
        chosen = rows[rows[column].astype(str) == value]
        if chosen.empty:
            # A field that shares as much of the name as there is says best how it is written.
            near = "/".join(str(rows[key].iloc[0]) for key, _ in keys)
            raise LeighError(f"There is no field {name}; name one of the table's, such as {near}.")
        rows = chosen
    return int(table.index.get_indexer(rows.index[:1])[0])
