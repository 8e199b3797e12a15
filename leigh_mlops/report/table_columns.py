"""Tables of a report as plain columns: lists of values by the name of the column, all of one length."""

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = [
    "Columns", "FrameColumns", "drop_empty", "float_values", "group_rows", "is_missing", "is_numeric", "row_count",
    "select_rows", "table_row", "table_rows",
]  # fmt: skip

Columns = Mapping[str, Sequence[Any]]


class FrameColumns(Mapping[str, Sequence[Any]]):
    """Columns of a data frame, each listed when it is read: a list of numbers needs more memory than their column.

    Args:
        table: The data frame; its columns are not changed.
    """

    def __init__(self, table: pd.DataFrame) -> None:
        self._table = table

    def __getitem__(self, name: str) -> Sequence[Any]:
        """List the values of a column."""
        values: list[Any] = self._table[name].tolist()
        return values

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names of the columns."""
        return map(str, self._table)

    def __len__(self) -> int:
        """Number of columns."""
        return self._table.shape[1]

    def select_rows(self, places: Sequence[int]) -> dict[str, Sequence[Any]]:
        """Return the lists of some rows, see `select_rows`."""
        return dict(FrameColumns(self._table.iloc[list(places)]))


def row_count(table: Columns) -> int:
    """Number of rows."""
    return len(next(iter(table.values()), ()))


def select_rows(table: Columns, places: Sequence[int]) -> dict[str, Sequence[Any]]:
    """Return some rows of a table.

    Args:
        table: The table.
        places: Numbers of the rows, from 0.

    Example:
        >>> select_rows({"well": ["A01", "A02", "A03"]}, [2, 0])
        {'well': ['A03', 'A01']}
    """
    if isinstance(table, FrameColumns):
        return table.select_rows(places)
    return {name: [values[place] for place in places] for name, values in table.items()}


def group_rows(values: Sequence[Hashable]) -> dict[Any, list[int]]:
    """Numbers of the rows of each value of a column, in the order in which the values appear.

    Example:
        >>> group_rows(["P2", "P1", "P2"])
        {'P2': [0, 2], 'P1': [1]}
    """
    found: dict[Any, list[int]] = {}
    for place, value in enumerate(values):
        found.setdefault(value, []).append(place)
    return found


def table_row(table: Columns, place: int) -> dict[str, Any]:
    """Return one row, by its number from 0."""
    return {name: values[0] for name, values in select_rows(table, [place]).items()}


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
