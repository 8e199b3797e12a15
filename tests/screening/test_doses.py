import pandas as pd
import pytest

from leigh_mlops.errors import LeighError
from leigh_mlops.screening.doses import dose_column

TABLE = pd.DataFrame(
    {"Metadata_Row": [1, 2], "Metadata_mmoles_per_liter": [0.1, 1.0], "Metadata_Compound": ["a", "b"], "energy": [1, 2]}
)


def test_the_unit_in_the_name_says_what_a_dose_is() -> None:
    assert dose_column(TABLE) == ("Metadata_mmoles_per_liter", "")
    for name in ("Metadata_dose", "Metadata_Concentration_uM", "Metadata_drug_nM", "Metadata_mg_per_ml"):
        assert dose_column(TABLE.rename(columns={"Metadata_mmoles_per_liter": name})) == (name, "")
    assert dose_column(TABLE.rename(columns={"Metadata_mmoles_per_liter": "Metadata_Donor"})) == (None, "")


def test_one_dose_for_all_is_no_series() -> None:
    assert dose_column(TABLE.assign(Metadata_mmoles_per_liter=[0.0, 1.0])) == (None, "")


def test_several_must_be_named() -> None:
    both = TABLE.assign(Metadata_dose=[1.0, 2.0])
    column, doubt = dose_column(both)
    assert column is None
    assert "name one with --doses" in doubt
    assert dose_column(both, "dose") == ("Metadata_dose", "")
    assert dose_column(both, "Metadata_Row") == ("Metadata_Row", "")


def test_what_is_no_dose_is_refused() -> None:
    with pytest.raises(LeighError, match="no column of the data"):
        dose_column(TABLE, "uM")
    with pytest.raises(LeighError, match="something else than numbers"):
        dose_column(TABLE, "Compound")
