import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leigh_mlops.errors import LeighError
from leigh_mlops.plates.groups import group_names
from leigh_mlops.plates.names import well_name
from leigh_mlops.plates.split import (
    GROUPS,
    assign_split,
    describe_split,
    leaked_wells,
    parse_shares,
    require_classes,
    split_fingerprint,
)


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


@settings(max_examples=25, deadline=None)
@given(
    counts=st.lists(st.integers(3, 14), min_size=2, max_size=4),
    seed=st.integers(0, 2**32 - 1),
    group=st.sampled_from(["well", "plate", "donor"]),
    order=st.randoms(use_true_random=False),
)
def test_splits_keep_groups_whole_and_do_not_depend_on_the_order(counts, seed, group, order):
    classes = {f"c{i}": count for i, count in enumerate(counts)}
    table = plate(classes, Plate=lambda _, i: f"p{i % 3}", Donor=lambda name, i: f"{name}-{i % 3}")
    split = assign_split(table, group, seed=seed)

    names = table[GROUPS[group]].agg("/".join, axis=1)
    assert split.groupby(names).nunique().eq(1).all()
    assert leaked_wells(table, split) == []
    assert (describe_split(table, split)["wells"] > 0).all()

    rows = list(table.index)
    order.shuffle(rows)
    shuffled = assign_split(table.loc[rows], group, seed=seed)
    pd.testing.assert_series_equal(shuffled.sort_index(), split)
    assert split_fingerprint(table.loc[rows], shuffled) == split_fingerprint(table, split)


def test_fractions_and_seeds():
    table = plate({"DS": 10, "TT": 20})
    split = assign_split(table)
    assert describe_split(table, split)["wells"].tolist() == [6, 2, 2, 12, 4, 4]
    assert describe_split(table, split)["fields"].tolist() == [12, 4, 4, 24, 8, 8]
    other = assign_split(table, seed=1)
    assert not other.equals(split)
    assert split_fingerprint(table, other) != split_fingerprint(table, split)
    assert len(split_fingerprint(table, split)) == 16
    halves = assign_split(table, fractions=(0.5, 0.1, 0.4))
    assert describe_split(table, halves)["wells"].tolist() == [5, 1, 4, 10, 2, 8]


def test_a_new_class_does_not_move_the_wells_of_the_others():
    table = plate({"DS": 8, "TT": 8, "WT": 8})
    fewer = table[table["Metadata_Condition"] != "WT"]
    pd.testing.assert_series_equal(assign_split(table)[fewer.index], assign_split(fewer))


def test_a_planted_leak_is_reported():
    table = plate({"DS": 5, "TT": 5})
    split = assign_split(table)
    assert leaked_wells(table, split) == []
    split[0] = "test" if split[0] == "train" else "train"
    assert leaked_wells(table, split) == ["p/A01"]


def test_wells_of_one_name_on_two_plates_are_two():
    table = plate({"DS": 6, "TT": 6}, fields=1, Plate=lambda _, i: f"p{i % 2}")
    table["Metadata_Well"] = "A01"
    table.loc[table["Metadata_Condition"] == "TT", "Metadata_Well"] = "A02"
    assert sorted(group_names(table, "well").unique()) == ["p0/A01", "p0/A02", "p1/A01", "p1/A02"]
    split = table["Metadata_Plate"].map({"p0": "train", "p1": "test"})
    assert leaked_wells(table, split) == []
    other = split.map({"train": "test", "test": "train"})
    assert split_fingerprint(table, split) != split_fingerprint(table, other)


def test_donors_on_two_sides_of_a_split_handed_in():
    table = plate({"DS": 6, "TT": 6}, Donor=lambda name, i: f"{name}{i // 3}")
    table["Metadata_Split"] = [
        "test" if k % 6 == 0 else "val" if k % 6 == 5 else "train" for k in range(12) for _ in "12"
    ]
    split = assign_split(table, "donor")
    assert leaked_wells(table, split) == []
    assert leaked_wells(table, split, group="donor") == ["DS0", "DS1", "TT0", "TT1"]
    apart = table["Metadata_Donor"].map({"DS0": "train", "DS1": "val", "TT0": "train", "TT1": "test"})
    assert leaked_wells(table, apart, group="donor") == []
    with pytest.raises(LeighError, match="'field' is not a group"):
        leaked_wells(table, split, group="field")


def test_rows_without_a_class_take_no_part():
    table = plate({"DS": 5, "TT": 5})
    table.loc[:1, "Metadata_Condition"] = None
    split = assign_split(table)
    assert split.isna().tolist() == [True, True] + [False] * 18


def test_treatments_of_one_donor_are_dealt_together():
    table = plate({"DS": 6, "TT": 6, "WT": 6}, Donor=lambda name, i: f"{'h' if name == 'WT' else 'd'}{i % 3}")
    split = assign_split(table, "donor")
    assert split.groupby(table["Metadata_Donor"]).nunique().eq(1).all()
    assert (describe_split(table, split)["wells"] == 2).all()


