from collections import Counter

import pandas as pd
import pytest

from leigh_mlops.errors import LeighError
from leigh_mlops.jobs.blind_fields import BlindField, choose_blind_fields, find_blind_kind
from tests.jobs.blind_job import blind_table


def choose(table: pd.DataFrame, number: int = 8, seed: int = 0) -> list[BlindField]:
    return choose_blind_fields(table, "typical", number, seed)


def names(chosen: list[BlindField], *, generated: bool) -> list[str]:
    return [each.field for each in chosen if each.generated == generated]


def test_typical_counterfactuals_are_preferred_to_confident_ones() -> None:
    both = blind_table().assign(picture_counterfactual_confident="a.png")
    assert find_blind_kind(both) == "typical"
    assert find_blind_kind(both.assign(picture_counterfactual_typical=None)) == "confident"
    assert find_blind_kind(blind_table(kind="boundary")) is None


def test_each_class_has_as_many_generated_as_real_fields_and_none_twice() -> None:
    chosen = choose(blind_table())
    assert Counter((each.claim, each.generated) for each in chosen) == {
        (claim, generated): 4 for claim in ("DS", "TT") for generated in (True, False)
    }
    assert len({each.field for each in chosen}) == len(chosen) == 16
    assert all(each.field.startswith(each.claim) != each.generated for each in chosen)
    assert all(("counterfactual" in each.path) == each.generated for each in chosen)


def test_wells_are_spread() -> None:
    few = Counter(each.well for each in choose(blind_table(wells=8, sites=2), 8))
    assert set(few.values()) == {1}
    assert set(Counter(each.well for each in choose(blind_table(wells=4, sites=4), 8)).values()) == {2}


def test_the_seed_decides_choice_and_order() -> None:
    assert choose(blind_table()) == choose(blind_table())
    first, second = choose(blind_table(), 4), choose(blind_table(), 4, seed=1)
    assert {each.field for each in first} != {each.field for each in second}
    kinds = [each.generated for each in choose(blind_table(), 12)]
    assert kinds != sorted(kinds)
    assert kinds != sorted(kinds, reverse=True)


def test_unseen_fields_come_first() -> None:
    table = blind_table(wells=8)
    table["seen"] = table["field"].str.endswith("f0")
    assert not any(each.seen for each in choose(table, 8))
    assert sum(each.seen for each in choose(table, 10)) == 4


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("trust", "saturation; empty"),
        ("trust", "defocus"),
        ("Metadata_Excluded", "True"),
        ("counterfactual_typical_reasons", "realism; no cells"),
    ],
)
def test_fields_without_cells_are_left_out(column: str, value: str) -> None:
    table = blind_table()
    bad = table["field"].str.contains("00_")
    assert len(choose(table, 12)) == 24
    with pytest.raises(LeighError, match="only 10 such pairs"):
        choose(table.assign(**{column: bad.map({True: value, False: ""})}), 12)
    assert len(choose(table.assign(**{column: "saturation"}), 12)) == 24


def test_counterfactuals_that_are_not_valid_are_left_out() -> None:
    table = blind_table()
    table.loc[table["field"] != "DS00_f0", "counterfactual_typical_valid"] = False
    table.loc[table["field"] == "TT00_f0", "counterfactual_typical_valid"] = True
    assert set(names(choose(table, 2), generated=True)) == {"DS00_f0", "TT00_f0"}
    table["counterfactual_typical_valid"] = None
    with pytest.raises(LeighError, match="only 0 such pairs of different fields that hold cells; explain more fields"):
        choose(table, 2)


def test_a_field_of_the_target_class_is_no_counterfactual_of_it() -> None:
    table = blind_table()
    assert "DS00_f0" in names(choose(table, 12, seed=0) + choose(table, 12, seed=2), generated=True)
    table.loc[table["field"] == "DS00_f0", ["predicted", "counterfactual_target"]] = ["TT", "DS"]
    for seed in range(8):
        assert "DS00_f0" not in names(choose(table, 11, seed), generated=True)


def test_a_class_without_labelled_fields_is_that_of_predictions() -> None:
    table = blind_table()
    assert choose(table.drop(columns="Metadata_Condition")) == choose(table.assign(Metadata_Condition=None))
    some = table.assign(Metadata_Condition=table["Metadata_Condition"].where(table["Metadata_Condition"] == "DS"))
    assert {each.claim for each in choose(some, 8)} == {"DS", "TT"}
    some.loc[0, "predicted"] = "TT"  # misclassified: a real field of its label
    assert {each.claim for each in choose(some, 12) if each.field == "DS00_f0" and not each.generated} <= {"DS"}
    assert len([each for each in choose(some, 12) if each.claim == "TT" and not each.generated]) == 6
    some.loc[some["Metadata_Condition"].isna().idxmax(), "Metadata_Condition"] = "TT"
    assert len([each for each in choose(some, 8) if each.claim == "TT" and not each.generated]) == 1


def test_too_few_fields_are_refused_with_a_number_that_works() -> None:
    table = blind_table()
    with pytest.raises(LeighError, match=r"13 generated fields .* only 12 such pairs .*; give --fields 12"):
        choose(table, 13)
    assert len(choose(table, 12)) == 24
    with pytest.raises(LeighError, match="explain more fields of each class"):
        choose(table[table["Metadata_Condition"] == "DS"], 2)
