import numpy as np
import pandas as pd
import pytest

from leigh_mlops.screening.well_table import misclassified_wells, well_table


def fields(**columns: object) -> pd.DataFrame:
    """Three fields of one well and one of another."""
    table = pd.DataFrame(
        {
            "Metadata_Plate": "P", "Metadata_Well": ["B03"] * 3 + ["B04"], "Metadata_Site": [1, 2, 3, 1],
            "Metadata_Condition": ["DS"] * 4, "seen": [False, True, False, False],
            "probability_DS": [0.9, 0.9, 0.4, 0.2], "probability_TT": [0.1, 0.1, 0.6, 0.8],
        }
    )  # fmt: skip
    return table.assign(**columns)


def test_medians_of_numbers_and_shares_of_facts() -> None:
    valid = pd.Series([True, False, False, None], dtype=object)
    wells = well_table(fields(x=[1, 2, 9, 4], counterfactual_confident_valid=valid), ("DS", "TT"))
    assert wells["fields"].tolist() == [3, 1]
    assert wells["x"].tolist() == [2, 4]
    assert wells["seen"].tolist() == [True, False]
    assert wells["predicted"].tolist() == ["DS", "TT"]
    assert wells["counterfactual_confident_valid"][0] == 1 / 3
    assert np.isnan(wells["counterfactual_confident_valid"][1])
    assert "Metadata_Site" not in wells


def test_ways_to_different_classes_are_not_averaged() -> None:
    table = fields(
        counterfactual_confident_light="green",
        counterfactual_confident_attempts=[1, 2, 5, 1],
        counterfactual_confident_change_TMRM=[-1.0, -3.0, 50.0, 4.0],
    )
    assert well_table(table, ("DS", "TT"))["counterfactual_confident_change_TMRM"].tolist() == [-1, 4]
    for order in ([0, 1, 2, 3], [2, 0, 1, 3]):  # the commonest class need not be the first
        mixed = table.assign(counterfactual_target=["TT", "TT", "DS", "DS"]).iloc[order]
        wells = well_table(mixed, ("DS", "TT"))
        assert wells["counterfactual_target"].tolist() == ["TT", "DS"]
        assert wells["counterfactual_confident_change_TMRM"].tolist() == [-2, 4]
        assert wells["counterfactual_confident_attempts"].tolist() == [1.5, 1]


def test_what_changes_is_told_by_counterfactuals_that_are_not_red() -> None:
    table = fields(
        counterfactual_target="TT",
        counterfactual_confident_light=["green", "amber", "red", "red"],
        counterfactual_confident_length=[1.0, 2.0, 9.0, 9.0],
        counterfactual_confident_after_intensity_TMRM=[1.0, 2.0, 90.0, 90.0],
    )
    wells = well_table(table, ("DS", "TT"))
    assert wells["counterfactual_confident_length"].tolist() == [2, 9]
    assert wells["counterfactual_confident_after_intensity_TMRM"][0] == 1.5
    assert np.isnan(wells["counterfactual_confident_after_intensity_TMRM"][1])


def test_a_field_without_a_counterfactual_and_a_picture_s_scale() -> None:
    table = fields(
        counterfactual_target=["TT", None, None, None],
        counterfactual_confident_valid=pd.Series([True, None, None, None], dtype=object),
        counterfactual_confident_map_full_colour=[0.1, np.nan, np.nan, np.nan],
    )
    wells = well_table(table, ("DS", "TT"))
    assert wells["counterfactual_target"].tolist()[0] == "TT"
    assert wells["counterfactual_confident_valid"][0] == 1
    assert "counterfactual_confident_map_full_colour" not in wells


def test_hits_are_wells_that_look_like_another_class() -> None:
    wells = well_table(fields(), ("DS", "TT"))
    assert misclassified_wells(wells, ("DS", "TT"))["Metadata_Well"].tolist() == ["B04"]
    assert misclassified_wells(wells, ()).empty


def test_the_class_of_a_well_is_that_of_its_fields_that_count() -> None:
    table = fields()
    assert well_table(table, ("DS", "TT"))["predicted"].tolist() == ["DS", "TT"]
    out = pd.Series([True, True, False, True])
    wells = well_table(table, ("DS", "TT"), out)
    assert wells["predicted"].tolist()[0] == "TT"
    assert wells["probability_TT"][0] == pytest.approx(0.6)
    assert pd.isna(wells["predicted"][1])
    assert wells[["probability_DS", "probability_TT"]].isna().iloc[1].all()
    # The well without any class is no hit, though its label is not what it is taken for.
    assert misclassified_wells(wells, ("DS", "TT"))["Metadata_Well"].tolist() == ["B03"]
    assert misclassified_wells(well_table(table, ("DS", "TT"), pd.Series(True, table.index)), ("DS", "TT")).empty


def test_no_fields_no_wells() -> None:
    assert well_table(fields().iloc[:0], ("DS", "TT")).empty
