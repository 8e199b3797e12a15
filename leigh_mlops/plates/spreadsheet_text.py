"""Text in cells of spreadsheets: nothing that a spreadsheet would run, and nothing of its own escapes."""

import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from pandas.api.types import is_numeric_dtype

__all__ = ["bare_text", "quote_formulas", "unquote_formulas", "write_csv"]

_FORMULA = re.compile(r"[=+@\t\r\n]|-(?!\d*[.,]?\d+(?:[eE][+-]?\d+)?$)(?=.)", re.DOTALL)
_ESCAPE = re.compile(r'="((?:[^"]|"")*)"')


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write a table without its index as a CSV that is safe to open: :func:`quote_formulas` of it."""
    quote_formulas(table).to_csv(path, index=False)


def quote_formulas(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose texts no spreadsheet takes for formulas: an apostrophe stands before ``= + - @``.

    The same holds for tabs and line breaks at the start of a text, and for the names of columns. Numbers stay
    as they are, negative ones in texts, too.

    Example:
        >>> quote_formulas(pd.DataFrame({"compound": ["=1+1", "-x", "-5", "DMSO"]}))["compound"].tolist()
        ["'=1+1", "'-x", '-5', 'DMSO']
    """
    return _map_texts(table, _quote)


def unquote_formulas(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table as it was before :func:`quote_formulas`."""
    return _map_texts(table, _unquote)


def _map_texts(table: pd.DataFrame, change: Callable[[object], object]) -> pd.DataFrame:
    texts = [name for name in table if not is_numeric_dtype(table[name])]
    mapped = table.assign(**{str(name): table[name].map(change, na_action="ignore") for name in texts})
    return mapped.rename(columns=change)


def _quote(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value.lstrip("'")) else value


def _unquote(value: object) -> object:
    if isinstance(value, str) and value.startswith("'") and _FORMULA.match(value.lstrip("'")):
        return value[1:]
    return value


def bare_text(text: str) -> str:
    """Text of a cell without the escapes of a spreadsheet.

    Example:
        >>> bare_text('="A01"'), bare_text("'=1+1"), bare_text("A01")
        ('A01', '=1+1', 'A01')
    """
    escaped = _ESCAPE.fullmatch(text)
    return escaped[1].replace('""', '"').strip() if escaped else str(_unquote(text))
