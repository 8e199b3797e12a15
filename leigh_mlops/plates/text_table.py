"""Text tables as spreadsheets save them: any usual separator, encoding and decimal sign."""

import io
import re
import warnings
from pathlib import Path

import pandas as pd

from leigh_mlops.errors import LeighError
from leigh_mlops.plates.spreadsheet_text import bare_text

__all__ = ["read_text_table"]

_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_SEPARATORS = ",;\t"
_MOST_COLUMNS = 1000
_SEPARATOR_LINE = re.compile(r"\"?sep=(.)\"?\s*", re.IGNORECASE)
"""The first line by which Excel tells itself the separator."""


def read_text_table(path: Path) -> pd.DataFrame:
    """Read a plate map's table, all of it as text.

    Commas, semicolons or tabs separate its columns, by the first line, or any sign by a line
    ``sep=`` above it. Its encoding is UTF-8, UTF-16 with a byte-order mark, or that of Western
    European Windows, as Excel saves them. Between semicolons a decimal comma is read as a point.
    ``="A01"``, by which Excel keeps a text, is A01.

    Returns:
        One row per line, empty cells missing, spaces around names and values removed.

    Raises:
        LeighError: There is no such file, or it is no table of text.
    """
    if not path.is_file():
        raise LeighError(f"the plate map {path} does not exist; name a CSV with a column well_position.")
    remedy = "save it as CSV in UTF-8"
    try:
        text = _decode(path.read_bytes())
        first, _, rest = text.partition("\n")
        if told := _SEPARATOR_LINE.fullmatch(first):
            text, separator = rest, told[1]
        else:
            separator = max(_SEPARATORS, key=first.count)
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # rows longer than the header lose cells
            table = pd.read_csv(
                io.StringIO(text), sep=separator, dtype="str", keep_default_na=False, na_values=[""], index_col=False
            )
    except pd.errors.ParserWarning as error:
        raise LeighError(f"the plate map {path} has rows longer than its header; {remedy} again.") from error
    except (OSError, ValueError) as error:
        raise LeighError(f"the plate map {path} cannot be read ({error}); {remedy}.") from error
    if table.shape[1] > _MOST_COLUMNS:
        raise LeighError(
            f"the plate map {path} has {table.shape[1]} columns, more than {_MOST_COLUMNS}; keep those that describe "
            "wells."
        )
    return _tidy(table, decimal_comma=separator == ";")


def _tidy(table: pd.DataFrame, *, decimal_comma: bool) -> pd.DataFrame:
    table = table.rename(columns=lambda name: bare_text(str(name).strip())).apply(lambda column: column.str.strip())
    table = table.apply(lambda column: column.map(bare_text, na_action="ignore").astype("str"))
    table = table.mask(table == "").dropna(how="all")
    nameless = [name for name in table if str(name).startswith("Unnamed:") and table[name].isna().all()]
    table = table.drop(columns=nameless)
    return table.apply(_decimal_points) if decimal_comma else table


def _decode(data: bytes) -> str:
    if data.startswith(_UTF16_MARKS):
        return data.decode("utf-16")
    if b"\0" in data:
        raise ValueError("it is not text")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252")


def _decimal_points(column: "pd.Series[str]") -> "pd.Series[str]":
    number = column.str.fullmatch(r"-?\d+(,\d+)?([eE][+-]?\d+)?", na=True)
    return column.str.replace(",", ".", regex=False) if number.all() else column
