import numpy as np
import pandas as pd
import pytest

from leigh_mlops.jobs.direction import Direction
from leigh_mlops.jobs.well_scores import log_odds_of, plate_controls, scored_wells, with_rescue
from leigh_mlops.jobs.wells import well_table

WAY = Direction("DS", "WT", "")


def fields(scores: dict[str, list[float]]) -> pd.DataFrame:
    """Fields by well with these log-odds of WT over DS."""
    rows = [(well, odds) for well, each in scores.items() for odds in each]
    table = pd.DataFrame(rows, columns=["Metadata_Well", "odds"]).assign(Metadata_Plate="P", seen=False)
    healthy = 1 / (1 + np.exp(-table.pop("odds")))
    return table.assign(probability_DS=1 - healthy, probability_WT=healthy)


TABLE = fields({"A01": [-4, -4, -4], "A02": [-2, -2, -2], "B01": [6, 6, 6], "B02": [8, 8, 8], "C01": [0, 2, 4, 9]})
ROLES = pd.Series(["source", "source", "target", "target", ""])


def scored(table: pd.DataFrame, out: list[int]) -> pd.DataFrame:
    chosen = pd.Series(table.index.isin(out), table.index)
    return scored_wells(well_table(table, ("DS", "WT")), table, chosen, ("DS", "WT"), WAY, None)


def test_log_odds_are_of_health_over_disease() -> None:
    np.testing.assert_allclose(log_odds_of(TABLE, WAY)[:3], -4)
    certain = TABLE.assign(probability_DS=0.0, probability_WT=1.0)
    assert np.isfinite(log_odds_of(certain, WAY)).all()


def test_fields_that_do_not_count_are_counted() -> None:
    everything = scored(TABLE, [])
    np.testing.assert_allclose(everything["score"], [-4, -2, 6, 8, 3])
    assert everything["fields"].tolist() == [3, 3, 3, 3, 4]
    some = scored(TABLE, [0, 1, 2, 15])
    assert some["fields"].tolist() == [0, 3, 3, 3, 3]
    assert some["fields_left_out"].tolist() == [3, 0, 0, 0, 1]
    assert np.isnan(some["score"][0])
    assert some["score"][4] == pytest.approx(2)


def test_rescue_by_hand() -> None:
    wells, out = scored(TABLE, []), pd.Series(False, TABLE.index)
    found = with_rescue(wells, TABLE, out, WAY, plate_controls(wells, ROLES))
    # Controls at -3 and 7: a well at 3 has gone 6 of 10.
    np.testing.assert_allclose(found["rescue"], [-10, 10, 90, 110, 60])
    # The diseased controls' median is -3, their MAD 1.
    np.testing.assert_allclose(found["robust_z"][4], 6 / 1.4826)
    # With certain fields, only the controls are in doubt: they lie at -4 to -2 and 6 to 8.
    assert found["rescue_low"][0] == pytest.approx(100 * (-4 + 2) / (6 + 2), abs=1e-6)
    assert found["rescue_high"][0] == pytest.approx(0, abs=1e-6)
    assert found["rescue_low"][4] < 60 < found["rescue_high"][4]


def test_reversed_controls_are_no_yardstick() -> None:
    wells, out = scored(TABLE, []), pd.Series(False, TABLE.index)
    turned = ROLES.map({"source": "target", "target": "source", "": ""})
    found = with_rescue(wells, TABLE, out, WAY, plate_controls(wells, turned))
    assert found[["rescue", "rescue_low", "rescue_high"]].isna().all(axis=None)
    assert found["robust_z"].notna().all()
