"""Properties that hold for every split and every fold of any table, or the table is refused."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leigh_mlops.errors import LeighError
from leigh_mlops.plates.folds import NO_FOLD, assign_folds, fold_split, nested_folds
from leigh_mlops.plates.groups import GROUPS
from leigh_mlops.plates.names import well_name
from leigh_mlops.plates.split import assign_split, leaked_wells, split_fingerprint

PROPERTY = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
SEEDS = st.integers(0, 2**32 - 1)
BY = st.sampled_from(list(GROUPS))


@st.composite
def tables(draw):
    """Several plates of wells of any class or none, of donors and batches that may be unknown."""
    wells, chance = draw(st.sampled_from([40, 24, 16, 8, 3, 0])), np.random.default_rng(draw(SEEDS))
    classes = draw(st.sampled_from([["DS", "TT"], ["DS", "TT", "WT"], ["DS", "TT", None], ["DS"]]))
    donors = draw(st.sampled_from([["d1", "d2", "d3", "d4", "d5", "d6"], ["d1", "d2", None], ["d1"]]))
    by_class = draw(st.booleans())  # no donor has two classes
    rows = []
    for k in range(wells):
        # Chance of its own, since hypothesis draws the same class again and again.
        name, donor = chance.choice(classes), chance.choice(donors)
        about = {
            "Metadata_Plate": f"p{chance.integers(4)}",
            "Metadata_Well": well_name(1 + k // 12, 1 + k % 12),
            "Metadata_Condition": name,
            "Metadata_Donor": f"{name}-{donor}" if by_class and donor else donor,
            "Metadata_Batch": f"b{chance.integers(5)}",
        }
        rows += [about | {"Metadata_Site": site} for site in range(1, 2 + chance.integers(3))]
    columns = ["Plate", "Well", "Condition", "Donor", "Batch", "Site"]
    return pd.DataFrame(rows, columns=[f"Metadata_{name}" for name in columns])


def or_refused(function, *arguments, **named):
    """The result, or ``None`` where the table is refused; any other error fails the test."""
    try:
        return function(*arguments, **named)
    except LeighError:
        return None


def holds(table, group, split):
    """Groups are whole, every row that has a class has a part, and no other row has."""
    labelled = table["Metadata_Condition"].notna()
    names = table.loc[labelled, GROUPS[group]].agg("/".join, axis=1)
    assert split.index.equals(table.index)
    assert split[labelled].groupby(names).nunique().eq(1).all()
    assert split[labelled].isin(["train", "val", "test"]).all()
    assert split[~labelled].isna().all()
    assert leaked_wells(table, split) == []


def one_group_left(table, group, split):
    """Whether some class has a single group outside of the test part, so that its wells are divided."""
    rest = table[(split != "test") & split.notna()]
    names = rest[GROUPS[group]].agg("/".join, axis=1)
    return names.groupby(rest["Metadata_Condition"]).nunique().min() < 2


def classes_of(table, split, part):
    return set(table.loc[split == part, "Metadata_Condition"])


@PROPERTY
@given(table=tables(), group=BY, seed=SEEDS, order=st.randoms(use_true_random=False))
def test_a_split(table, group, seed, order):
    split = or_refused(assign_split, table, group, seed=seed)
    if split is None:
        return
    holds(table, group, split)
    every = set(table["Metadata_Condition"].dropna())
    assert all(classes_of(table, split, part) == every for part in ("train", "val", "test"))
    rows = list(table.index)
    order.shuffle(rows)
    shuffled = assign_split(table.loc[rows], group, seed=seed)
    pd.testing.assert_series_equal(shuffled.sort_index(), split)
    assert split_fingerprint(table.loc[rows], shuffled) == split_fingerprint(table, split)


@PROPERTY
@given(table=tables(), group=BY, folds=st.sampled_from([2, 3, 5, "all"]), seed=SEEDS, order=st.randoms())
def test_folds(table, group, folds, seed, order):
    numbers = or_refused(assign_folds, table, group, folds, seed)
    if numbers is None:
        return
    labelled = table["Metadata_Condition"].notna()
    names = table.loc[labelled, GROUPS[group]].agg("/".join, axis=1)
    assert ((numbers == NO_FOLD) == ~labelled).all()
    assert sorted(numbers[labelled].unique()) == list(range(names.nunique() if folds == "all" else folds))
    assert numbers[labelled].groupby(names).nunique().eq(1).all()
    if folds != "all":
        present = table[labelled].groupby(numbers[labelled])["Metadata_Condition"].nunique()
        assert (present == table["Metadata_Condition"].nunique()).all()
    rows = list(table.index)
    order.shuffle(rows)
    pd.testing.assert_series_equal(assign_folds(table.loc[rows], group, folds, seed).sort_index(), numbers)


@PROPERTY
@given(table=tables(), group=BY, folds=st.sampled_from([2, 3, 5, "all"]), seed=SEEDS, order=st.randoms())
def test_the_split_of_each_fold(table, group, folds, seed, order):
    numbers = or_refused(assign_folds, table, group, folds, seed)
    if numbers is None:
        return
    splits = [or_refused(fold_split, table, fold, folds, group, seed) for fold in range(1, numbers.max() + 2)]
    if any(split is None for split in splits):
        return
    every = set(table["Metadata_Condition"].dropna())
    for split in splits:
        if group != "well" and one_group_left(table, group, split):
            holds(table, "well", split)
            names = table[GROUPS[group]].astype("str").agg("/".join, axis=1)
            assert (split[split.notna()] == "test").groupby(names).nunique().eq(1).all()
        else:
            holds(table, group, split)
        assert classes_of(table, split, "train") == classes_of(table, split, "val") == every
    tested = sum((split == "test").astype(int) for split in splits)
    assert (tested == table["Metadata_Condition"].notna()).all()
    rows = list(table.index)
    order.shuffle(rows)
    pd.testing.assert_series_equal(fold_split(table.loc[rows], 1, folds, group, seed).sort_index(), splits[0])


@PROPERTY
@given(table=tables(), group=BY, outer=st.sampled_from([2, 3, "all"]), inner=st.integers(2, 3), seed=SEEDS)
def test_nested_folds(table, group, outer, inner, seed):
    found = or_refused(lambda: list(nested_folds(table, outer, inner, group, seed)))
    if found is None:
        return
    labelled = table["Metadata_Condition"].notna()
    for _, _, split in found:
        holds(table, group, split)
    tested = sum((split == "test").astype(int) for _, _, split in found)
    validated = sum((split == "val").astype(int) for _, _, split in found)
    assert (tested == inner * labelled).all()
    assert (validated == (len(found) // inner - 1) * labelled).all()


@pytest.mark.parametrize("group", GROUPS)
def test_the_properties_are_not_met_by_refusing_everything(group):
    rows = [(f"p{i % 6}", i, name) for i in range(24) for name in ("DS", "TT")]
    table = pd.DataFrame(rows, columns=["Metadata_Plate", "i", "Metadata_Condition"])
    table["Metadata_Well"] = [well_name(1 + k // 12, 1 + k % 12) for k in range(len(table))]
    table["Metadata_Donor"] = [f"{row.Metadata_Condition}{row.i % 6}" for row in table.itertuples()]
    table["Metadata_Batch"] = [f"b{i % 6}" for i in table["i"]]
    assert assign_split(table, group).notna().all()
    assert assign_folds(table, group, 5).nunique() == 5
    assert fold_split(table, 2, "all", group).notna().all()
    assert len(list(nested_folds(table, 3, 2, group))) == 6
