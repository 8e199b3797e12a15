"""Folds of whole groups: each is the test part once."""

from collections.abc import Container, Iterator, Mapping
from typing import Literal

import pandas as pd

from leigh_mlops.errors import LeighError
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.plates.groups import (
    deal_groups,
    deal_strata,
    group_classes,
    group_names,
    require_groups,
    strata_without_need,
)
from leigh_mlops.plates.split import require_classes

__all__ = ["NO_FOLD", "assign_folds", "fold_split", "nested_folds"]

NO_FOLD = -1  # of rows without a class

Folds = int | Literal["all"]


def assign_folds(
    table: pd.DataFrame, group: str = "well", folds: Folds = 5, seed: int = 0, *, needs_labels: bool = True
) -> "pd.Series[int]":
    """Deal whole groups of wells to folds, each class by itself, as evenly as possible.

    The same seed gives the same folds whatever the order of the rows. A given split
    (``Metadata_Split``) is ignored.

    Args:
        table: Image table.
        group: ``well``, ``plate``, ``batch`` or ``donor``: the unit that is never divided.
        folds: Number of folds, at least 2, each with each class; ``all`` makes every group a fold
            of its own (with plates: leave one plate out), which then may lack a class.
        seed: Seed of the dealing.
        needs_labels: As in :func:`~leigh_mlops.plates.split.assign_split`.

    Returns:
        Fold of each row from 0, on the table's index; -1 where the row has no class and needs one.

    Raises:
        LeighError: Too few classes, folds or groups, an unknown group, a column that is missing, or
            groups that cannot be dealt with each class in each fold.
    """
    groups, pairs = _group_rows(table, group, _fewest(folds), needs_labels=needs_labels)
    dealt = _deal_folds(pairs, folds, [seed], group)
    return groups.map(dealt).reindex(table.index, fill_value=NO_FOLD).astype("int64").rename("fold")


def fold_split(
    table: pd.DataFrame,
    fold: int,
    folds: Folds = 5,
    group: str = "well",
    seed: int = 0,
    *,
    validation: float = 0.25,
    needs_labels: bool = True,
) -> "pd.Series[str]":
    """The split of which one fold is the test part.

    Over all folds, each labelled row is tested once. ``val`` is cut by whole groups from what is
    left, each class by itself, so that 5 folds and a quarter give the usual 0.6, 0.2, 0.2. Where
    only one group of a class is left, as when one of two plates is the test part, its wells are
    divided instead.

    Args:
        table: Image table.
        fold: Number of the fold from 1: ``2`` of ``folds=5`` is "2/5".
        folds: As in :func:`assign_folds`.
        group: As in :func:`assign_folds`.
        seed: Seed of the dealing, of folds and of ``val``.
        validation: Share of ``val`` in the groups outside of the fold, above 0 and below 1; at
            least one group of each class.
        needs_labels: As in :func:`~leigh_mlops.plates.split.assign_split`.

    Returns:
        ``train``, ``val`` or ``test`` for each row; missing where it has no class and needs one.

    Raises:
        LeighError: There is no such fold, ``validation`` is no share, the folds cannot be dealt, or
            too few groups are left for ``train`` and ``val``.
    """
    if not 0 < validation < 1:
        raise LeighError(
            f"a validation share of {validation} leaves no training or no validation; choose one such as 0.25."
        )
    groups, pairs = _group_rows(table, group, _fewest(folds), needs_labels=needs_labels)
    dealt = _deal_folds(pairs, folds, [seed], group)
    count = max(dealt.values()) + 1
    if not 1 <= fold <= count:
        raise LeighError(f"fold {fold} of {count} does not exist; choose 1 to {count}.")
    tested = {name: "test" for name, number in dealt.items() if number == fold - 1}
    shares = {"train": 1 - validation, "val": validation}
    rest = _exclude_groups(pairs, tested)
    if group != "well" and rest.groupby("class")["group"].nunique().min() < len(shares):
        # Two plates, one of them left out: the other's wells are divided.
        inside = groups.index[~groups.isin(set(tested))]
        wells, rest = _group_rows(table.loc[inside], "well", len(shares), needs_labels=needs_labels)
        parts = wells.map(deal_groups(rest, shares, seed, "well", outside=f" outside of fold {fold}"))
        return _parts(table, groups, tested).fillna(parts.reindex(table.index))
    others = deal_groups(rest, shares, seed, group, outside=f" outside of fold {fold}")
    return _parts(table, groups, tested | others)


