import pandas as pd

from leigh_mlops.plates import TreatedCounts, count_treated, is_treated, leave_out_treated, well_compounds


def wells(**columns: list[object]) -> pd.DataFrame:
    return pd.DataFrame({f"Metadata_{name}": pd.Series(values, dtype=object) for name, values in columns.items()})


PLATE = wells(
    Plate=["P"] * 7,
    Well=["B02", "B03", "B03", "B04", "B05", "B06", "B07"],
    Condition=["DS", "DS", "DS", "TT", "WT", "TT", None],
    Compound=[None, "rescuer", "rescuer", "FCCP", "DMSO", "FCCP", "x"],
    Control=["negcon", None, None, "poscon", None, None, None],
)


def test_the_solvent_is_no_compound() -> None:
    assert well_compounds(wells(Compound=["x", "DMSO", None, " vehicle", 3])).dropna().to_dict() == {0: "x", 4: "3"}
    assert well_compounds(wells(pert_iname=["y", None])).dropna().to_dict() == {0: "y"}
    assert well_compounds(wells(Condition=["DS", "WT"])).isna().all()


def test_a_well_with_a_compound_is_treated_unless_it_is_a_control() -> None:
    assert is_treated(PLATE).tolist() == [False, True, True, False, False, True, True]
    assert is_treated(PLATE.drop(columns="Metadata_Control")).tolist() == [False, True, True, True, False, True, True]
    assert not is_treated(PLATE.drop(columns="Metadata_Compound")).any()


def test_treated_wells_lose_their_class_and_nothing_else_changes() -> None:
    assert PLATE["Metadata_Condition"].value_counts().to_dict() == {"DS": 3, "TT": 2, "WT": 1}
    table = leave_out_treated(PLATE)
    assert table["Metadata_Condition"].value_counts().to_dict() == {"DS": 1, "TT": 1, "WT": 1}
    others = [name for name in PLATE if name != "Metadata_Condition"]
    pd.testing.assert_frame_equal(table[others], PLATE[others])
    untreated = PLATE.drop(columns="Metadata_Compound")
    pd.testing.assert_frame_equal(leave_out_treated(untreated), untreated)


def test_wells_are_counted_not_fields() -> None:
    assert count_treated(PLATE) == TreatedCounts(3, 4, {"DS": 1, "TT": 1}, (), 1)
    alone = PLATE[PLATE["Metadata_Control"].isna()]
    assert count_treated(alone) == TreatedCounts(3, 4, {"DS": 1, "TT": 1}, ("DS", "TT"), 0)
    assert count_treated(PLATE.drop(columns="Metadata_Compound")) == TreatedCounts(0, 0, {}, (), 0)
