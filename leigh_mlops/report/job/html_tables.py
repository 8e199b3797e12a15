"""Tables of a report: cells as text, links to wells, numeric columns that sort as numbers."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from leigh_mlops.plates.columns import strip_metadata_prefix
from leigh_mlops.report.table_columns import Columns, is_numeric, row_count

__all__ = ["Cell", "Column", "Table", "cell_text", "heading", "column_text", "table_from_columns", "table_from_records"]


@dataclass(frozen=True)
class Column:
    """Column of a table: its heading, whether it holds numbers, and its meaning (empty if that is obvious)."""

    heading: str
    number: bool
    meaning: str = ""


@dataclass(frozen=True)
class Cell:
    """Cell of a table: its text and its links, pairs of text and URL."""

    text: str
    links: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class Table:
    """Table as shown on a page.

    Attributes:
        key: Identifier of the table on the page.
        caption: Description of a row.
        columns: Columns from left to right.
        rows: Rows with one cell for each column.
    """

    key: str
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]


def heading(column: object, headings: Mapping[str, str] = MappingProxyType({})) -> str:
    """Readable heading of a column.

    Args:
        column: Name of the column.
        headings: Headings that differ from the usual ones.

    Example:
        >>> heading("Metadata_Well"), heading("probability_TT"), heading("z_prime")
        ('Well', 'probability TT', "Z' of probabilities")
    """
    name = strip_metadata_prefix(column)
    named = {
        "Condition": "Label", "z_prime": "Z' of probabilities", "z_prime_log_odds": "Z' of log-odds",
        "robust_z_prime_log_odds": "robust Z' of log-odds", "ssmd": "SSMD", "q": "q (FDR)",
        "auc": "AUC", "chance_auc": "AUC within chance", "majority_share": "share of the largest class",
        "ece_before": "calibration error before", "ece_after": "calibration error after",
        "why": "reason", "rescue": "rescue (%)", "rescue_interval": "95 % interval", "flagged": "share flagged",
        "cell_share": "cells (share of controls)", "off_axis": "elsewhere (SD of controls)",
        "activity": "mAP of activity", "activity_q": "its q (FDR)",
    }  # fmt: skip
    named |= headings
    kind, _, rest = name.partition("_")
    if kind in ("probability", "calibrated") and rest:
        return f"probability {rest}"
    return named.get(name, name.replace("_", " "))


def cell_text(value: object) -> str:
    """Format a value as text, rounded to a readable precision; a dash if there is none.

    Example:
        >>> cell_text(0.12345), cell_text(1234.5), cell_text(2e-7), cell_text(None), cell_text(True)
        ('0.123', '1234', '2.0e-07', '-', 'yes')
    """
    if value is None or value is pd.NA or value is pd.NaT:
        return "-"
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, float):
        return _format_number(value)
    return str(value)


def column_text(name: object, value: object) -> str:
    """Format a value of a named column as text; probabilities get three decimals, however small.

    Example:
        >>> column_text("probability_TT", 2e-7), column_text("distance", 2e-7)
        ('0.000', '2.0e-07')
    """
    if str(name).startswith("probability") and isinstance(value, float) and not math.isnan(value):
        return f"{value:.3f}"
    return cell_text(value)


def _format_number(value: float) -> str:
    if math.isnan(value):
        return "-"
    size = abs(value)
    if value == 0 or math.isinf(value):
        return "0" if value == 0 else ("∞" if value > 0 else "-∞")
    if size < 0.001:
        return f"{value:.1e}"
    return f"{value:.{3 if size < 1 else 2 if size < 10 else 1 if size < 100 else 0}f}"


def table_from_columns(
    key: str,
    caption: str,
    table: Columns,
    *,
    meanings: Mapping[str, str] | None = None,
    links: Mapping[str, Sequence[Sequence[tuple[str, str]]]] | None = None,
    headings: Mapping[str, str] = MappingProxyType({}),
) -> Table:
    """Convert plain columns into a table.

    Args:
        key: Identifier of the table on the page.
        caption: Description of a row.
        table: Values by the name of their column.
        meanings: Meaning of each column, by its name.
        links: Column to the links of each of its cells.
        headings: Headings that differ from the usual ones.
    """
    leading = links or {}
    known = meanings or {}
    columns = [
        Column(heading(name, headings), _is_number(values), known.get(name, "")) for name, values in table.items()
    ]
    nowhere = [()] * row_count(table)
    cells = [
        [Cell(column_text(name, value), at) for value, at in zip(values, leading.get(name, nowhere), strict=True)]
        for name, values in table.items()
    ]
    return Table(key, caption, columns, list(zip(*cells, strict=True)))


def table_from_records(key: str, caption: str, records: Sequence[Mapping[str, Any]]) -> Table | None:
    """Convert a few records into a table; None if there are none.

    Args:
        key: Identifier of the table on the page.
        caption: Description of a row.
        records: Heading to value, the same headings in each; a column without a value is left out.
    """
    if not records:
        return None
    texts = {name: [cell_text(record[name]) for record in records] for name in records[0]}
    known = {name: cells for name, cells in texts.items() if set(cells) != {"-"}}
    columns = [Column(name, isinstance(records[0][name], int | float)) for name in known]
    return Table(key, caption, columns, [list(map(Cell, row)) for row in zip(*known.values(), strict=True)])


def _is_number(values: Sequence[Any]) -> bool:
    return is_numeric(values) and not any(isinstance(value, bool | np.bool_) for value in values)