def nested_folds(
    table: pd.DataFrame, outer: Folds = 5, inner: int = 4, group: str = "well", seed: int = 0
) -> Iterator[tuple[int, int, "pd.Series[str]"]]:
    """Splits for nested cross-validation: choose on the inner folds, score on the outer ones.

    Args:
        table: Image table.
        outer: Folds that are the test part in turn, as in :func:`assign_folds`.
        inner: Folds of the rest that are ``val`` in turn.
        group: As in :func:`assign_folds`.
        seed: Seed of the dealing.

    Yields:
        Number of the outer fold from 1, of the inner one from 1, and the split as of :func:`fold_split`.

    Raises:
        LeighError: The folds cannot be dealt.
    """
    groups, pairs = _group_rows(table, group)
    dealt = _deal_folds(pairs, outer, [seed], group)
    for fold in range(max(dealt.values()) + 1):
        tested = {name: "test" for name, number in dealt.items() if number == fold}
        rest = _exclude_groups(pairs, tested)
        inside = _deal_folds(rest, inner, [seed, fold], group, outside=f" outside of fold {fold + 1}")
        for chosen in range(inner):
            others = {name: "val" if number == chosen else "train" for name, number in inside.items()}
            yield fold + 1, chosen + 1, _parts(table, groups, tested | others)


def _group_rows(
    table: pd.DataFrame, group: str, fewest: int = 1, *, needs_labels: bool = True
) -> tuple["pd.Series[str]", pd.DataFrame]:
    """Group of each row that is dealt, and the pairs of groups and strata, of at least so many groups without need."""
    if not needs_labels:
        groups = group_names(table, group)
        return groups, group_classes(groups, strata_without_need(groups, table[Metadata.CONDITION], fewest))
    require_classes(table)
    labelled = table[table[Metadata.CONDITION].notna()]
    groups = group_names(labelled, group)
    return groups, group_classes(groups, labelled[Metadata.CONDITION])


def _fewest(folds: Folds) -> int:
    """Groups that a stratum needs so that each fold has one, and the others a part for validation."""
    return max(3, folds) if isinstance(folds, int) else 3


def _exclude_groups(pairs: pd.DataFrame, tested: Container[str]) -> pd.DataFrame:
    return pairs[[name not in tested for name in pairs["group"]]]


def _parts(table: pd.DataFrame, groups: "pd.Series[str]", dealt: Mapping[str, str]) -> "pd.Series[str]":
    return groups.map(dict(dealt)).reindex(table.index).astype("str").rename(Metadata.SPLIT)


def _deal_folds(pairs: pd.DataFrame, folds: Folds, seeds: list[int], group: str, outside: str = "") -> dict[str, int]:
    if folds == "all":
        require_groups(pairs, 2, "training and one for the test part", group)
        return {name: number for number, name in enumerate(sorted(pairs["group"].unique()))}
    if not isinstance(folds, int) or folds < 2:
        raise LeighError(f"{folds!r} is not a number of folds; give 2 or more, or all for one per {group}.")
    require_groups(pairs, folds, f"each of {folds} folds", group, outside=outside)
    numbers = range(folds)
    return deal_strata(
        pairs,
        lambda count: dict.fromkeys(numbers, count / len(numbers)),
        seeds,
        group,
        f"each of {folds} folds",
        remedy="take fewer folds, ",
    )
