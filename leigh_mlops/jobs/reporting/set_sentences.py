"""Sentences and texts on prediction sets."""

from collections.abc import Iterator

from leigh_mlops.report.sentences import format_count, format_percent
from leigh_mlops.report.table_columns import is_missing
from leigh_mlops.screening.class_sets import SetCounts

__all__ = ["UNDECIDED", "describe_set", "describe_sets"]

UNDECIDED = "can't say"
"""Beginning of the text of a set that has no class, or more than one."""

_MAX_PLATES = 4


def describe_set(joined: str | None) -> str | None:
    """Text of a well's set: its only class, or that the model can't say; None for no set.

    Args:
        joined: Classes of the set, joined by ``; ``.

    Example:
        >>> describe_set("DS"), describe_set("DS; WT"), describe_set("")
        ('DS', "can't say (DS or WT)", "can't say (no class)")
    """
    if joined is None or is_missing(joined):
        return None
    names = joined.split("; ")
    if len(names) == 1 and joined:
        return joined
    return f"{UNDECIDED} ({' or '.join(names) or 'no class'})"


def describe_sets(counts: SetCounts | None) -> Iterator[str]:
    """Describe the sets of a job, and why wells have none; nothing where nothing is classified."""
    if counts is None:
        return
    if wells := counts.single + counts.several + counts.empty:
        yield (
            f"Prediction sets contain the true class of {format_percent(counts.coverage)} of wells like those that "
            f"calibrate them ({_describe_calibration(counts)}): {counts.single} of {format_count(wells, 'well')} have "
            f"one class; of {counts.several + counts.empty} the model can't say ({counts.several} resemble more than "
            f"one class, {counts.empty} none)."
        )
    if counts.labelled:
        yield (
            f"The sets contain the label of {counts.covered} of {format_count(counts.labelled, 'labelled well')} "
            "that the model has not seen."
        )
    if counts.lacking:
        yield f"No prediction set for {format_count(counts.lacking, 'well')}: {_describe_lack(counts)}."


def _describe_calibration(counts: SetCounts) -> str:
    sources = []
    if counts.plates:
        more = " and others" if len(counts.plates) > _MAX_PLATES else ""
        sources.append(f"unseen controls of {', '.join(counts.plates[:_MAX_PLATES])}{more}, for these plates")
    if min(counts.calibration.values(), default=0) >= counts.fewest:
        sources.append(f"validation wells, {_list_wells(counts)}")
    return "; ".join(sources)


def _describe_lack(counts: SetCounts) -> str:
    if not counts.calibration:
        return "the model is of an earlier version, which stored no validation wells; train it again"
    return (
        f"a coverage of {format_percent(counts.coverage)} takes at least {counts.fewest} validation wells of each "
        f"class, and the model has {_list_wells(counts)}; train with more of them (--shares), or lower the "
        "coverage (--coverage of explain)"
    )


def _list_wells(counts: SetCounts) -> str:
    return ", ".join(f"{name} {number}" for name, number in counts.calibration.items())
