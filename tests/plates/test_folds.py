import pandas as pd
import pytest

from leigh_mlops.errors import LeighError
from leigh_mlops.plates.donors import describe_donors
from leigh_mlops.plates.folds import NO_FOLD, assign_folds, fold_split, nested_folds
from leigh_mlops.plates.names import well_name
from leigh_mlops.plates.split import assign_split, describe_split, leaked_wells


def plate(wells_by_class, fields=2, **metadata):
    """A table of wells in a row; ``metadata`` maps a column to a function of (class, index in it)."""
    places = [(name, i) for name, count in wells_by_class.items() for i in range(count)]
    return pd.DataFrame(
        [
            {
                "Metadata_Plate": "p",
                "Metadata_Well": well_name(1 + k // 24, 1 + k % 24),
                "Metadata_Site": site,
                "Metadata_Condition": name,
                **{f"Metadata_{column}": value(name, i) for column, value in metadata.items()},
            }
            for k, (name, i) in enumerate(places)
            for site in range(1, fields + 1)
        ]
    )


def wells_per_fold(table, folds):
    wells = table.assign(fold=folds).drop_duplicates(["Metadata_Plate", "Metadata_Well"])
    return pd.crosstab(wells["fold"], wells["Metadata_Condition"])


def test_folds_are_even_in_each_class():
    table = plate({"DS": 12, "TT": 20})
    counts = wells_per_fold(table, assign_folds(table))
    assert counts.index.tolist() == [0, 1, 2, 3, 4]
    assert sorted(counts["DS"]) == [2, 2, 2, 3, 3]
    assert (counts["TT"] == 4).all()
    assert not assign_folds(table).equals(assign_folds(table, seed=1))


def test_a_new_class_does_not_move_the_wells_of_the_others():
    table = plate({"DS": 8, "TT": 8, "WT": 8})
    fewer = table[table["Metadata_Condition"] != "WT"]
    pd.testing.assert_series_equal(assign_folds(table)[fewer.index], assign_folds(fewer))


def test_rows_without_a_class_have_no_fold():
    table = plate({"DS": 5, "TT": 5})
    table.loc[:1, "Metadata_Condition"] = None
    assert (assign_folds(table, folds=2)[:2] == NO_FOLD).all()
    assert fold_split(table, 1, 2)[:2].isna().all()


def test_a_split_handed_in_plays_no_part():
    table = plate({"DS": 6, "TT": 6})
    pd.testing.assert_series_equal(assign_folds(table), assign_folds(table.assign(Metadata_Split="train")))


def test_five_folds_are_the_usual_split_in_turn():
    table = plate({"DS": 10, "TT": 20})
    folds = assign_folds(table)
    for fold in range(1, 6):
        split = fold_split(table, fold)
        assert describe_split(table, split)["wells"].tolist() == [6, 2, 2, 12, 4, 4]
        assert ((split == "test") == (folds == fold - 1)).all()
        assert leaked_wells(table, split) == []


def test_leave_one_plate_out():
    table = plate({"DS": 9, "TT": 9}, Plate=lambda _, i: f"p{i % 3}")
    assert assign_folds(table, "plate", "all").groupby(table["Metadata_Plate"]).unique().explode().tolist() == [0, 1, 2]
    for fold in (1, 2, 3):
        split = fold_split(table, fold, "all", "plate")
        assert table.loc[split == "test", "Metadata_Plate"].unique() == [f"p{fold - 1}"]
        assert split.groupby(table["Metadata_Plate"]).nunique().eq(1).all()
        assert set(split) == {"train", "val", "test"}


def test_leave_one_donor_out_where_a_donor_has_one_class():
    table = plate({"DS": 9, "WT": 9}, Donor=lambda name, i: f"{name}{i % 3}")
    split = fold_split(table, 1, "all", "donor")
    assert set(table.loc[split == "test", "Metadata_Donor"]) == {"DS0"}
    assert set(table.loc[split == "val", "Metadata_Condition"]) == {"DS", "WT"}
    # With as many folds as donors of a class, each fold has one of each.
    counts = wells_per_fold(table, assign_folds(table, "donor", 3))
    assert (counts == 3).all(axis=None)


def test_batches_of_mixed_classes_are_dealt_where_that_is_possible():
    batches = {"DS": ["0", "1", "2"], "TT": ["0", "3", "4"]}
    table = plate(dict.fromkeys(batches, 3), Batch=lambda name, i: batches[name][i])
    counts = wells_per_fold(table, assign_folds(table, "batch", 3))
    assert (counts == 1).all(axis=None)


def test_nested_folds_meet_each_pair_once():
    table = plate({"DS": 12, "TT": 12})
    found = list(nested_folds(table, 4, 3))
    assert [(outer, inner) for outer, inner, _ in found] == [(o, i) for o in (1, 2, 3, 4) for i in (1, 2, 3)]
    folds = assign_folds(table, folds=4)
    for outer in (1, 2, 3, 4):
        splits = [split for o, _, split in found if o == outer]
        assert all(((split == "test") == (folds == outer - 1)).all() for split in splits)
        validated = sum((split == "val").astype(int) for split in splits)
        assert (validated == (folds != outer - 1)).all()


@pytest.mark.parametrize(
    ("counts", "arguments", "message"),
    [
        ({"DS": 6, "TT": 4}, {"fold": 1}, "class 'TT' has 4 wells, and 5 are needed, one for each of 5 folds; add"),
        ({"DS": 6, "TT": 6}, {"fold": 6}, "fold 6 of 5 does not exist; choose 1 to 5"),
        ({"DS": 6, "TT": 6}, {"fold": 0}, "fold 0 of 5 does not exist"),
        ({"DS": 6, "TT": 6}, {"fold": 13, "folds": "all"}, "fold 13 of 12 does not exist"),
        ({"DS": 6, "TT": 6}, {"fold": 1, "folds": 1}, "1 is not a number of folds; give 2 or more, or all for one per"),
        ({"DS": 6, "TT": 6}, {"fold": 1, "folds": "each"}, "'each' is not a number of folds"),
        ({"DS": 6, "TT": 6}, {"fold": 1, "validation": 1.0}, "a validation share of 1.0 leaves no training"),
        ({"DS": 6, "TT": 6}, {"fold": 1, "group": "plate"}, "class 'DS' has 1 plate, and 5 are needed"),
        ({"DS": 6, "TT": 6}, {"fold": 1, "group": "donor"}, "a split by donor needs Metadata_Donor for every image"),
        ({"DS": 2, "TT": 2}, {"fold": 2, "folds": 2}, "has 1 well outside of fold 2, and 2 are needed, one for"),
        ({"DS": 6}, {"fold": 1}, "only the class 'DS'"),
    ],
)  # fmt: skip
def test_folds_that_cannot_be(counts, arguments, message):
    with pytest.raises(LeighError, match=message):
        fold_split(plate(counts), **arguments)


@pytest.mark.parametrize("folds", [2, "all"])
def test_a_class_of_one_donor_cannot_be_split_by_donor(folds):
    table = plate({"DS": 6, "WT": 6}, Donor=lambda name, i: "w" if name == "WT" else f"d{i % 3}")
    message = r"class 'WT' has 1 donor, and 2 are needed, .*donor and class cannot be told apart.*or split by well"
    with pytest.raises(LeighError, match=message):
        assign_folds(table, "donor", folds)
    # Where a donor has both classes, that is not said.
    shared = table.assign(Metadata_Donor=table["Metadata_Donor"].replace("w", "d0"))
    with pytest.raises(LeighError, match=r"one for [\w ]+; add images of more donors"):
        assign_folds(shared, "donor", folds)


def test_batches_that_cannot_be_dealt_are_refused():
    batches = {"DS": ["0", "1", "2"], "TT": ["0", "2", "3"], "WT": ["0", "1", "3"]}
    table = plate(dict.fromkeys(batches, 3), Batch=lambda name, i: batches[name][i])
    with pytest.raises(LeighError, match="the 4 batches of DS, TT, WT cannot be divided so that each of 3 folds"):
        assign_folds(table, "batch", 3)


@pytest.mark.parametrize(
    ("donor", "shared", "sentence"),
    [
        (
            lambda name, i: f"{name}{i % (3 if name == 'DS' else 2)}",
            (),
            "DS: 3 donors, WT: 2 donors; no donor has both classes: a score cannot tell the class from the donor.",
        ),
        (lambda name, i: f"d{i % 2}", ("d0", "d1"), "DS: 2 donors, WT: 2 donors; every donor has both classes."),
        (
            lambda name, i: "d" if i == 0 else name,
            ("d",),
            "DS: 2 donors, WT: 2 donors; 1 of 3 donors have both classes.",
        ),
        (
            lambda name, i: name,
            (),
            "DS: 1 donor, WT: 1 donor; no donor has both classes: a score cannot tell the class from the donor.",
        ),
    ],
)
def test_donors_are_described(donor, shared, sentence):
    donors = describe_donors(plate({"DS": 6, "WT": 6}, Donor=donor))
    assert (donors.shared, donors.sentence) == (shared, sentence)
    assert set(donors.of_class) == {"DS", "WT"}


def test_donors_of_three_classes_and_of_one():
    three = plate({"DS": 4, "TT": 4, "WT": 4}, Donor=lambda name, i: f"{'w' if name == 'WT' else 'd'}{i % 2}")
    assert describe_donors(three).sentence == (
        "DS: 2 donors, TT: 2 donors, WT: 2 donors; 2 of 4 donors have more than one class, but none of WT: there, "
        "a score cannot tell the class from the donor."
    )
    assert describe_donors(three).of_class["WT"] == ("w0", "w1")
    one = plate({"DS": 4}, Donor=lambda *_: "d")
    assert describe_donors(one).sentence == "DS: 1 donor; there is one class."


def test_no_donors_are_known():
    assert describe_donors(plate({"DS": 2, "WT": 2})) is None
    assert describe_donors(plate({"DS": 2, "WT": 2}, Donor=lambda *_: None)) is None


def test_with_two_plates_one_is_tested_and_the_wells_of_the_other_are_divided():
    plate = pd.DataFrame(
        {
            "Metadata_Well": [f"A{n:02d}" for n in range(1, 13)],
            "Metadata_Condition": ["DS", "WT"] * 6,
            "Metadata_Site": 1,
        }
    )
    table = pd.concat([plate.assign(Metadata_Plate=name) for name in ("P1", "P2")], ignore_index=True)
    with pytest.raises(LeighError, match="plates"):
        assign_split(table, group="plate")
    split = fold_split(table, 2, "all", "plate")
    assert set(split[table["Metadata_Plate"] == "P2"]) == {"test"}
    assert set(split[table["Metadata_Plate"] == "P1"]) == {"train", "val"}
    assert leaked_wells(table, split) == []


def test_folds_without_labels_hold_every_well_once():
    table = plate({None: 12, "DS": 2}, Plate=lambda _, i: f"p{i % 2}")
    with pytest.raises(LeighError, match="only the class 'DS'"):
        assign_folds(table)
    dealt = assign_folds(table, folds=3, needs_labels=False)
    assert dealt.groupby(table["Metadata_Plate"] + "/" + table["Metadata_Well"]).nunique().eq(1).all()
    assert set(dealt) == {0, 1, 2}
    split = fold_split(table, 1, "all", "plate", needs_labels=False)
    assert len(set(table.loc[split == "test", "Metadata_Plate"])) == 1
    assert set(split) == {"train", "val", "test"}
