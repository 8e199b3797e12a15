import pandas as pd
import pytest

from leigh_mlops.errors import LeighError
from leigh_mlops.jobs.towards import find_field_row


@pytest.fixture
def table() -> pd.DataFrame:
    rows = [("a/b", "B03", 1), ("P", "B03", 1), ("P", "B03", 2), ("P", "C04", 1), ("P", "C04", 1)]
    return pd.DataFrame(rows, columns=["Metadata_Plate", "Metadata_Well", "Metadata_Site"], index=[7, 3, 5, 1, 0])


@pytest.mark.parametrize(("name", "row"), [("a/b/B03/1", 0), ("P/B03/2", 2), ("P/B03/02", 2), ("P/C04/1", 3)])
def test_a_field_is_found_by_its_name(table: pd.DataFrame, name: str, row: int) -> None:
    assert find_field_row(table, name) == row


@pytest.mark.parametrize("name", ["P", "P/B03", "P/B03/x", "B03/1"])
def test_what_names_no_field_is_said(table: pd.DataFrame, name: str) -> None:
    with pytest.raises(LeighError, match=r"names no field; write it as PLATE/WELL/SITE"):
        find_field_row(table, name)


@pytest.mark.parametrize(("name", "near"), [("P/B03/9", "P/B03/1"), ("P/D01/1", "P/B03/1"), ("Q/B03/1", "a/b/B03/1")])
def test_a_field_that_is_not_there_names_a_near_one(table: pd.DataFrame, name: str, near: str) -> None:
    with pytest.raises(LeighError, match=rf"There is no field {name}; .* such as {near}\.$"):
        find_field_row(table, name)
