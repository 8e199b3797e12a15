"""Groups of wells that are never divided, and dealing them so that each part has each class."""

import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np
import pandas as pd

from leigh_mlops.errors import LeighError
from leigh_mlops.plates.columns import Metadata

__all__ = [
    "GROUPS",
    "GROUP_PLURALS",
    "deal_groups",
    "deal_strata",
    "require_groups",
    "group_classes",
    "group_names",
    "strata_without_need",
]

GROUPS = {
    "well": [Metadata.PLATE, Metadata.WELL],
    "plate": [Metadata.PLATE],
    "batch": [Metadata.BATCH],
    "donor": [Metadata.DONOR],
}
GROUP_PLURALS = {"well": "wells", "plate": "plates", "batch": "batches", "donor": "donors"}
_ATTEMPTS = 200

Part = TypeVar("Part", str, int)


def group_names(table: pd.DataFrame, group: str) -> "pd.Series[str]":
    """Name of each row's group.

    Raises:
        LeighError: The kind of group is unknown, or an image lacks what it needs.
    """
    if group not in GROUPS:
        raise LeighError(f"{group!r} is not a group to split by; choose {', '.join(GROUPS)}.")
    columns = GROUPS[group]
    gaps = [name for name in columns if name not in table or table[name].isna().any()]
    if gaps:
        raise LeighError(
            f"a split by {group} needs {gaps[0]} for every image; add it to the plate map or split by well."
        )
    names = table[columns[0]].astype("str")
    for name in columns[1:]:
        names = names + "/" + table[name].astype("str")
    return names


def group_classes(groups: "pd.Series[str]", classes: "pd.Series[str]") -> pd.DataFrame:
    """Unique pairs of a ``group`` and a ``class`` in it, sorted."""
    return pd.DataFrame({"group": groups, "class": classes}).drop_duplicates().sort_values(["group", "class"])


def strata_without_need(groups: "pd.Series[str]", classes: "pd.Series[str]", fewest: int) -> "pd.Series[str]":
    """Stratum of each row for networks that need no classes, so that no class can be too small to be divided.

    A stratum is a class, and rows without one make another (``""``); those of fewer groups join the largest. A single
    stratum has no name.

    Args:
        groups: Group of each row.
        classes: Class of each row, on the same index; may be missing.
        fewest: Groups that a stratum needs.
    """
    strata = classes.astype(object).where(classes.notna(), "")
    counts = groups.groupby(strata).nunique()
    small = strata.isin(counts.index[counts < fewest])
    joined = strata.mask(small, counts.idxmax()) if len(counts) else strata
    return joined if len(set(joined)) > 1 else joined.mask(joined.notna(), "")


def deal_groups(
    pairs: pd.DataFrame, shares: Mapping[str, float], seed: int, group: str, *, outside: str = ""
) -> dict[str, str]:
    """Deal the groups of each stratum to the parts by their shares, each part with each class.

    Args:
        pairs: As :func:`group_classes` gives them.
        shares: Name of the part to its share of the groups, any positive scale.
        seed: Seed of the dealing.
        group: Kind of group, for messages.
        outside: What was taken away before, for messages, such as `` outside of fold 2``.

    Returns:
        Group to part.

    Raises:
        LeighError: There are too few groups of a class, or they cannot be dealt so.
    """
    require_groups(pairs, len(shares), f"each of {', '.join(shares)}", group, outside=outside)
    return deal_strata(pairs, lambda count: _sizes(count, shares), [seed], group, "each part")


def deal_strata(
    pairs: pd.DataFrame,
    quotas: Callable[[int], Mapping[Part, float]],
    seeds: Sequence[int],
    group: str,
    places: str,
    *,
    remedy: str = "",
) -> dict[str, Part]:
    """Deal the groups of each stratum to parts by quotas, each part with each class.

    Args:
        pairs: As :func:`group_classes` gives them; each class has as many groups as there are parts.
        quotas: From the number of groups of a class to how many of them each part shall have.
        seeds: Seeds of the dealing.
        group: Kind of group, for messages.
        places: The parts, for messages, such as ``each of 5 folds``.
        remedy: What else helps, for messages, such as ``take fewer folds, ``.

    Returns:
        Group to part. Where each group has one class, the quotas are met; groups of mixed classes
        may need other sizes.

    Raises:
        LeighError: They cannot be dealt so.
    """
    dealt: dict[str, Part] = {}
    for stratum in _shared_strata(pairs):
        inside = pairs[pairs["class"].isin(stratum)]
        rng = np.random.default_rng([*seeds, zlib.crc32("|".join(sorted(stratum)).encode())])
        found = _deal_stratum(inside, quotas, rng)
        if found is None:
            together = ", ".join(sorted(stratum))
            raise LeighError(
                f"the {inside['group'].nunique()} {GROUP_PLURALS[group]} of {together} cannot be divided so that "
                f"{places} has each class; {remedy}add images of more {GROUP_PLURALS[group]} or split by well."
            )
        dealt |= found
    return dealt


