import pandas as pd
import pytest

from leigh_mlops.plates.control_labels import standard_controls


def standard(**columns):
    series, unknown = standard_controls(pd.DataFrame({f"Metadata_{name}": words for name, words in columns.items()}))
    return None if series is None else [None if pd.isna(word) else word for word in series], unknown


@pytest.mark.parametrize(
    "columns",
    [
        {"Control": ["negcon", "poscon", "empty", None]},
        {"Control": [" NegCon", "POSCON_cp", "Empty ", "trt"]},
        {"pert_type": ["negcon", "poscon", "empty", "trt"]},
        {
            "pert_type": ["control", "control", "empty", "trt"],
            "control_type": ["negcon", "poscon_diverse", None, None],
        },
        {"control_type": ["negcon", "poscon_orf", "empty", None]},
        {"Control": ["negcon", None, None, None], "pert_type": ["trt", "poscon", "empty", "trt"]},
        {"Control": ["Negative control", "Positivkontrolle", "leer", "sample"]},
    ],
)
def test_every_dialect_says_the_same(columns):
    assert standard(**columns) == (["negcon", "poscon", "empty", None], [])


def test_a_table_without_controls():
    assert standard_controls(pd.DataFrame({"Metadata_Well": ["B03"]})) == (None, [])


def test_a_column_without_a_word_names_no_control():
    assert standard(Control=[None, None]) == ([None, None], [])


def test_words_that_are_not_known_are_listed():
    assert standard(Control=["DMSO", "negcon", "DMSO"]) == ([None, "negcon", None], ["dmso"])
    assert standard(pert_type=["control", "ctl"], control_type=[None, None]) == ([None, None], ["ctl"])
