"""How well each plate's controls part, and what its rows, columns and edges do to the scores."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from leigh_mlops.jobs.controls import FEWEST_CONTROLS, unfit
from leigh_mlops.jobs.direction import Direction
from leigh_mlops.plates import position_effects
from leigh_mlops.report.words import counted
from leigh_mlops.scores import ssmd, z_prime
from leigh_mlops.scores.plate_effects import b_scores

__all__ = ["on_plate_scores", "plate_table", "with_b_scores"]

COLUMNS = [
    "Metadata_Plate", "positive_wells", "negative_wells", "z_prime", "robust_z_prime", "ssmd",
    "row_share", "column_share", "edge_share", "note",
]  # fmt: skip
_SHOWN = 4
_PLACE = {"Metadata_Row", "Metadata_Col"}

Doubles = npt.NDArray[np.float64]


def plate_table(
    fields: pd.DataFrame,
    odds: "pd.Series[float]",
    controls: dict[str, dict[str, Doubles]],
    notes: dict[str, str],
    direction: Direction,
) -> pd.DataFrame:
    """One row per plate.

    Args:
        fields: Fields that count, with their places.
        odds: Their scores, whose medians are those of the wells.
        controls: Scores of the control wells by plate and role.
        notes: What else is said of a plate, such as why there is no B-score.
        direction: The way from the negative (diseased) to the positive (healthy) controls.
    """
    shares: dict[tuple[str, str], float] = {}
    if set(fields) >= _PLACE and len(fields):
        classed = fields.assign(Metadata_Condition=fields.get("Metadata_Condition", pd.Series(None, fields.index)))
        effects = position_effects(classed, odds.rename("score").to_frame())
        places = zip(effects["plate"], effects["effect"], effects["explained"], strict=True)
        shares = {(str(plate), str(effect)): float(share) for plate, effect, share in places}
    rows = []
    for plate, own in controls.items():
        known, note = _separation(own["target"], own["source"]), unfit(own, direction)
        lines = {f"{effect}_share": shares.get((plate, effect), math.nan) for effect in ("row", "column", "edge")}
        said = " ".join(each for each in (note, notes.get(plate, "")) if each)
        rows.append({"Metadata_Plate": plate} | known | lines | {"note": said})
    return pd.DataFrame(rows, columns=COLUMNS)


def with_b_scores(
    wells: pd.DataFrame, roles: "pd.Series[str]", treated: "pd.Series[bool]"
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Add ``b_score`` where a plate's layout allows it; and by plate, why it does not.

    Neither is asked of a plate without treated wells, where nothing is screened.

    Args:
        wells: With ``score``.
        roles: Of the wells, as `control_roles` gives them.
        treated: Whether something was added to the well.
    """
    reasons: dict[str, str] = {}
    if not set(wells) >= _PLACE:
        return wells, reasons
    scores = pd.Series(np.nan, wells.index)
    names = roles.map({"source": "the diseased control", "target": "the healthy control", "": ""})
    for plate, rows in wells[wells["score"].notna()].groupby("Metadata_Plate", sort=True):
        if not treated[rows.index].any():
            continue
        found = b_scores(
            rows["score"].to_numpy(float),
            rows["Metadata_Row"],
            rows["Metadata_Col"],
            names[rows.index].to_numpy(object),
        )
        if found.scores is None:
            reasons[str(plate)] = found.reason
        else:
            scores[rows.index] = found.scores
    return (wells.assign(b_score=scores) if scores.notna().any() else wells), reasons


def on_plate_scores(plates: pd.DataFrame, direction: Direction) -> tuple[list[str], list[str]]:
    """Warnings and sentences on the controls of the plates, the worst plates first."""
    ranked = plates.sort_values("z_prime", na_position="first")
    warned = [f"Plate {row['Metadata_Plate']}: {row['note']}" for _, row in ranked[ranked["note"] != ""].iterrows()]
    known = ranked.dropna(subset="z_prime")
    said = [
        f"Plate {row['Metadata_Plate']}: {_factors(row)}, from {row['positive_wells']} wells of {direction.target} and "
        f"{row['negative_wells']} of {direction.source}; {_meaning(row['z_prime'])}."
        for _, row in known.iterrows()
    ]
    return _shortened(warned), _shortened(said)


def _shortened(lines: list[str]) -> list[str]:
    more = len(lines) - _SHOWN
    return lines if more < 1 else [*lines[:_SHOWN], f"On {counted(more, 'further plate')} see plates.csv."]


def _factors(row: "pd.Series[Any]") -> str:
    robust = "" if math.isnan(row["robust_z_prime"]) else f" (robust {row['robust_z_prime']:.2f})"
    difference = "" if math.isnan(row["ssmd"]) else f", SSMD {row['ssmd']:.1f}"
    return f"Z' {row['z_prime']:.2f}{robust}{difference}"


def _meaning(factor: float) -> str:
    if factor >= 0.5:
        return "the controls lie far apart, as a screen should have them"
    if factor > 0:
        return "the controls part, but less than the usual bar of 0.5"
    return "their bands of three standard deviations overlap"


def _separation(positive: Doubles, negative: Doubles) -> dict[str, Any]:
    counts: dict[str, Any] = {"positive_wells": len(positive), "negative_wells": len(negative)}
    if min(len(positive), len(negative)) < FEWEST_CONTROLS:
        return counts | dict.fromkeys(("z_prime", "robust_z_prime", "ssmd"), math.nan)
    factors = {
        "z_prime": z_prime(positive, negative),
        "robust_z_prime": z_prime(positive, negative, robust=True),
        "ssmd": ssmd(positive, negative),
    }
    return counts | {name: value if math.isfinite(value) else math.nan for name, value in factors.items()}
