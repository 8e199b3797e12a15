"""Repeated images of one field: time points and acquisitions, of which one is chosen."""

from typing import Literal

import pandas as pd

from leigh_mlops.errors import LeighError
from leigh_mlops.plates.columns import Metadata

__all__ = ["RepeatChoice", "choose_repeats", "parse_repeat"]

RepeatChoice = int | Literal["first", "last", "all"] | None
"""Number of a time point or acquisition, the first or last one, all, or nothing: the one that most fields have."""

_FIELD = [Metadata.PLATE, Metadata.WELL, Metadata.SITE]
_NOUNS = {Metadata.TIME: ("time point", "--time"), Metadata.ACQUISITION: ("acquisition", "--acquisition")}


def parse_repeat(text: str, option: str) -> RepeatChoice:
    """Read a choice as a user writes it.

    Raises:
        LeighError: It is no number and none of ``first``, ``last`` and ``all``.
    """
    if text in ("first", "last", "all"):
        return text  # type: ignore[return-value]
    if not text.isdecimal():
        raise LeighError(f"{option} {text!r} is not a choice; pass a number, first, last or all.")
    return int(text)


def choose_repeats(files: pd.DataFrame, column: str, wanted: RepeatChoice) -> tuple[pd.DataFrame, str]:
    """Keep one time point or acquisition, so that no field counts more than once.

    Without a choice nothing changes where each field has one; otherwise the one that most fields
    have is kept, the first of those.

    Args:
        files: One row per file, page or field, with plate, well and site.
        column: ``Metadata_Time`` or ``Metadata_Acquisition``.
        wanted: The choice.

    Returns:
        The rows that are kept, and what was decided as a part of a sentence; empty where nothing was.

    Raises:
        LeighError: There is none of that number.
    """
    noun, option = _NOUNS[column]
    numbers = files[column] if column in files else pd.Series(dtype="float64")
    there = sorted(int(number) for number in numbers.dropna().unique())
    if not there:
        if isinstance(wanted, int):
            raise LeighError(f"{option} {wanted}: the images have no {noun}s; leave it out.")
        return files, ""
    fields = files.drop_duplicates([*_FIELD, column])
    repeated = int(fields[fields[column].notna()].groupby(_FIELD)[column].nunique().max()) > 1
    if wanted is None and not repeated:
        return files, ""
    listed = _list(there)
    if wanted == "all":
        return files, f"{noun}s {listed} of each field stay as rows of their own ({option} all)" if repeated else ""
    counts = fields[column].value_counts()
    common = min(there, key=lambda number: (-int(counts[number]), number))
    kept = wanted if isinstance(wanted, int) else {"first": there[0], "last": there[-1]}.get(wanted or "", common)
    if kept not in there:
        raise LeighError(f"{option} {kept}: no image has it; the {noun}s are {listed}, or pass first, last or all.")
    rows = files[(numbers == kept) | numbers.isna()]
    lost = len(files[_FIELD[:2]].drop_duplicates()) - len(rows[_FIELD[:2]].drop_duplicates())
    without = f", and {lost} wells have no image of it" if lost else ""
    note = f"of the {noun}s {listed}, {kept} is kept{without}; choose another or all with {option}"
    return rows, note if len(there) > 1 else ""


def _list(numbers: list[int]) -> str:
    shown = [str(number) for number in numbers]
    return ", ".join(shown) if len(shown) <= 8 else f"{', '.join(shown[:3])}, …, {shown[-1]}"
