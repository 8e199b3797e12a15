import numpy as np
import pandas as pd
import pytest

from leigh_mlops.screening.plate_quality import plate_controls
from leigh_mlops.screening.reference_classes import ReferenceClasses
from leigh_mlops.screening.well_table import (
    field_log_odds,
    misclassified_wells,
    well_rescue,
    well_scores,
    well_table,
)


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


def rescued(wells: pd.DataFrame, table: pd.DataFrame, out: pd.Series, controls: dict) -> dict[str, np.ndarray]:
    return well_rescue(wells, table[~out], field_log_odds(table, WAY)[~out], controls)


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
        counterfactual_confident_status="green",
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
        counterfactual_confident_status=["green", "amber", "red", "red"],
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


WAY = ReferenceClasses("DS", "WT")


def fields_with_odds(scores: dict[str, list[float]]) -> pd.DataFrame:
    """Fields by well with these log-odds of WT over DS."""
    rows = [(well, odds) for well, each in scores.items() for odds in each]
    table = pd.DataFrame(rows, columns=["Metadata_Well", "odds"]).assign(Metadata_Plate="P", seen=False)
    healthy = 1 / (1 + np.exp(-table.pop("odds")))
    return table.assign(probability_DS=1 - healthy, probability_WT=healthy)


SCORES = {"A01": [-4.0] * 6, "A02": [-2.0] * 6, "B01": [6.0] * 6, "B02": [8.0] * 6, "C01": [0.0, 1, 2, 4, 9, 9]}
TABLE = fields_with_odds(SCORES)
ROLES = pd.Series(["source", "source", "target", "target", ""])


def scored(table: pd.DataFrame, out: list[int]) -> pd.DataFrame:
    chosen = pd.Series(table.index.isin(out), table.index)
    wells = well_table(table, ("DS", "WT"))
    return wells.assign(**well_scores(wells, table, chosen, ("DS", "WT"), WAY, None))


def test_log_odds_are_of_health_over_disease() -> None:
    np.testing.assert_allclose(field_log_odds(TABLE, WAY)[:3], -4)
    certain = TABLE.assign(probability_DS=0.0, probability_WT=1.0)
    assert np.isfinite(field_log_odds(certain, WAY)).all()


def test_fields_that_do_not_count_are_counted() -> None:
    everything = scored(TABLE, [])
    np.testing.assert_allclose(everything["score"], [-4, -2, 6, 8, 3])
    assert everything["fields"].tolist() == [6, 6, 6, 6, 6]
    some = scored(TABLE, [0, 1, 2, 3, 4, 5, 29])
    assert some["fields"].tolist() == [0, 6, 6, 6, 5]
    assert some["fields_left_out"].tolist() == [6, 0, 0, 0, 1]
    assert np.isnan(some["score"][0])
    assert some["score"][4] == pytest.approx(2)


def test_rescue_by_hand() -> None:
    wells, out = scored(TABLE, []), pd.Series(False, TABLE.index)
    found = rescued(wells, TABLE, out, plate_controls(wells, ROLES).scores)
    # Controls at -3 and 7: a well at 3 has gone 6 of 10.
    np.testing.assert_allclose(found["rescue"], [-10, 10, 90, 110, 60])
    # The diseased controls' median is -3, their MAD 1.
    np.testing.assert_allclose(found["robust_z"][4], 6 / 1.4826)
    # With certain fields, only the controls are in doubt: they lie at -4 to -2 and 6 to 8.
    assert found["rescue_low"][0] == pytest.approx(100 * (-4 + 2) / (6 + 2), abs=1e-6)
    assert found["rescue_high"][0] == pytest.approx(0, abs=1e-6)
    assert found["rescue_low"][4] < 60 < found["rescue_high"][4]


def test_the_interval_of_a_well_needs_six_fields() -> None:
    table = fields_with_odds({name: each[: 5 if name == "C01" else 6] for name, each in SCORES.items()})
    wells = scored(table, [])
    found = rescued(wells, table, pd.Series(False, table.index), plate_controls(wells, ROLES).scores)
    assert np.isfinite(found["rescue"]).all()
    assert np.isnan(found["rescue_low"]).tolist() == [False] * 4 + [True]


def test_controls_that_do_not_differ_are_no_yardstick() -> None:
    close = fields_with_odds({**SCORES, "B01": [-3.0] * 6, "B02": [-1.0] * 6})
    wells, out = scored(close, []), pd.Series(False, close.index)
    controls = plate_controls(wells, ROLES).scores
    assert controls["P"]["target"].mean() > controls["P"]["source"].mean()
    assert np.isnan(rescued(wells, close, out, controls)["rescue"]).all()


def test_reversed_controls_are_no_yardstick() -> None:
    wells, out = scored(TABLE, []), pd.Series(False, TABLE.index)
    turned = ROLES.map({"source": "target", "target": "source", "": ""})
    found = rescued(wells, TABLE, out, plate_controls(wells, turned).scores)
    assert all(np.isnan(found[name]).all() for name in ("rescue", "rescue_low", "rescue_high"))
    assert np.isfinite(found["robust_z"]).all()
