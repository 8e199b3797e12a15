"""Splits by whole groups of wells, so that no well is in two parts."""

import hashlib
import math
from collections.abc import Sequence

import pandas as pd

from leigh_mlops.errors import LeighError
from leigh_mlops.plates.columns import NO_CLASS, Metadata
from leigh_mlops.plates.folder_scan import SPLIT_PARTS
from leigh_mlops.plates.groups import GROUPS, deal_groups, group_classes, group_names, strata_without_need

__all__ = [
    "GROUPS",
    "assign_split",
    "describe_split",
    "leaked_wells",
    "parse_shares",
    "require_classes",
    "split_fingerprint",
]


def assign_split(
    table: pd.DataFrame,
    group: str = "well",
    fractions: Sequence[float] = (0.6, 0.2, 0.2),
    seed: int = 0,
    *,
    needs_labels: bool = True,
) -> "pd.Series[str]":
    """Deal whole groups of wells to ``train``, ``val`` and ``test``, each class by itself.

    A given split (``Metadata_Split``) is kept; where it has no ``val``, that is cut
    from groups of its ``train``, first from those that are in no other part. The same seed
    gives the same split whatever the order of the rows. Classes that share a group, as two
    treatments of one donor do, are dealt together.

    Args:
        table: Image table.
        group: ``well``, ``plate``, ``batch`` or ``donor``: the unit that is never divided.
        fractions: Share of the groups in train, val and test; each part gets at least one group
            of each class.
        seed: Seed of the dealing.
        needs_labels: Whether two classes are needed and rows without one are in no part. Otherwise these are dealt as
            if they were a class, and classes of fewer than three groups join the largest.

    Returns:
        The part of each row, on the table's index; missing where the row has no class and needs one.

    Raises:
        LeighError: Too few classes or groups, an unknown group, a column that is missing, or
            groups that cannot be dealt with each class in each part.
    """
    if needs_labels:
        require_classes(table)
    if len(fractions) != 3 or min(fractions) <= 0 or abs(sum(fractions) - 1) > 1e-6:
        raise LeighError(f"fractions {tuple(fractions)} are not three shares above 0 that sum to 1.")
    used = table[table[Metadata.CONDITION].notna()] if needs_labels else table
    groups, classes = group_names(used, group), used[Metadata.CONDITION]
    if not needs_labels:
        classes = strata_without_need(groups, classes, len(SPLIT_PARTS))
    if Metadata.SPLIT in table:
        parts = _complete_given_split(used, groups, classes, group, fractions, seed)
    else:
        pairs = group_classes(groups, classes)
        parts = groups.map(deal_groups(pairs, dict(zip(SPLIT_PARTS, fractions, strict=True)), seed, group))
    return parts.reindex(table.index).astype("str").rename(Metadata.SPLIT)


def parse_shares(text: str) -> tuple[float, float, float]:
    """Parse the shares of training, validation and test part, in percent; returns fractions that sum to 1.

    Raises:
        LeighError: They are not three numbers from 0 that sum to 100, or a part is empty.

    Example:
        >>> parse_shares("70,15,15")
        (0.7, 0.15, 0.15)
    """
    try:
        train, val, test = (float(part) for part in text.split(","))
    except ValueError:
        train = val = test = math.nan
    shares = train, val, test
    if not (min(shares) >= 0 and math.isclose(sum(shares), 100)):
        raise LeighError(
            f"--shares {text!r} are not three percentages that sum to 100; write training, validation and test part "
            "as 60,20,20."
        )
    if train == 0 or test == 0:
        raise LeighError(f"--shares {text} leave no {'test' if train else 'training'} part; give it a share above 0.")
    if val == 0:
        raise LeighError(
            f"--shares {text} leave no validation part, so the test part would choose epoch and trial, and its scores "
            "would be too good; give validation a share, such as 60,10,30, or cross-validate with --fold 1/5 to 5/5."
        )
    return train / 100, val / 100, test / 100


def require_classes(table: pd.DataFrame) -> list[str]:
    """Names of the classes, sorted.

    Raises:
        LeighError: There are fewer than two.
    """
    classes = sorted(table[Metadata.CONDITION].dropna().unique())
    if len(classes) < 2:
        found = f"only the class {classes[0]!r}" if classes else "no class"
        raise LeighError(
            f"the images have {found}, and two are needed; sort them into one folder per class or add "
            "a platemap.csv with the columns well_position and condition."
        )
    return classes


def _complete_given_split(
    table: pd.DataFrame,
    groups: "pd.Series[str]",
    classes: "pd.Series[str]",
    group: str,
    fractions: Sequence[float],
    seed: int,
) -> "pd.Series[str]":
    split = table[Metadata.SPLIT].str.lower()
    if strange := sorted(set(split.dropna()) - set(SPLIT_PARTS)):
        raise LeighError(f"Metadata_Split holds {', '.join(strange)}; its values are {', '.join(SPLIT_PARTS)}.")
    if absent := [part for part in ("train", "test") if part not in set(split)]:
        raise LeighError(f"the split of the table has no {' and no '.join(absent)}; add it, or remove Metadata_Split.")
    if "val" in set(split):
        return split
    train = split == "train"
    shared = set(groups[~train & split.notna()])
    pairs = group_classes(groups[train], classes[train])
    own = pairs[~pairs["group"].isin(shared)]
    # The whole pool is used only where the wells that are in train alone do not suffice.
    roomy = own.groupby("class").size().reindex(pairs["class"].unique(), fill_value=0).min() >= 2
    dealt = deal_groups(own if roomy else pairs, {"train": fractions[0], "val": fractions[1]}, seed, group)
    return split.mask(train & (groups.map(dealt) == "val"), "val")


def leaked_wells(table: pd.DataFrame, split: "pd.Series[str]", group: str = "well") -> list[str]:
    """Wells (``plate/B03``), or other groups, of which images are in two parts of a split, sorted.

    Args:
        table: Image table.
        split: Part of each row, on the table's index; rows without one are ignored.
        group: ``well``, ``plate``, ``batch`` or ``donor``.

    Raises:
        LeighError: The kind of group is unknown, or an image that has a part lacks what it needs.
    """
    names = _wells(table) if group == "well" else group_names(table[split.notna()], group)
    sides = split.groupby(names).nunique()
    return sorted(sides.index[sides > 1])


def split_fingerprint(table: pd.DataFrame, split: "pd.Series[str]") -> str:
    """Sixteen hexadecimal digits that are equal where the same wells are in the same parts."""
    lines = _wells(table) + "/" + split
    text = "\n".join(sorted(lines.dropna().unique()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def describe_split(table: pd.DataFrame, split: "pd.Series[str]") -> pd.DataFrame:
    """Count wells and fields of each class in each part.

    Returns:
        Columns ``class``, ``part``, ``wells``, ``fields``; one row for each class and part, also
        where it is empty; the class of rows that have a part without one is ``no class``.
    """
    names = table[Metadata.CONDITION].astype(object)
    names = names.where(names.notna() | split.isna(), NO_CLASS)
    classes = [*sorted(set(names.dropna()) - {NO_CLASS}), *([NO_CLASS] if names.eq(NO_CLASS).any() else [])]
    counts = _wells(table).groupby([names, split]).agg(["nunique", "size"])
    every = pd.MultiIndex.from_product([classes, SPLIT_PARTS], names=["class", "part"])
    counts = counts.reindex(every, fill_value=0).set_axis(["wells", "fields"], axis=1)
    return counts.reset_index()


def _wells(table: pd.DataFrame) -> "pd.Series[str]":
    return table[Metadata.PLATE].astype("str") + "/" + table[Metadata.WELL]
