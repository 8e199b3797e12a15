import pandas as pd

from leigh_mlops.screening.well_groups import annotation_groups, measure_plates, position_groups

WELLS = pd.DataFrame(
    {
        "Metadata_Plate": ["P"] * 12,
        "Metadata_Row": [row for row in (1, 2, 3) for _ in range(4)],
        "Metadata_Col": [1, 2, 3, 4] * 3,
        "Metadata_Condition": ["DS", "WT"] * 5 + [None] * 2,
        "Metadata_Donor": ["d1"] * 2 + ["d2"] * 10,
    }
)


def test_groups_have_three_wells_and_not_all() -> None:
    found = annotation_groups(WELLS)
    assert {name: int(there.sum()) for name, there in found.items()} == {"class DS": 5, "class WT": 5, "donor d2": 10}
    assert annotation_groups(WELLS.drop(columns=["Metadata_Condition", "Metadata_Donor"])) == {}


def test_positions_are_rows_columns_and_the_edge() -> None:
    found = position_groups(WELLS, measure_plates(WELLS))
    assert {name for name in found if name.startswith("row")} == {"row A", "row B", "row C"}
    assert "plate P" not in found
    assert found["column 1"].sum() == 3
    assert position_groups(WELLS, {}) == {}
