"""Tables of a report as plain columns: lists of values by the name of the column, all of one length."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = ["Columns", "drop_empty", "float_values", "is_missing", "is_numeric", "table_row", "row_count", "table_rows"]

Columns = Mapping[str, Sequence[Any]]


def row_count(table: Columns) -> int:
    """Number of rows."""
    return len(next(iter(table.values()), ()))


def table_row(table: Columns, place: int) -> dict[str, Any]:
    """Return one row, by its number from 0."""
    return {name: values[place] for name, values in table.items()}


def table_rows(table: Columns) -> list[dict[str, Any]]:
    """Return all rows.

    Example:
        >>> table_rows({"well": ["A01", "A02"], "score": [0.5, 2.0]})
        [{'well': 'A01', 'score': 0.5}, {'well': 'A02', 'score': 2.0}]
    """
    return [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]


def is_missing(value: object) -> bool:
    """Return whether a value is missing: None, NaN, or the missing value of pandas."""
    return value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and math.isnan(value))


def is_numeric(values: Sequence[Any]) -> bool:
    """Return whether a column holds numbers or truth values, of which some may be NaN.

    Example:
        >>> is_numeric([1.0, float("nan")]), is_numeric(["DS", None]), is_numeric([])
        (True, False, False)
    """
    return len(values) > 0 and all(value is pd.NA or isinstance(value, int | float | np.number) for value in values)


def float_values(values: Sequence[Any]) -> NDArray[np.float64]:
    """Values of a numeric column as an array, shape (N,), NaN where one is missing."""
    return np.asarray([math.nan if is_missing(value) else value for value in values], np.float64)


def drop_empty(table: Columns) -> dict[str, Sequence[Any]]:
    """Drop the columns in which every value is missing."""
    return {name: values for name, values in table.items() if not all(map(is_missing, values))}
