import pandas as pd
import pytest

from leigh_mlops.plates.spreadsheet_text import quote_formulas
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
