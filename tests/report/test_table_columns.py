import math

import numpy as np
import pandas as pd
import pytest

from leigh_mlops.report.table_columns import (
    drop_empty,
    float_values,
    is_missing,
    is_numeric,
    row_count,
    table_row,
    table_rows,
)

TABLE = {"well": ["A01", "A02"], "score": [1, math.nan], "note": [None, None]}


def test_rows_hold_every_column() -> None:
    assert row_count(TABLE) == 2
    assert table_row(TABLE, 0) == table_rows(TABLE)[0] == {"well": "A01", "score": 1, "note": None}
    assert (row_count({}), table_rows({}), row_count({"well": []})) == (0, [], 0)


@pytest.mark.parametrize("value", [None, math.nan, np.nan, pd.NA, pd.NaT])
def test_missing_values_are_those_of_pandas(value: object) -> None:
    assert is_missing(value)
    assert not any(map(is_missing, (0, 0.0, "", False, math.inf)))


def test_a_column_with_one_text_is_not_numeric() -> None:
    assert is_numeric([1, 2.0, pd.NA, True])
    assert not is_numeric([1, "2"])
    assert not is_numeric([1, None])


def test_numbers_have_nan_where_one_is_missing() -> None:
    np.testing.assert_array_equal(float_values([1, pd.NA, None, 2.5]), [1, np.nan, np.nan, 2.5])


def test_only_columns_without_any_value_are_dropped() -> None:
    assert list(drop_empty(TABLE)) == ["well", "score"]
