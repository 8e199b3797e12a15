"""Target field of a job's interpolations."""

import re

import pandas as pd

from leigh_mlops.errors import LeighError
from leigh_mlops.jobs.field_reader import Field, FieldReader
from leigh_mlops.plates.columns import Metadata

__all__ = ["read_interpolation_target", "find_field_row"]


def read_interpolation_target(reader: FieldReader, name: str) -> Field:
    """Read the field that a user named.

    Args:
        reader: Reader of the fields of the table.
        name: Name of the field, see `find_field_row`.

    Raises:
        LeighError: There is no such field, or it cannot be read.
    """
    row = find_field_row(reader.table, name)
    try:
        return reader.read(row)
    except LeighError as error:
        raise LeighError(f"--towards-field {name} can't be read: {error}") from None


def find_field_row(table: pd.DataFrame, name: str) -> int:
    """Find the row of a field that a user named.

    Of several planes or times the first is taken. The plate's name may hold slashes.

    Args:
        table: Image table.
        name: ``PLATE/WELL/SITE``, such as ``plate1/B03/2``.

    Raises:
        LeighError: The name is malformed, or the table has no such field.
    """
    found = re.fullmatch(r"(.+)/([^/]+)/(\d+)", name)
    if not found:
        raise LeighError(f"--towards-field {name!r} names no field; write it as PLATE/WELL/SITE, such as plate1/B03/2.")
    keys = [(Metadata.PLATE, found[1]), (Metadata.WELL, found[2]), (Metadata.SITE, str(int(found[3])))]
    rows = table
    for column, value in keys:
        chosen = rows[rows[column].astype(str) == value]
        if chosen.empty:
            # The example shares as many parts of the name as possible, to show how it is written.
            near = "/".join(str(rows[key].iloc[0]) for key, _ in keys)
            raise LeighError(f"There is no field {name}; name one of the table's, such as {near}.")
        rows = chosen
    return int(table.index.get_indexer(rows.index[:1])[0])
