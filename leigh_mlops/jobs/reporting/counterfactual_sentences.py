"""Sentences on the counterfactuals of a job."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import compress
from typing import Any

import numpy as np

from leigh_mlops.explanations import COUNTERFACTUAL_KINDS
from leigh_mlops.job_columns import (
    AREA,
    COUNTERFACTUAL,
    ORACLE,
    SHAM_EDIT,
    ColumnFamily,
    JobColumn,
    counterfactual_family,
)
from leigh_mlops.report.sentences import format_count, format_percent
from leigh_mlops.report.table_columns import Columns, is_missing, row_count, table_rows
from leigh_mlops.screening.counterfactual_table import NO_CHANGE
from leigh_mlops.screening.well_table import VALID_STATUSES, counterfactual_kinds

__all__ = ["IMAGE_NAMES", "KIND_NAMES", "REFERENCE_NAMES", "describe_counterfactuals", "describe_missing"]

Row = Mapping[str, Any]

KIND_NAMES = {
    "boundary": "at the boundary",
    "confident": "past the boundary",
    "typical": "typical image",
    "alpha_0": "ECINN, shorter step",
    "alpha_1": "ECINN, longer step",
}
REFERENCE_NAMES = {
    "nothing": "the image as it is",
    "moments": "mean and spread matched",
    "histogram": "histogram matched",
    "nearest": "nearest real field",
}
IMAGE_NAMES = {**REFERENCE_NAMES, **KIND_NAMES}
"""Headings of references and kinds of counterfactuals."""
_STATUS_MEANINGS = {
    "green": "all measures within their limits",
    "amber": "with reservations",
    "red": "explains nothing",
}
_ALONE = " alone"
_GROWTH = 1.5  # counterfactuals whose structures take so many times the area hold some that the image does not show
_IN_SENTENCES = {"nothing": "for the images as they are", "histogram": "after matching each channel's histogram"}


def describe_counterfactuals(fields: Columns, verdicts: Columns) -> tuple[list[str], list[str]]:
    """Describe, for each target, what predicts the counterfactuals as the target; and how they were made.

    Args:
        fields: Columns of the table of fields.
        verdicts: Columns of the table of counterfactuals, see `counterfactual_table`.
    """
    kinds = counterfactual_kinds(fields)
    sentences: list[str] = []
    details: list[str] = []
    if not kinds:
        return sentences, details
    of_kind = counterfactual_family(kinds[0])
    made = [not is_missing(status) for status in fields[of_kind("status")]]
    targets = [None if is_missing(target) else target for target in fields[JobColumn.TARGET]]
    for target in sorted({target for target, has_one in zip(targets, made, strict=True) if has_one and target}):
        tried = [has_one and each == target for each, has_one in zip(targets, made, strict=True)]
        of_them = {name: list(compress(fields[column], tried)) for name, column in of_kind.select(fields).items()}
        arrived = _count_arrived(kinds[0], of_them)
        sentences.append(_first_sentence(kinds[0], target, sum(tried), arrived))
        ends = [row for row in table_rows(verdicts) if row["images"] == kinds[0] and row["target"] == target]
        sentences += [_verdict_sentence(row, verdicts) for row in ends]
        sentences += [text for row in ends for text in _describe_new_structures(row, verdicts)]
        sentences += _describe_parts([row for row in table_rows(verdicts) if row["target"] == target], target)
        sentences += _describe_quality(str(target), of_them)
        details += _describe_generation(str(target), of_them)
    return [*sentences, *_describe_shams(fields)], details


def _describe_new_structures(row: Row, verdicts: Columns) -> Iterator[str]:
    """Say of structures that the counterfactuals have and the images have not that their places are no evidence."""
    start = next(
        (each for each in table_rows(verdicts) if (each["target"], each["images"]) == (row["target"], NO_CHANGE)), {}
    )
    for structure, column in AREA.select(row).items():
        before, after = _number(start.get(column)), _number(row[column])
        if after > _GROWTH * before:
            yield (
                f"Towards {row['target']}, the area of {structure} grows from {format_percent(before)} to "
                f"{format_percent(after)} of the field. Where an image shows no such structures, their places are "
                "drawn from the class and not seen: number and brightness can be believed, places cannot."
            )


def _number(value: Any) -> float:  # noqa: ANN401
    return float("nan") if is_missing(value) else float(value)


def _describe_parts(rows: Sequence[Row], target: str) -> Iterator[str]:
    """Describe which part of the change alone turns the fields for most independent classifiers."""
    parts = [row for row in rows if row["images"].endswith(_ALONE) and not is_missing(row["most_oracles"])]
    if not parts:
        return
    order = sorted(parts, key=lambda row: -row["most_oracles"])
    shares = [f"{row['images'].removesuffix(_ALONE)} {format_percent(row['most_oracles'])}" for row in order]
    yield (
        f"Parts of the change towards {target}, each applied alone, turn most independent classifiers for these shares "
        f"of {format_count(order[0]['fields'], 'field')}: {', '.join(shares)}."
    )


def _describe_shams(fields: Columns) -> Iterator[str]:
    """Describe the noise of the method: how often a transport from a class to itself turns the prediction."""
    names = [SHAM_EDIT(name) for name in ("turned", "oracles_turned", "oracles_asked")]
    if not all(name in fields for name in names):
        return
    rows = [row for row in zip(*(fields[name] for name in names), strict=True) if not is_missing(row[0])]
    turned = sum(bool(row[0]) for row in rows) / len(rows)
    asked = sum(row[2] for row in rows)
    others = f", and those of independent classifiers for {format_percent(sum(row[1] for row in rows) / asked)}"
    yield (
        "Noise of the method: a sham edit, transport from a class to itself, changes the prediction of this network "
        f"for {format_percent(turned)} of {format_count(len(rows), 'field')}{others if asked else ''}; it should be at "
        "most 5 %."
    )


def _count_arrived(kind: str, of_them: Columns) -> int:
    """Number of counterfactuals that reach the target by the own network; at the boundary their status counts."""
    if kind == "boundary" or "valid" not in of_them:
        return sum(status in VALID_STATUSES for status in of_them["status"])
    return sum(valid is True for valid in of_them["valid"])


def _first_sentence(kind: str, target: str, count: int, arrived: int) -> str:
    """Describe how many counterfactuals their own network predicts as the target."""
    end = "" if arrived == count else "; the others explain nothing"
    made = "transport between the classes made" if kind == "typical" else "the model generated"
    found = f"the model predicts {target} for {arrived} of the saved files"
    if kind == "boundary":
        lie = "lies" if arrived == 1 else "lie"
        found = f"{arrived} of the saved files {lie} at or beyond the boundary to {target}"
    return f"For {format_count(count, 'field')}, {made} an image towards {target}; {found}{end}."


def _verdict_sentence(row: Row, verdicts: Columns) -> str:
    """Describe what independent classifiers predict for the counterfactuals, beside references and real fields."""
    others = {each["images"]: each for each in table_rows(verdicts) if each["target"] == row["target"]}
    empty = f"; {format_count(row['empty_fields'], 'field')} without cells not counted" if row["empty_fields"] else ""
    names = [name for name in ColumnFamily(ORACLE.prefix).select(row).values() if not is_missing(row[name])]
    if not names:
        return "No independent classifier evaluated these images: whether they look like the class is not known."
    each = ", ".join(f"{name.removeprefix(ORACLE.prefix)} {format_percent(row[name])}" for name in names)
    of = f"the {row['fields']} images of fields that the model had not seen" if row["unseen"] else "them"
    text = (
        f"Most independent classifiers predict {row['target']} for {format_percent(row['most_oracles'])} of {of} "
        f"({each}{empty})"
    )
    simple = {name: others[name]["most_oracles"] for name in ("nothing", "histogram") if name in others}
    beside = [f"{format_percent(share)} {_IN_SENTENCES[name]}" for name, share in simple.items()]
    text += f", against {' and '.join(beside)}." if beside else "."
    if not is_missing(auc := row["realism_auc"]):
        real = others.get("real fields", {}).get("realism_auc")
        known = "" if is_missing(real) else f"; real fields against real fields: {real:.2f}"
        text += (
            f" A forest still distinguishes them from real {row['target']} fields with an AUC of {auc:.2f} "
            f"(0.5: it cannot{known})."
        )
    return text


def describe_missing(fields: Columns) -> Iterator[str]:
    """Describe how many fields have no counterfactual, or none of one kind."""
    notes = [note for note in fields.get(JobColumn.NOTE, ()) if not is_missing(note)]
    already = [note for note in notes if note.startswith("already ")]
    for note, number in Counter(already).most_common():
        are, have = ("is", "has") if number == 1 else ("are", "have")
        yield f"{format_count(number, 'field')} {are} {note} and {have} no counterfactual."
    yield from _missing_sentence(len(notes) - len(already), "counterfactual", JobColumn.NOTE)
    for kind in reversed(COUNTERFACTUAL_KINDS):
        name = COUNTERFACTUAL(kind)
        if f"{name}_note" in fields:
            statuses = fields.get(f"{name}_status", [None] * row_count(fields))
            pairs = zip(fields[f"{name}_note"], statuses, strict=True)
            lacking = sum(is_missing(status) and not is_missing(note) for note, status in pairs)
            yield from _missing_sentence(lacking, f"{kind} counterfactual", f"{name}_note")


def _missing_sentence(number: int, what: str, column: str) -> Iterator[str]:
    if number:
        have = "has" if number == 1 else "have"
        yield f"{format_count(number, 'field')} {have} no {what}; see {column} in fields.parquet."


def _describe_quality(target: str, of_them: Columns) -> Iterator[str]:
    statuses = Counter(of_them["status"])
    counts = ", ".join(f"{statuses[status]} {status} ({means})" for status, means in _STATUS_MEANINGS.items())
    yield f"Quality of the counterfactuals towards {target}: {counts}."
    if errors := [error for error in of_them.get("twin_error", ()) if not is_missing(error)]:
        yield (
            f"The median distance to the true twin in {target} is {np.median(errors):.2f} times that of the original "
            "image; below 1 means closer."
        )


def _describe_generation(target: str, of_them: Columns) -> Iterator[str]:
    if "way" in of_them and "attempts" in of_them:
        yield (
            f"Counterfactuals towards {target}: {of_them['way'].count('gradient')} along the gradient instead of "
            f"the straight line, {sum(attempts > 1 for attempts in of_them['attempts'])} with more than one attempt."
        )
