from pathlib import Path

import pandas as pd
import pytest

import leigh_mlops
from leigh_mlops.plates.spreadsheet_text import quote_formulas, unquote_formulas
from leigh_mlops.plates.table import read_table, write_table

TABLE = pd.DataFrame(
    {
        "Metadata_Plate": ["p"] * 5,
        "Metadata_Well": ["B03", "B04", "B05", "B06", "B07"],
        "Metadata_Site": [1] * 5,
        "Metadata_Compound": ['=cmd|"/c x"!A1', "@SUM(A1)", "+1-x", "-2.5", "'=x"],
        "FileName_G": ["a.tif"] * 5,
        "PathName_G": ["/x"] * 5,
    }
)


def test_a_csv_holds_no_formula_and_is_read_as_it_was(tmp_path):
    write_table(TABLE, tmp_path / "t.csv")
    raw = pd.read_csv(tmp_path / "t.csv")["Metadata_Compound"].tolist()
    assert raw == ['\'=cmd|"/c x"!A1', "'@SUM(A1)", "'+1-x", "-2.5", "''=x"]
    assert read_table(tmp_path / "t.csv")["Metadata_Compound"].tolist() == TABLE["Metadata_Compound"].tolist()
    write_table(TABLE, tmp_path / "t.parquet")
    assert read_table(tmp_path / "t.parquet")["Metadata_Compound"].tolist() == TABLE["Metadata_Compound"].tolist()


@pytest.mark.parametrize("values", [[1.5, -2.0], [True, False], ["-", ""], [None, "x"]])
def test_what_no_spreadsheet_runs_stays_as_it_is(values):
    column = pd.Series(values)
    assert quote_formulas(column.to_frame("x"))["x"].fillna("-").tolist() == column.fillna("-").tolist()


def test_every_place_of_a_table_is_quoted_and_read_back():
    table = pd.DataFrame({"=a": ["=x", "b"], "number": [-1.5, 2.0], "text": ["\r=1", "\t1"], "flag": [True, False]})
    table["category"] = pd.Categorical(["@x", "y"])
    quoted = quote_formulas(table)
    assert list(quoted) == ["'=a", "number", "text", "flag", "category"]
    assert quoted.iloc[0].tolist() == ["'=x", -1.5, "'\r=1", True, "'@x"]
    assert unquote_formulas(quoted).astype(table.dtypes).equals(table)


def test_no_other_place_writes_a_csv():
    writers = [path.name for path in Path(leigh_mlops.__path__[0]).rglob("*.py") if ".to_csv(" in path.read_text()]
    assert writers == ["spreadsheet_text.py"]
