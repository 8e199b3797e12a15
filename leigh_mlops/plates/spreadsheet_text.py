"""Text in cells of spreadsheets: nothing that a spreadsheet would run, and nothing of its own escapes."""

import re

import pandas as pd
from pandas.api.types import is_object_dtype, is_string_dtype

__all__ = ["bare_text", "quote_formulas", "unquote_formulas"]

_FORMULA = re.compile(r"[=+@\t\r]|-(?!\d*[.,]?\d+(?:[eE][+-]?\d+)?$)(?=.)", re.DOTALL)
_ESCAPE = re.compile(r'="((?:[^"]|"")*)"')


def quote_formulas(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose texts no spreadsheet takes for formulas: an apostrophe stands before ``= + - @``.

    Numbers stay as they are, negative ones in texts, too.

    Example:
        >>> quote_formulas(pd.DataFrame({"compound": ["=1+1", "-x", "-5", "DMSO"]}))["compound"].tolist()
        ["'=1+1", "'-x", '-5', 'DMSO']
    """
    texts = [name for name in table if is_object_dtype(table[name]) or is_string_dtype(table[name])]
    return table.assign(**{str(name): table[name].map(_quote, na_action="ignore") for name in texts})


def unquote_formulas(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table as it was before :func:`quote_formulas`."""
    texts = [name for name in table if is_object_dtype(table[name]) or is_string_dtype(table[name])]
    return table.assign(**{str(name): table[name].map(_unquote, na_action="ignore") for name in texts})


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
