from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from leigh_mlops.jobs.reporting.change_report import change_directions, write_changes
from leigh_mlops.report.change_charts import ChangeDirection

CLASSES = ("DS", "TT")


def fields(shift: float, *, wells: int = 6, kind: str = "confident") -> pd.DataFrame:
    """Two fields of each well; TMRM of TT lies 4 below that of DS, counterfactuals move it by ``shift`` towards it."""
    rng = np.random.default_rng(0)
    rows = []
    for label, other, level, sign in (("DS", "TT", 10.0, -1), ("TT", "DS", 6.0, 1)):
        for well in range(2 * wells):
            before = level + rng.normal(0, 0.3)
            rows.append(
                {
                    "Metadata_Plate": "P", "Metadata_Well": f"{label}{well // 2:02d}", "Metadata_Site": well % 2,
                    "Metadata_Condition": label, "seen": False, "predicted": label, "counterfactual_target": other,
                    "image_intensity_TMRM": before, f"counterfactual_{kind}_status": "green",
                    f"counterfactual_{kind}_after_intensity_TMRM": before + sign * shift + rng.normal(0, 0.1),
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def directions(table: pd.DataFrame) -> list[ChangeDirection]:
    return change_directions(table.to_dict("list"), "confident", CLASSES)


def write(out: Path, table: pd.DataFrame, classes: Sequence[str] = CLASSES) -> list[str]:
    return write_changes(out, table.to_dict("list"), classes)


@pytest.mark.parametrize(("shift", "agrees"), [(3.0, True), (-3.0, False)])
def test_each_way_is_held_against_the_real_difference(shift: float, agrees: bool) -> None:
    there, back = directions(fields(shift))
    assert (there.source, there.target, back.source, back.target) == ("DS", "TT", "TT", "DS")
    change = there.changes["intensity_TMRM"]
    assert change.real == pytest.approx(-4, abs=0.3)
    assert change.change == pytest.approx(-shift, abs=0.1)
    assert change.wells == there.wells == 6
    assert change.has_matching_sign is agrees
    assert back.changes["intensity_TMRM"].real == pytest.approx(-change.real)


def test_red_counterfactuals_are_left_out_and_counted() -> None:
    table = fields(3.0)
    table.loc[0, "counterfactual_confident_after_intensity_TMRM"] = 1000.0
    assert directions(table)[0].changes["intensity_TMRM"].change > 10
    table.loc[:1, "counterfactual_confident_status"] = ["red", "amber"]
    there = directions(table)[0]
    assert there.changes["intensity_TMRM"].change == pytest.approx(-3, abs=0.1)
    assert there.left_out == 1
    table["counterfactual_confident_status"] = "red"
    assert directions(table) == []


def test_fields_left_out_are_those_of_the_wells_that_are_used() -> None:
    table = fields(3.0)
    table["seen"] = ~table["Metadata_Well"].isin(["DS00", "DS01"])
    table.loc[[0, 10, 11], "counterfactual_confident_status"] = "red"  # one of DS00, two of a well that was seen
    there = directions(table)[0]
    assert (there.wells, there.unseen, there.left_out) == (2, True, 1)
    table.loc[1, "counterfactual_confident_status"] = None  # it has none
    there = directions(table)[0]
    assert (there.wells, there.unseen, there.left_out) == (4, False, 3)
    table.loc[4, "counterfactual_confident_status"] = None
    assert directions(table)[0].left_out == 3


def test_wells_of_training_count_only_where_there_are_no_others() -> None:
    table = fields(3.0)
    table["seen"] = ~table["Metadata_Well"].isin(["DS00", "DS01", "TT00"])
    there, back = directions(table)
    assert (there.wells, there.unseen) == (2, True)
    assert (back.wells, back.unseen) == (6, False)


def test_without_labels_nothing_is_said_of_the_classes() -> None:
    there, _ = directions(fields(3.0).drop(columns="Metadata_Condition"))
    assert np.isnan(there.changes["intensity_TMRM"].real)
    assert there.changes["intensity_TMRM"].q < 0.001


def test_table_figure_and_sentences(tmp_path: Path) -> None:
    table = fields(3.0).join(fields(1.0, kind="boundary").filter(like="boundary"))
    said = write(tmp_path, table)
    assert said[0].startswith("Towards TT (from DS, 6 wells, none seen in training), mean TMRM falls by 2.9")
    written = pd.read_csv(tmp_path / "changes.csv")
    assert written["kind"].tolist() == ["confident"] * 2 + ["boundary"] * 2
    assert written["signs_agree"].all()
    assert (tmp_path / "changes.png").exists()


def test_of_many_directions_those_with_most_wells_are_drawn_and_that_is_said(tmp_path: Path) -> None:
    table = fields(3.0)
    classes = (*CLASSES, "WT")
    assert not any("directions" in sentence for sentence in write(tmp_path, table, classes))
    others = [table[table["Metadata_Condition"] == name].assign(counterfactual_target="WT") for name in ("DS", "TT")]
    said = write(tmp_path, pd.concat([table, *others], ignore_index=True), classes)
    assert said[-1] == (
        "The figure and these sentences hold the 3 directions with the most wells; changes.csv holds all 4."
    )
    written = pd.read_csv(tmp_path / "changes.csv")
    assert len(written[["source", "target"]].drop_duplicates()) == 4


def test_a_job_without_measures_writes_nothing(tmp_path: Path) -> None:
    table = fields(3.0)
    assert write(tmp_path, table[[name for name in table if "after" not in name]]) == []
    assert write(tmp_path, table[["Metadata_Plate", "Metadata_Well", "seen"]]) == []
    assert not list(tmp_path.iterdir())
