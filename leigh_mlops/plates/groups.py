"""Groups: what is never torn apart, and dealing it so that each part has each class."""

import zlib
from collections.abc import Mapping

import numpy as np
import pandas as pd

from leigh_mlops.errors import LeighError

__all__ = [
    "GROUPS",
    "GROUP_PLURALS",
    "deal_groups",
    "enough_groups",
    "group_classes",
    "group_names",
    "shared_strata",
]

GROUPS = {
    "well": ["Metadata_Plate", "Metadata_Well"],
    "plate": ["Metadata_Plate"],
    "batch": ["Metadata_Batch"],
    "donor": ["Metadata_Donor"],
}
GROUP_PLURALS = {"well": "wells", "plate": "plates", "batch": "batches", "donor": "donors"}
_ATTEMPTS = 200


def group_names(table: pd.DataFrame, group: str) -> "pd.Series[str]":
    """Name of each row's group.

    Raises:
        LeighError: The kind of group is unknown, or an image lacks what it needs.
    """
    if group not in GROUPS:
        raise LeighError(f"{group!r} is no group to split by; choose {', '.join(GROUPS)}.")
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
    """Pairs of a ``group`` and a ``class`` that stands in it, sorted, none twice."""
    return pd.DataFrame({"group": groups, "class": classes}).drop_duplicates().sort_values(["group", "class"])


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
    enough_groups(pairs, len(shares), f"each of {', '.join(shares)}", group, outside=outside)
    dealt: dict[str, str] = {}
    for stratum in shared_strata(pairs):
        inside = pairs[pairs["class"].isin(stratum)]
        rng = np.random.default_rng([seed, zlib.crc32("|".join(sorted(stratum)).encode())])
        dealt |= _deal_stratum(inside, shares, rng, group)
    return dealt


def shared_strata(pairs: pd.DataFrame) -> list[set[str]]:
    """Sets of classes that share no group with a class outside."""
    strata: list[set[str]] = []
    for shared in pairs.groupby("group")["class"].agg(set):
        touching = [stratum for stratum in strata if stratum & shared]
        strata = [stratum for stratum in strata if not stratum & shared] + [shared.union(*touching)]
    return strata


def enough_groups(pairs: pd.DataFrame, needed: int, places: str, group: str, *, outside: str = "") -> None:
    """Refuse to deal groups of which a class has too few.

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
        raise LeighError(
            f"class {name!r} has {counted}{outside}, and {needed} are needed, one for {places}"
            f"{_confused(pairs, group)}; add images of more {GROUP_PLURALS[group]}{finer}."
        )


def _confused(pairs: pd.DataFrame, group: str) -> str:
    """What a split by donor meets where no donor has two classes."""
    if group != "donor" or pairs["class"].nunique() < 2 or pairs["group"].duplicated().any():
        return ""
    return " (and no donor has two classes, so that donor and class cannot be told apart)"


def _deal_stratum(
    pairs: pd.DataFrame, shares: Mapping[str, float], rng: np.random.Generator, group: str
) -> dict[str, str]:
    names = np.array(sorted(pairs["group"].unique()), dtype=object)
    sizes = _sizes(len(names), shares)
    places = np.repeat(list(sizes), list(sizes.values()))
    classes, weights = pairs["class"].nunique(), np.array(list(shares.values())) / sum(shares.values())
    for attempt in range(_ATTEMPTS):
        if attempt > _ATTEMPTS // 4:  # groups of mixed classes may need other sizes than those asked for
            places = rng.choice(list(shares), size=len(names), p=weights)
        dealt = dict(zip(rng.permutation(names), places, strict=True))
        present = pairs.groupby(pairs["group"].map(dealt))["class"].nunique()
        if len(present) == len(shares) and (present == classes).all():
            return dealt
    together = ", ".join(sorted(pairs["class"].unique()))
    raise LeighError(
        f"the {len(names)} {GROUP_PLURALS[group]} of {together} cannot be dealt so that each part has each class; "
        f"add images of more {GROUP_PLURALS[group]} or split by well."
    )


def _sizes(count: int, shares: Mapping[str, float]) -> dict[str, int]:
    """Groups per part: the first part takes what rounding leaves, and no part is empty."""
    first, *others = shares
    total = sum(shares.values())
    sizes = {part: max(1, round(count * shares[part] / total)) for part in others}
    while sum(sizes.values()) >= count:
        sizes[max(sizes, key=lambda part: sizes[part])] -= 1
    return {first: count - sum(sizes.values()), **sizes}
