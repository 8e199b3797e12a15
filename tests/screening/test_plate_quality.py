import numpy as np
import pandas as pd
import pytest

from leigh_mlops.screening.plate_quality import (
    ControlCounts,
    ControlsFault,
    ControlsProblem,
    PlateControls,
    count_controls,
    find_controls_problem,
    flag_plates,
    plate_b_scores,
    plate_controls,
    plate_table,
)

ROLES = pd.Series(["source", "source", "source", "target", "target", "target", ""])
WELLS = pd.DataFrame({"Metadata_Plate": "P", "score": [-9.0, -1.0, 1.0, 9.0, 10.0, 30.0, 5.0], "seen": False})


def plate(row_effect: float = 0.0) -> pd.DataFrame:
    """Wells in random order, of which 20 are controls of each kind."""
    rng = np.random.default_rng(0)
    row, column = np.meshgrid(np.arange(1, 9), np.arange(1, 13), indexing="ij")
    roles = rng.permutation(np.repeat(["source", "target", ""], [20, 20, 56]))
    score = rng.normal(0, 0.1, 96) + 5.0 * (roles == "target") + row_effect * row.ravel()
    return pd.DataFrame(
        {
            "Metadata_Plate": "P",
            "Metadata_Well": [f"{r}/{c}" for r, c in zip(row.ravel(), column.ravel(), strict=True)],
            "Metadata_Row": row.ravel(), "Metadata_Col": column.ravel(),
            "Metadata_Condition": np.where(roles == "target", "WT", "DS"), "role": roles, "score": score,
        }
    )  # fmt: skip


def table(wells: pd.DataFrame) -> pd.DataFrame:
    return plate_table(wells.drop(columns=["role", "score"]), wells["score"], {"P": controls(wells)})


def controls(wells: pd.DataFrame) -> dict[str, np.ndarray]:
    return {role: wells.loc[wells["role"] == role, "score"].to_numpy() for role in ("source", "target")}


def test_rows_take_their_share() -> None:
    assert table(plate())["row_share"].iloc[0] < 0.15
    tilted = table(plate(row_effect=1.0)).iloc[0]
    assert tilted["row_share"] > 0.9
    assert tilted["z_prime_log_odds"] < table(plate())["z_prime_log_odds"].iloc[0]


def test_plates_without_controls_are_flagged() -> None:
    wells = plate().assign(role="")
    assert np.isnan(table(wells).iloc[0]["z_prime_log_odds"])
    assert find_controls_problem(controls(wells)) == ControlsProblem(ControlsFault.FEW, 0, 0)
    turned = plate()
    turned["score"] *= -1
    assert find_controls_problem(controls(turned)) == ControlsProblem(ControlsFault.REVERSED, 20, 20)


def test_only_screens_have_b_scores() -> None:
    wells = plate(row_effect=1.0)
    roles = wells["role"]
    found, reasons = plate_b_scores(wells, roles, roles == "")
    assert reasons == {}
    samples = (roles == "").to_numpy()
    assert abs(np.corrcoef(found[samples], wells["Metadata_Row"][samples])[0, 1]) < 0.3
    nothing, reasons = plate_b_scores(wells, roles, pd.Series(False, wells.index))
    assert reasons == {}
    assert np.isnan(nothing).all()


def test_controls_that_do_not_differ_are_no_yardstick() -> None:
    assert find_controls_problem(controls(plate())) is None
    source = np.linspace(-1, 1, 20)
    problem = find_controls_problem({"source": source, "target": source + 0.01})
    assert problem is not None
    assert (problem.fault, problem.source, problem.target) == (ControlsFault.ALIKE, 20, 20)
    assert 0.9 < problem.p < 1


def test_plates_have_their_flags() -> None:
    found = flag_plates(PlateControls({"P": controls(plate()), "Q": controls(plate().assign(role=""))}), {})
    assert found["P"].problem is None
    assert not found["P"].seen
    assert found["Q"].problem is not None
    assert flag_plates(PlateControls({"P": controls(plate())}, frozenset("P")), {})["P"].seen


def test_controls_that_the_model_has_seen_are_left_out_where_two_others_are_left() -> None:
    assert plate_controls(WELLS, ROLES).scores["P"]["target"].tolist() == [9, 10, 30]
    assert count_controls(WELLS, ROLES, plate_controls(WELLS, ROLES)) == ControlCounts(others=6)
    wells = WELLS.assign(seen=WELLS.index.isin([0, 5]))
    found = plate_controls(wells, ROLES)
    assert found.scores["P"]["source"].tolist() == [-1, 1]
    assert found.scores["P"]["target"].tolist() == [9, 10]
    assert not found.seen
    assert count_controls(wells, ROLES, found) == ControlCounts(others=6, left_out=2)


def test_a_plate_without_enough_others_keeps_them_with_a_warning() -> None:
    wells = WELLS.assign(seen=WELLS.index.isin([0, 1]))
    found = plate_controls(wells, ROLES)
    assert found.scores["P"]["source"].tolist() == [-9, -1, 1]
    assert found.seen == {"P"}
    assert count_controls(wells, ROLES, found) == ControlCounts(("P",), used=6, seen=2)


def test_a_plate_without_enough_controls_of_any_sort_has_no_yardstick() -> None:
    wells = WELLS.assign(seen=True).iloc[2:]
    found = plate_controls(wells, ROLES[2:])
    assert not found.seen
    assert find_controls_problem(found.scores["P"]) == ControlsProblem(ControlsFault.FEW, 1, 3)


@pytest.mark.parametrize(
    ("target", "fault"),
    [([9.0, 11.0], None), ([0.2, 1.1], ControlsFault.ALIKE), ([-3.0, -2.0], ControlsFault.REVERSED)],
)
def test_why_controls_are_no_yardstick(target: list[float], fault: ControlsFault | None) -> None:
    found = find_controls_problem({"source": np.array([-1.0, 1.0]), "target": np.array(target)})
    assert (None if found is None else found.fault) == fault
