import numpy as np
import pandas as pd
import pytest

from leigh_mlops.screening.plate_controls import controls_problem, describe_controls, plate_controls
from leigh_mlops.screening.reference_classes import ReferenceClasses

ROLES = pd.Series(["source", "source", "source", "target", "target", "target", ""])
WELLS = pd.DataFrame({"Metadata_Plate": "P", "score": [-9.0, -1.0, 1.0, 9.0, 10.0, 30.0, 5.0], "seen": False})


def test_controls_that_the_model_has_seen_are_left_out_where_two_others_are_left() -> None:
    assert plate_controls(WELLS, ROLES).scores["P"]["target"].tolist() == [9, 10, 30]
    assert describe_controls(WELLS, ROLES, plate_controls(WELLS, ROLES)) == ([], [])
    wells = WELLS.assign(seen=WELLS.index.isin([0, 5]))
    found = plate_controls(wells, ROLES)
    assert found.scores["P"]["source"].tolist() == [-1, 1]
    assert found.scores["P"]["target"].tolist() == [9, 10]
    assert not found.seen
    warned, said = describe_controls(wells, ROLES, found)
    assert warned == []
    assert "on 2 of 6 control wells; they are left out, and rescue is measured by the 4 that" in said[0]


def test_a_plate_without_enough_others_keeps_them_with_a_warning() -> None:
    wells = WELLS.assign(seen=WELLS.index.isin([0, 1]))
    found = plate_controls(wells, ROLES)
    assert found.scores["P"]["source"].tolist() == [-9, -1, 1]
    assert found.seen == {"P"}
    warned, said = describe_controls(wells, ROLES, found)
    assert "on 2 of the 6 control wells of P" in warned[0]
    assert "compounds without effect can look rescued there, and Z' is too good" in warned[0]
    assert said == []


def test_a_plate_without_enough_controls_of_any_sort_has_no_yardstick() -> None:
    wells = WELLS.assign(seen=True).iloc[2:]
    found = plate_controls(wells, ROLES[2:])
    assert not found.seen
    assert "1 control well of DS" in controls_problem(found.scores["P"], ReferenceClasses("DS", "WT", ""))


@pytest.mark.parametrize(
    ("target", "said"), [([9.0, 11.0], ""), ([0.2, 1.1], "do not differ"), ([-3.0, -2.0], "no higher")]
)
def test_why_controls_are_no_yardstick(target: list[float], said: str) -> None:
    found = controls_problem(
        {"source": np.array([-1.0, 1.0]), "target": np.array(target)}, ReferenceClasses("DS", "WT", "")
    )
    assert said in found
    assert bool(found) == bool(said)
