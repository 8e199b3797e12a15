"""Plate quality: separation of the controls, and effects of rows, columns and edges on the scores."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from leigh_mlops.plates import position_effects
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.report.sentences import format_count
from leigh_mlops.scores import ssmd, z_prime
from leigh_mlops.scores.plate_effects import b_scores
from leigh_mlops.screening.plate_controls import MIN_CONTROLS, controls_problem
from leigh_mlops.screening.reference_classes import ReferenceClasses

__all__ = ["describe_plate_quality", "plate_table", "add_b_scores"]

PLATE_COLUMNS = [
    Metadata.PLATE, "positive_wells", "negative_wells", "z_prime", "robust_z_prime", "ssmd",
    "row_share", "column_share", "edge_share", "note",
]  # fmt: skip
_MAX_SENTENCES = 4
_POSITION_COLUMNS = {Metadata.ROW, Metadata.COLUMN}

Doubles = npt.NDArray[np.float64]


def plate_table(
    fields: pd.DataFrame,
    odds: "pd.Series[float]",
    controls: dict[str, dict[str, Doubles]],
    notes: dict[str, str],
    direction: ReferenceClasses,
) -> pd.DataFrame:
    """Build a table of one row per plate.

    Args:
        fields: Fields that count, with their positions.
        odds: Scores of the fields, whose medians are those of the wells.
        controls: Scores of the control wells by plate and role.
        notes: Further notes on plates, such as why there is no B-score.
        direction: Classes of the negative (diseased) and the positive (healthy) controls.
    """
    shares: dict[tuple[str, str], float] = {}
    if set(fields) >= _POSITION_COLUMNS and len(fields):
        classed = fields.assign(Metadata_Condition=fields.get(Metadata.CONDITION, pd.Series(None, fields.index)))
        effects = position_effects(classed, odds.rename("score").to_frame())
        places = zip(effects["plate"], effects["effect"], effects["explained"], strict=True)
        shares = {(str(plate), str(effect)): float(share) for plate, effect, share in places}
    rows = []
    for plate, own in controls.items():
        known, note = _separation(own["target"], own["source"]), controls_problem(own, direction)
        lines = {f"{effect}_share": shares.get((plate, effect), math.nan) for effect in ("row", "column", "edge")}
        said = " ".join(each for each in (note, notes.get(plate, "")) if each)
        rows.append({Metadata.PLATE: plate} | known | lines | {"note": said})
    return pd.DataFrame(rows, columns=PLATE_COLUMNS)


def add_b_scores(
    wells: pd.DataFrame, roles: "pd.Series[str]", treated: "pd.Series[bool]"
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Add ``b_score`` where a plate's layout allows it; also return, by plate, why it does not.

    Plates without treated wells are skipped, as nothing is screened on them.

    Args:
        wells: Table with ``score``.
        roles: Roles of the wells, from `control_roles`.
        treated: Whether each well is treated.
    """
    reasons: dict[str, str] = {}
    if not set(wells) >= _POSITION_COLUMNS:
        return wells, reasons
    scores = pd.Series(np.nan, wells.index)
    names = roles.map({"source": "the diseased control", "target": "the healthy control", "": ""})
    for plate, rows in wells[wells["score"].notna()].groupby(Metadata.PLATE, sort=True):
        if not treated[rows.index].any():
            continue
        found = b_scores(
            rows["score"].to_numpy(float),
            rows[Metadata.ROW],
            rows[Metadata.COLUMN],
            names[rows.index].to_numpy(object),
        )
        if found.scores is None:
            reasons[str(plate)] = found.reason
        else:
            scores[rows.index] = found.scores
    return (wells.assign(b_score=scores) if scores.notna().any() else wells), reasons


def describe_plate_quality(plates: pd.DataFrame, direction: ReferenceClasses) -> tuple[list[str], list[str]]:
    """Return warnings and sentences on the controls of the plates, the worst plates first."""
    ranked = plates.sort_values("z_prime", na_position="first")
    warned = [f"Plate {row[Metadata.PLATE]}: {row['note']}" for _, row in ranked[ranked["note"] != ""].iterrows()]
    known = ranked.dropna(subset="z_prime")
    said = [
        f"Plate {row[Metadata.PLATE]}: {_format_factors(row)}, from {row['positive_wells']} wells of "
        f"{direction.target} and {row['negative_wells']} of {direction.source}; {_interpret_z_prime(row['z_prime'])}."
        for _, row in known.iterrows()
    ]
    return _shorten(warned), _shorten(said)


def _shorten(lines: list[str]) -> list[str]:
    more = len(lines) - _MAX_SENTENCES
    return lines if more < 1 else [*lines[:_MAX_SENTENCES], f"On {format_count(more, 'further plate')} see plates.csv."]


def _format_factors(row: "pd.Series[Any]") -> str:
    robust = "" if math.isnan(row["robust_z_prime"]) else f" (robust {row['robust_z_prime']:.2f})"
    difference = "" if math.isnan(row["ssmd"]) else f", SSMD {row['ssmd']:.1f}"
    return f"Z' {row['z_prime']:.2f}{robust}{difference}"


def _interpret_z_prime(factor: float) -> str:
    if factor >= 0.5:
        return "the controls lie far apart, as a screen should have them"
    if factor > 0:
        return "the controls part, but less than the usual bar of 0.5"
    return "their bands of three standard deviations overlap"


def _separation(positive: Doubles, negative: Doubles) -> dict[str, Any]:
    counts: dict[str, Any] = {"positive_wells": len(positive), "negative_wells": len(negative)}
    if min(len(positive), len(negative)) < MIN_CONTROLS:
        return counts | dict.fromkeys(("z_prime", "robust_z_prime", "ssmd"), math.nan)
    factors = {
        "z_prime": z_prime(positive, negative),
        "robust_z_prime": z_prime(positive, negative, robust=True),
        "ssmd": ssmd(positive, negative),
    }
    return counts | {name: value if math.isfinite(value) else math.nan for name, value in factors.items()}
