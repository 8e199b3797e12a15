import numpy as np
import pandas as pd
import pytest

from leigh_mlops.screening.plate_controls import plate_controls
from leigh_mlops.screening.reference_classes import ReferenceClasses
from leigh_mlops.screening.well_rescue import add_rescue, field_log_odds, score_wells
from leigh_mlops.screening.well_table import well_table

WAY = ReferenceClasses("DS", "WT", "")


def fields(scores: dict[str, list[float]]) -> pd.DataFrame:
    """Fields by well with these log-odds of WT over DS."""
    rows = [(well, odds) for well, each in scores.items() for odds in each]
    table = pd.DataFrame(rows, columns=["Metadata_Well", "odds"]).assign(Metadata_Plate="P", seen=False)
    healthy = 1 / (1 + np.exp(-table.pop("odds")))
    return table.assign(probability_DS=1 - healthy, probability_WT=healthy)


SCORES = {"A01": [-4.0] * 6, "A02": [-2.0] * 6, "B01": [6.0] * 6, "B02": [8.0] * 6, "C01": [0.0, 1, 2, 4, 9, 9]}
TABLE = fields(SCORES)
ROLES = pd.Series(["source", "source", "target", "target", ""])


def scored(table: pd.DataFrame, out: list[int]) -> pd.DataFrame:
    chosen = pd.Series(table.index.isin(out), table.index)
    return score_wells(well_table(table, ("DS", "WT")), table, chosen, ("DS", "WT"), WAY, None)


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
    found = add_rescue(wells, TABLE, out, WAY, plate_controls(wells, ROLES).scores)
    # Controls at -3 and 7: a well at 3 has gone 6 of 10.
    np.testing.assert_allclose(found["rescue"], [-10, 10, 90, 110, 60])
    # The diseased controls' median is -3, their MAD 1.
    np.testing.assert_allclose(found["robust_z"][4], 6 / 1.4826)
    # With certain fields, only the controls are in doubt: they lie at -4 to -2 and 6 to 8.
    assert found["rescue_low"][0] == pytest.approx(100 * (-4 + 2) / (6 + 2), abs=1e-6)
    assert found["rescue_high"][0] == pytest.approx(0, abs=1e-6)
    assert found["rescue_low"][4] < 60 < found["rescue_high"][4]


def test_the_interval_of_a_well_needs_six_fields() -> None:
    table = fields({name: each[: 5 if name == "C01" else 6] for name, each in SCORES.items()})
    wells = scored(table, [])
    found = add_rescue(wells, table, pd.Series(False, table.index), WAY, plate_controls(wells, ROLES).scores)
    assert found["rescue"].notna().all()
    assert found["rescue_low"].isna().tolist() == [False] * 4 + [True]


def test_controls_that_do_not_differ_are_no_yardstick() -> None:
    close = fields({**SCORES, "B01": [-3.0] * 6, "B02": [-1.0] * 6})
    wells, out = scored(close, []), pd.Series(False, close.index)
    controls = plate_controls(wells, ROLES).scores
    assert controls["P"]["target"].mean() > controls["P"]["source"].mean()
    assert add_rescue(wells, close, out, WAY, controls)["rescue"].isna().all()


def test_reversed_controls_are_no_yardstick() -> None:
    wells, out = scored(TABLE, []), pd.Series(False, TABLE.index)
    turned = ROLES.map({"source": "target", "target": "source", "": ""})
    found = add_rescue(wells, TABLE, out, WAY, plate_controls(wells, turned).scores)
    assert found[["rescue", "rescue_low", "rescue_high"]].isna().all(axis=None)
    assert found["robust_z"].notna().all()