def _shared_strata(pairs: pd.DataFrame) -> list[set[str]]:
    """Sets of classes that share no group with a class outside."""
    strata: list[set[str]] = []
    for shared in pairs.groupby("group")["class"].agg(set):
        touching = [stratum for stratum in strata if stratum & shared]
        strata = [stratum for stratum in strata if not stratum & shared] + [shared.union(*touching)]
    return strata


def require_groups(pairs: pd.DataFrame, needed: int, places: str, group: str, *, outside: str = "") -> None:
    """Raise an error where a class has too few groups.

    Args:
        pairs: As :func:`group_classes` gives them.
        needed: Groups of each class that are needed.
        places: What each is needed for, such as ``each of train, val, test``.
        group: Kind of group.
        outside: What was taken away before, such as `` outside of fold 2``.

    Raises:
        LeighError: A class has fewer.
    """
    counts = pairs["class"].value_counts().sort_index()
    for name, count in counts[counts < needed].items():
        finer = "" if group == "well" else " or split by well"
        counted = f"{count} {group if count == 1 else GROUP_PLURALS[group]}"
        subject = f"class {name!r} has" if name else "the images are of"
        raise LeighError(
            f"{subject} {counted}{outside}, and {needed} are needed, one for {places}"
            f"{_confounding_note(pairs, group)}; add images of more {GROUP_PLURALS[group]}{finer}."
        )


def _confounding_note(pairs: pd.DataFrame, group: str) -> str:
    """Describe the confounding of a split by donor where no donor has two classes; else empty."""
    if group != "donor" or pairs["class"].nunique() < 2 or pairs["group"].duplicated().any():
        return ""
    return " (and no donor has two classes, so that donor and class cannot be told apart)"


def _deal_stratum(
    pairs: pd.DataFrame, quotas: Callable[[int], Mapping[Part, float]], rng: np.random.Generator
) -> dict[str, Part] | None:
    classes = pairs.groupby("group")["class"].agg(tuple)
    class_quotas = {str(name): quotas(int(count)) for name, count in pairs["class"].value_counts().items()}
    for attempt in range(_ATTEMPTS):
        order = classes.iloc[rng.permutation(len(classes))]
        if attempt < _ATTEMPTS // 2:  # groups of many classes first; where that fails, any order may do
            order = order.sort_values(key=lambda names: -names.map(len), kind="stable")
        dealt, counts = _deal_in_order(order, class_quotas, rng)
        if all(len(count) == len(class_quotas) for count in counts.values()):
            return dealt
    return None


def _deal_in_order(
    classes: "pd.Series[str]", class_quotas: Mapping[str, Mapping[Part, float]], rng: np.random.Generator
) -> tuple[dict[str, Part], dict[Part, Counter[str]]]:
    """Give each group to the part that is furthest from its classes' quotas, then has fewest groups; ties at random."""
    parts = list(next(iter(class_quotas.values())))
    ranks = dict(zip(parts, rng.permutation(len(parts)).tolist(), strict=True))
    counts: dict[Part, Counter[str]] = {part: Counter() for part in parts}
    dealt: dict[str, Part] = {}
    sizes = dict.fromkeys(parts, 0)

    def priority(part: Part, held: Sequence[str]) -> tuple[float, ...]:
        filled = sum(counts[part][name] / class_quotas[name][part] for name in held)
        return filled, sizes[part], ranks[part]

    for name, held in classes.items():
        part = min(parts, key=lambda one: priority(one, held))
        counts[part].update(held)
        sizes[part] += 1
        dealt[str(name)] = part
    return dealt, counts


def _sizes(count: int, shares: Mapping[str, float]) -> dict[str, int]:
    """Groups per part: the first part takes what rounding leaves, and no part is empty."""
    first, *others = shares
    total = sum(shares.values())
    sizes = {part: max(1, round(count * shares[part] / total)) for part in others}
    while sum(sizes.values()) >= count:
        sizes[max(sizes, key=lambda part: sizes[part])] -= 1
    return {first: count - sum(sizes.values()), **sizes}
