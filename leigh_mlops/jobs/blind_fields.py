"""Fields of a blind test: real ones, and counterfactuals that claim to be the same class."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from leigh_mlops.errors import LeighError
from leigh_mlops.job_columns import COUNTERFACTUAL, PICTURE, JobColumn, counterfactual_family
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.screening.counterfactual_table import NO_CELLS
from leigh_mlops.screening.field_flags import TRUST_FLAGS, is_unusable
from leigh_mlops.screening.well_table import well_names

__all__ = ["BLIND_KINDS", "BlindField", "choose_blind_fields", "find_blind_kind"]

BLIND_KINDS = ("typical", "confident")
"""Kinds of counterfactuals that claim to be the target class, the preferred one first."""

_IMAGE = PICTURE("image")


class BlindField(NamedTuple):
    """Picture of a blind test.

    Attributes:
        field: Name of the field.
        well: Its well, ``plate/well``.
        path: Path of the picture, relative to the job's folder.
        claim: Class of a real field, or target class of a counterfactual.
        generated: Whether it is a counterfactual.
        seen: Whether the model was trained or chosen on the field.
    """

    field: str
    well: str
    path: str
    claim: str
    generated: bool
    seen: bool


def find_blind_kind(fields: pd.DataFrame) -> str | None:
    """Return the preferred kind of counterfactual that a table of fields has pictures of; None if it has none."""
    for kind in BLIND_KINDS:
        column = PICTURE(COUNTERFACTUAL(kind))
        if {column, _IMAGE, JobColumn.TARGET} <= set(fields) and fields[column].notna().any():
            return kind
    return None


def choose_blind_fields(fields: pd.DataFrame, kind: str, number: int, seed: int) -> list[BlindField]:
    """Choose generated and real fields, as many of one as of the other in each class, in random order.

    No field is chosen twice, so an image never meets its own counterfactual. Fields that the model has not seen come
    first, then those of wells with the fewest chosen ones. Fields without cells, blurred and excluded ones, and
    counterfactuals that are not valid are left out.

    Args:
        fields: The job's table of fields.
        kind: Kind of counterfactual, see `find_blind_kind`.
        number: Number of generated fields; there are as many real ones.
        seed: Random seed of the choice and the order.

    Returns:
        ``2 * number`` fields.

    Raises:
        LeighError: There are fewer.
    """
    rng = np.random.default_rng(seed)
    usable = fields[~_holds_no_cells(fields, kind)]
    found = [*_generated_fields(usable, kind), *_real_fields(usable)]
    pool = [found[place] for place in rng.permutation(len(found))]
    chosen = _draw_pairs(pool, number)
    if len(chosen) < 2 * number:
        pairs = len(chosen) // 2
        remedy = f"give --fields {pairs}, or explain more fields" if pairs > 1 else "explain more fields of each class"
        raise LeighError(
            f"A test of {number} generated fields needs as many real ones of the same classes, and the job has only "
            f"{pairs} such pairs of different fields that hold cells; {remedy}."
        )
    return [chosen[place] for place in rng.permutation(len(chosen))]


def _draw_pairs(pool: Sequence[BlindField], number: int) -> list[BlindField]:
    """Draw up to a number of pairs of one generated and one real field of a class, from each class in turn."""
    chosen: list[BlindField] = []
    classes = sorted({each.claim for each in pool})
    while classes and len(chosen) < 2 * number:
        for claim in list(classes):
            pair: list[BlindField] = []
            for generated in (True, False):
                free = [each for each in pool if each.claim == claim and each.generated == generated]
                pair += _draw_field(free, [*chosen, *pair])
            if len(pair) < 2:
                classes.remove(claim)
            elif len(chosen) < 2 * number:
                chosen += pair
    return chosen


def _draw_field(free: Sequence[BlindField], chosen: Sequence[BlindField]) -> list[BlindField]:
    """Draw the first of the fields whose wells are chosen least, of those that are not chosen; none if all are."""
    taken, wells = {each.field for each in chosen}, Counter(each.well for each in chosen)
    left = [each for each in free if each.field not in taken]
    return [min(left, key=lambda each: (each.seen, wells[each.well]))] if left else []


def _generated_fields(fields: pd.DataFrame, kind: str) -> list[BlindField]:
    """Valid counterfactuals of fields that are not of the target class already."""
    pictures, valid = PICTURE(COUNTERFACTUAL(kind)), counterfactual_family(kind)("valid")
    holds = fields[pictures].notna() & fields[JobColumn.TARGET].notna()
    if valid in fields:
        holds &= fields[valid].eq(True)
    if Metadata.CONDITION in fields:
        holds &= ~fields[Metadata.CONDITION].eq(fields[JobColumn.TARGET])
    return _blind_fields(fields[holds], pictures, fields.loc[holds, JobColumn.TARGET], generated=True)


def _real_fields(fields: pd.DataFrame) -> list[BlindField]:
    """Fields by their label; fields without one by their predicted class, if no field is labelled so."""
    predicted = fields[JobColumn.PREDICTED]
    labels = fields[Metadata.CONDITION] if Metadata.CONDITION in fields else pd.Series(None, fields.index, object)
    claims = labels.mask(labels.isna() & ~predicted.isin(labels), predicted)
    known = fields[_IMAGE].notna() & claims.notna()
    return _blind_fields(fields[known], _IMAGE, claims[known], generated=False)


def _blind_fields(
    fields: pd.DataFrame, pictures: str, claims: "pd.Series[Any]", *, generated: bool
) -> list[BlindField]:
    columns = (fields[JobColumn.FIELD], well_names(fields), fields[pictures], claims, fields[JobColumn.SEEN])
    return [
        BlindField(str(field), well, str(path), str(claim), generated, bool(seen))
        for field, well, path, claim, seen in zip(*columns, strict=True)
    ]


def _holds_no_cells(fields: pd.DataFrame, kind: str) -> "pd.Series[bool]":
    """Return whether each field is flagged as one without cells, out of focus or excluded."""
    flags = pd.DataFrame({name: _has_reason(fields, JobColumn.TRUST, name) for name in TRUST_FLAGS})
    return is_unusable(fields, flags) | _has_reason(fields, counterfactual_family(kind)("reasons"), NO_CELLS)


def _has_reason(fields: pd.DataFrame, column: str, reason: str) -> "pd.Series[bool]":
    """Return whether a column of reasons, joined by ``; ``, has a reason; no field has one without the column."""
    if column not in fields:
        return pd.Series(False, index=fields.index)
    return fields[column].fillna("").astype(str).str.split("; ").map(lambda each: reason in each).astype(bool)