def mixed_batches(**batches):
    """Three wells of each class, the k-th in the k-th of its batches."""
    return plate(dict.fromkeys(batches, 3), Batch=lambda name, i: batches[name][i])


def test_batches_of_mixed_classes_are_dealt_where_that_is_possible():
    # The only way is 0 | 1 + 3 | 2 + 4, or the like.
    table = mixed_batches(DS=["0", "1", "2"], TT=["0", "3", "4"])
    split = assign_split(table, "batch")
    assert (describe_split(table, split)["wells"] == 1).all()
    assert split.groupby(table["Metadata_Batch"]).nunique().eq(1).all()


def test_plates_of_rare_classes_beside_a_common_one_are_dealt():
    for count, rare, wells in ((30, "ABC", [18, 6, 6]), (24, "ABCDEFGH", [8, 8, 8])):
        rows = [(f"p{i:02d}", "A01", "WT") for i in range(count)]
        rows += [(f"p{3 * k + i:02d}", "A02", name) for k, name in enumerate(rare) for i in range(3)]
        table = pd.DataFrame(rows, columns=["Metadata_Plate", "Metadata_Well", "Metadata_Condition"])
        for seed in range(20):
            split = assign_split(table, "plate", seed=seed)
            assert describe_split(table, split)["wells"].tolist() == [1] * 3 * len(rare) + wells


@settings(max_examples=40, deadline=None)
@given(held=st.lists(st.sets(st.sampled_from("ABC"), min_size=1), min_size=3, max_size=6), seed=st.integers(0, 99))
def test_groups_are_dealt_wherever_that_is_possible(held, seed):
    table = pd.DataFrame(
        [(f"b{i}", f"A{i:02d}", name) for i, names in enumerate(held) for name in sorted(names)],
        columns=["Metadata_Batch", "Metadata_Well", "Metadata_Condition"],
    ).assign(Metadata_Plate="p")
    if table["Metadata_Condition"].nunique() < 2:
        return
    every = set().union(*held)
    possible = any(
        all(
            set().union(*(names for names, at in zip(held, parts, strict=True) if at == part)) == every
            for part in "012"
        )
        for parts in itertools.product("012", repeat=len(held))
    )
    if possible:
        split = assign_split(table, "batch", seed=seed)
        assert (describe_split(table, split)["wells"] > 0).all()
    else:
        with pytest.raises(LeighError, match=r"cannot be divided|are needed"):
            assign_split(table, "batch", seed=seed)


def test_batches_that_cannot_be_dealt_are_refused():
    # Batch 0 has all classes; of the others, each lacks one, so that only two of them fill a part.
    table = mixed_batches(DS=["0", "1", "2"], TT=["0", "2", "3"], WT=["0", "1", "3"])
    with pytest.raises(LeighError, match="the 4 batches of DS, TT, WT cannot be divided"):
        assign_split(table, "batch")


def test_a_split_handed_in_is_kept():
    table = plate({"DS": 6, "TT": 6})
    table["Metadata_Split"] = np.resize(["Train", "train", "train", "train", "val", "val", "test", "test"], len(table))
    assert assign_split(table).tolist() == table["Metadata_Split"].str.lower().tolist()


def test_a_missing_val_has_the_share_that_is_asked_for():
    table = plate({"DS": 25, "TT": 25}).assign(Metadata_Split="train")
    table.loc[table.groupby("Metadata_Condition").tail(10).index, "Metadata_Split"] = "test"
    split = assign_split(table, fractions=(0.6, 0.3, 0.1))
    assert describe_split(table, split)["wells"].tolist() == [13, 7, 5, 13, 7, 5]


@pytest.mark.parametrize("seed", range(11))
def test_a_missing_val_is_cut_from_train_wells(seed):
    table = plate({"DS": 6, "TT": 6}, fields=3)
    table["Metadata_Split"] = ["test" if k % 6 == 0 else "train" for k in range(12) for _ in range(3)]
    # Well A02 also has a field in test, so that it must not become a well of val.
    table.loc[3, "Metadata_Split"] = "test"
    split = assign_split(table, seed=seed)
    assert leaked_wells(table, split) == ["p/A02"]
    assert (split[table["Metadata_Split"] == "test"] == "test").all()
    assert describe_split(table, split).query("part == 'val'")["wells"].tolist() == [1, 1]
    assert (split == "val").sum() == 6


def test_a_missing_val_is_cut_even_where_every_train_well_is_in_test():
    table = plate({"DS": 4, "TT": 4})
    table["Metadata_Split"] = np.resize(["train", "test"], len(table))
    split = assign_split(table)
    assert describe_split(table, split).query("part == 'val'")["fields"].tolist() == [1, 1]
    assert len(leaked_wells(table, split)) == 8


