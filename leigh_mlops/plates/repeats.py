"""Repeated images of one field: time points and acquisitions, of which one is chosen."""

from typing import Literal

import pandas as pd

from leigh_mlops.errors import LeighError
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.plates.whole_number import parse_whole

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
    number = parse_whole(text)
    if number is None:
        raise LeighError(f"{option} {text[:40]!r} is not a choice; pass a number, first, last or all.")
    return number


def choose_repeats(files: pd.DataFrame, column: str, wanted: RepeatChoice) -> tuple[pd.DataFrame, str]:
    """Keep one time point or acquisition, so that no field counts more than once.

    Without a choice nothing changes on plates where each field has one; on others, the one that most
    of their fields have is kept, the first of those.

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
    if wanted is None:
        return _keep_common(files, column)
    if wanted == "all":
        stay = f"the {noun}s {_list(there)} stay as rows of their own ({option} all)"
        return files, stay if len(there) > 1 else ""
    kept = {"first": there[0], "last": there[-1]}.get(wanted, wanted) if isinstance(wanted, str) else wanted
    if kept not in there:
        known = f"the {noun}s are {_list(there)}"
        raise LeighError(f"{option} {kept}: no image has it; {known}, or pass first, last or all.")
    rows = files[(numbers == kept) | numbers.isna()]
    return rows, f"of the {noun}s {_list(there)}, {kept} is kept{_lost_phrase(files, rows)}" if len(there) > 1 else ""


def _keep_common(files: pd.DataFrame, column: str) -> tuple[pd.DataFrame, str]:
    """Keep the number that most fields of a plate have, on plates where fields have several."""
    noun, option = _NOUNS[column]
    fields = files.drop_duplicates([*_FIELD, column]).dropna(subset=column)
    times = fields.groupby(_FIELD)[column].nunique()
    plates = times.index[times > 1].get_level_values(Metadata.PLATE).unique()
    if plates.empty:
        return files, ""
    repeated = fields[fields[Metadata.PLATE].isin(plates)]
    counts = repeated.groupby([Metadata.PLATE, column]).size().reset_index(name="fields")
    best = counts.sort_values(["fields", column], ascending=[False, True]).drop_duplicates(Metadata.PLATE)
    common = dict(zip(best[Metadata.PLATE], best[column], strict=True))
    wanted = files[Metadata.PLATE].map(common)
    rows = files[wanted.isna() | files[column].isna() | (files[column] == wanted)]
    there = sorted(int(number) for number in repeated[column].unique())
    kept = sorted({int(number) for number in common.values()})
    what = f"{kept[0]} is" if len(kept) == 1 else f"those that most fields of a plate have ({_list(kept)}) are"
    return (
        rows,
        f"of the {noun}s {_list(there)}, {what} kept{_lost_phrase(files, rows)}; choose another or all with {option}",
    )


def _lost_phrase(files: pd.DataFrame, rows: pd.DataFrame) -> str:
    wells = _FIELD[:2]
    lost = len(files[wells].drop_duplicates()) - len(rows[wells].drop_duplicates())
    return f", and {lost} wells have no image of it" if lost else ""


def _list(numbers: list[int]) -> str:
    shown = [str(number) for number in numbers]
    return ", ".join(shown) if len(shown) <= 8 else f"{', '.join(shown[:3])}, …, {shown[-1]}"
