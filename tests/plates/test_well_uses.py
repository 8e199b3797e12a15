import pandas as pd

from leigh_mlops.plates.well_uses import WellUse, well_uses

TABLE = pd.DataFrame(
    {
        "Metadata_Plate": "p",
        "Metadata_Well": ["B02", "B03", "B04", "B05", "B06", "B07", "B07"],
        "Metadata_Row": 2,
        "Metadata_Col": [2, 3, 4, 5, 6, 7, 7],
        "Metadata_Condition": ["DS", "DS", "WT", "WT", None, "DS", "DS"],
        "Metadata_Compound": [None, "abc", None, None, None, None, None],
        "Metadata_Excluded": [False, False, False, True, False, False, True],
    }
)


def uses(parts):
    return well_uses(TABLE, parts)["use"].tolist()


def test_without_a_split_only_what_is_in_no_part_differs():
    assert uses(None) == [
        WellUse.UNASSIGNED, WellUse.TREATED, WellUse.UNASSIGNED, WellUse.EXCLUDED, WellUse.NO_CLASS, WellUse.UNASSIGNED
    ]  # fmt: skip


def test_each_well_has_the_use_of_its_part():
    parts = pd.Series(["train", None, "val", "test", None, "train", "test"])
    assert uses(parts) == [
        WellUse.TRAIN, WellUse.TREATED, WellUse.VAL, WellUse.EXCLUDED, WellUse.NO_CLASS, WellUse.LEAK
    ]  # fmt: skip
    assert uses(parts.replace("test", "train"))[-1] == WellUse.TRAIN