@pytest.mark.parametrize(
    ("change", "arguments", "message"),
    [
        ({}, {"group": "field"}, "'field' is not a group to split by; choose well, plate, batch, donor"),
        ({}, {"group": "donor"}, "a split by donor needs Metadata_Donor for every image"),
        ({}, {"group": "plate"}, "class 'DS' has 1 plate, and 3 are needed.*or split by well"),
        ({}, {"fractions": (0.8, 0.2, 0.0)}, "not three shares above 0"),
        ({}, {"fractions": (0.8, 0.4, 0.2)}, "not three shares above 0"),
        ({"Metadata_Condition": "DS"}, {}, "the images have only the class 'DS', and two are needed"),
        ({"Metadata_Condition": None}, {}, "the images have no class, and two are needed"),
        ({"Metadata_Split": "holdout"}, {}, "Metadata_Split holds holdout; its values are train, val, test"),
        ({"Metadata_Split": "train"}, {}, "the split of the table has no test"),
    ],
)
def test_what_cannot_be_split(change, arguments, message):
    with pytest.raises(LeighError, match=message):
        assign_split(plate({"DS": 3, "TT": 3}).assign(**change), **arguments)


def test_too_few_wells():
    assert set(assign_split(plate({"DS": 3, "TT": 3}))) == {"train", "val", "test"}
    with pytest.raises(LeighError, match="class 'TT' has 2 wells, and 3 are needed, one for each of train, val, test"):
        assign_split(plate({"DS": 3, "TT": 2}))


def test_classes_are_sorted():
    assert require_classes(plate({"TT": 1, "DS": 1})) == ["DS", "TT"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "70,0,30",
            r"70,0,30 leave no validation part, so the test part would choose .* cross-validate with --fold 1/5",
        ),
        ("70,30,0", "leave no test part"),
        ("0,70,30", "leave no training part"),
        ("70,30", "not three percentages"),
        ("70,20,20", "not three percentages that sum to 100"),
        ("-10,80,30", "not three percentages"),
        ("nan,50,50", "not three percentages"),
        ("a,b,c", "not three percentages"),
    ],
)
def test_shares_that_make_no_split_say_why(text, message):
    assert parse_shares("60,20,20") == (0.6, 0.2, 0.2)
    with pytest.raises(LeighError, match=message):
        parse_shares(text)


def test_shares_set_the_sizes_of_the_parts():
    table = plate({"DS": 20, "TT": 20}, fields=1)
    assert assign_split(table).value_counts().to_dict() == {"train": 24, "val": 8, "test": 8}
    split = assign_split(table, fractions=parse_shares("50,20,30"))
    assert split.value_counts().to_dict() == {"train": 20, "val": 8, "test": 12}


def test_without_labels_whole_wells_are_divided():
    table = plate({None: 20}, Plate=lambda _, i: f"p{i % 4}")
    with pytest.raises(LeighError, match="the images have no class, and two are needed"):
        assign_split(table)
    for group in ("well", "plate"):
        split = assign_split(table, group, needs_labels=False)
        assert leaked_wells(table, split, group) == []
        assert set(split) == {"train", "val", "test"}
    split = assign_split(table, needs_labels=False)
    assert describe_split(table, split)["wells"].tolist() == [12, 4, 4]
    assert set(describe_split(table, split)["class"]) == {"no class"}
    shuffled = assign_split(table.sample(frac=1, random_state=0), needs_labels=False)
    pd.testing.assert_series_equal(shuffled.sort_index(), split)
    with pytest.raises(LeighError, match="the images are of 2 wells, and 3 are needed"):
        assign_split(table[table["Metadata_Well"].isin(["A01", "A02"])], needs_labels=False)


def test_a_single_class_and_wells_without_one_are_divided_alike():
    one = plate({"DS": 10})
    with pytest.raises(LeighError, match="only the class 'DS'"):
        assign_split(one)
    split = assign_split(one, needs_labels=False)
    assert describe_split(one, split)["wells"].tolist() == [6, 2, 2]
    mixed = plate({"DS": 15, "TT": 2, None: 10})
    assert assign_split(plate({"DS": 10, "TT": 3, None: 10})).isna().sum() == 20
    split = assign_split(mixed, needs_labels=False)
    counts = describe_split(mixed, split)
    assert split.notna().all()
    assert counts[counts["class"] == "no class"]["wells"].tolist() == [6, 2, 2]
    assert counts[counts["class"] == "TT"]["wells"].sum() == 2


def test_a_given_split_of_unlabelled_wells_gets_a_validation_part():
    table = plate({None: 10}).assign(Metadata_Split=["train"] * 16 + ["test"] * 4)
    split = assign_split(table, needs_labels=False)
    assert describe_split(table, split)["wells"].tolist() == [6, 2, 2]
    assert (split[16:] == "test").all()
