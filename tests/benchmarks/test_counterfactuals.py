import pandas as pd
import pytest

from benchmarks.counterfactuals import class_differences


def fields(**changed):
    """Two wells of each class, the first with two fields; TT has 10 more of TMRM and as much DAPI."""
    rows = [
        ("DS", "P/A01", 4.0, 6.0, 1.0),
        ("DS", "P/A01", 6.0, 8.0, 3.0),
        ("DS", "P/A02", 7.0, 9.0, 3.0),
        ("TT", "P/B01", 15.0, -6.0, 2.0),
        ("TT", "P/B02", 17.0, -6.0, 2.9),
    ]
    known = pd.DataFrame(rows, columns=["class", "well", "mean_TMRM", "change_TMRM", "mean_DAPI"])
    known = known.assign(change_DAPI=1.0, kind="confident", valid=True, source=known["class"])
    return known.assign(target=known["class"].map({"DS": "TT", "TT": "DS"})).assign(**changed)


def of_tmrm(found):
    return found[found["channel"] == "TMRM"].set_index("from")


def test_change_and_difference_are_means_over_wells():
    found = of_tmrm(class_differences(fields()))
    assert found.loc["DS", ["real", "change"]].tolist() == [10.0, 8.0]
    assert found.loc["DS", "low"] <= 10 <= found.loc["DS", "high"]
    assert found.loc["DS", "ratio"] == pytest.approx(0.8)
    assert found.loc["TT", ["real", "change"]].tolist() == [-10.0, -6.0]
    assert found.loc["TT", "ratio"] == pytest.approx(0.6)


def test_a_difference_that_may_be_chance_is_not_known():
    found = class_differences(fields())
    assert found.groupby("channel")["differs"].all().to_dict() == {"DAPI": False, "TMRM": True}


def test_what_is_not_valid_changes_nothing():
    found = of_tmrm(class_differences(fields(valid=[False, False, True, True, True])))
    assert found.loc["DS", "change"] == 9
    assert class_differences(fields(valid=False)).empty


def test_a_change_the_other_way_has_a_negative_ratio():
    assert (of_tmrm(class_differences(fields()))["ratio"] > 0).all()
    turned = fields(change_TMRM=[-1.0, -1.0, -1.0, 1.0, 1.0])
    assert (of_tmrm(class_differences(turned))["ratio"] < 0).all()


def test_a_field_that_is_taken_for_another_class_makes_no_change():
    assert set(class_differences(fields())["from"]) == {"DS", "TT"}
    found = of_tmrm(class_differences(fields(source="DS", target="TT")))
    assert found.index.tolist() == ["DS"]
    assert found["real"].tolist() == [10.0]
