"""Donors: whether a score can tell the class from the donor of the cells."""

from dataclasses import dataclass

import pandas as pd

from leigh_mlops.plates.columns import Metadata

__all__ = ["Donors", "describe_donors"]


@dataclass(frozen=True)
class Donors:
    """Donors of each class.

    Attributes:
        of_class: Class to its donors, both sorted.
        shared: Donors of more than one class, sorted.
        sentence: Interpretation, in words.
    """

    of_class: dict[str, tuple[str, ...]]
    shared: tuple[str, ...]
    sentence: str


def describe_donors(table: pd.DataFrame) -> Donors | None:
    """Describe the donors of the classes, and whether a score can tell class from donor.

    Args:
        table: Image table; rows without a class or without a donor are left out.

    Returns:
        ``None`` where no labelled row has a ``Metadata_Donor``.
    """
    if Metadata.DONOR not in table:
        return None
    pairs = table[[Metadata.CONDITION, Metadata.DONOR]].dropna().drop_duplicates().astype("str")
    if pairs.empty:
        return None
    of_class = {str(name): tuple(sorted(rows)) for name, rows in pairs.groupby(Metadata.CONDITION)[Metadata.DONOR]}
    classes = pairs[Metadata.DONOR].value_counts()
    shared = tuple(sorted(classes.index[classes > 1]))
    counted = ", ".join(
        f"{name}: {len(names)} donor{'' if len(names) == 1 else 's'}" for name, names in of_class.items()
    )
    return Donors(of_class, shared, f"{counted}; {_meaning(of_class, shared, len(classes))}.")


def _meaning(of_class: dict[str, tuple[str, ...]], shared: tuple[str, ...], donors: int) -> str:
    if len(of_class) < 2:
        return "there is one class"
    several = "both classes" if len(of_class) == 2 else "more than one class"
    if not shared:
        return f"no donor has {several}: a score cannot tell the class from the donor"
    have = "every donor has" if len(shared) == donors else f"{len(shared)} of {donors} donors have"
    alone = [name for name, names in of_class.items() if not set(names) & set(shared)]
    doubt = f", but none of {' or '.join(alone)}: there, a score cannot tell the class from the donor" if alone else ""
    return f"{have} {several}{doubt}"
