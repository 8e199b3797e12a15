"""Plate quality: the control wells that define a plate's scale, their separation, and effects of position."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from leigh_mlops.job_columns import JobColumn
from leigh_mlops.plates import position_effects
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.scores import probability_z_prime, ssmd, z_prime
from leigh_mlops.scores.control_separation import welch_p
from leigh_mlops.scores.plate_effects import BScoreRefusal, b_scores

__all__ = [
    "MIN_CONTROLS",
    "ControlCounts",
    "ControlsFault",
    "ControlsProblem",
    "ControlPlaces",
    "PlateControls",
    "PlateFlags",
    "control_places",
    "count_controls",
    "find_controls_problem",
    "flag_plates",
    "plate_b_scores",
    "plate_controls",
    "plate_table",
]

MIN_CONTROLS = 2
"""Fewest control wells of each role on a plate: the spread of a single one is not known."""

CONTROLS_SIGNIFICANCE = 0.05
"""p of Welch's t test below which the two groups of controls of a plate count as different."""

_FACTORS = ("z_prime_log_odds", "robust_z_prime_log_odds", "z_prime", "ssmd")
PLATE_COLUMNS = [
    Metadata.PLATE, "positive_wells", "negative_wells", *_FACTORS,
    "row_share", "column_share", "edge_share",
]  # fmt: skip
_ROLES = ("source", "target")
_POSITION_COLUMNS = {Metadata.ROW, Metadata.COLUMN}

Doubles = npt.NDArray[np.float64]


class PlateControls(NamedTuple):
    """Scores of the control wells of each plate.

    Attributes:
        scores: Scores of the ``source`` and ``target`` controls, by plate and role, shape (n,), nats.
        seen: Plates for which controls that the model has seen are used, as too few others exist.
    """

    scores: dict[str, dict[str, Doubles]]
    seen: frozenset[str] = frozenset()


class ControlPlaces(NamedTuple):
    """Places of the control wells of each plate.

    Attributes:
        places: Places of the ``source`` and ``target`` controls in the table of wells, by plate and role, shape (n,).
        seen: Plates for which controls that the model has seen are used, as too few others exist.
    """

    places: dict[str, dict[str, npt.NDArray[np.int64]]]
    seen: frozenset[str] = frozenset()


class ControlsFault(StrEnum):
    """Reasons why the controls of a plate cannot define rescue."""

    FEW = "few"
    REVERSED = "reversed"
    ALIKE = "alike"


@dataclass(frozen=True)
class ControlsProblem:
    """Reason why a plate's controls cannot define rescue, with its numbers.

    Attributes:
        fault: The reason.
        source: Number of diseased controls.
        target: Number of healthy controls.
        p: p of Welch's t test, where they do not differ.
    """

    fault: ControlsFault
    source: int
    target: int
    p: float = math.nan


@dataclass(frozen=True)
class ControlCounts:
    """Number of control wells that the model has seen.

    Attributes:
        plates: Plates on which they are used, as too few others exist.
        used: Number of control wells of these plates.
        seen: Number of those that the model has seen.
        others: Number of control wells of the other plates.
        left_out: Number of those that the model has seen.
    """

    plates: tuple[str, ...] = ()
    used: int = 0
    seen: int = 0
    others: int = 0
    left_out: int = 0


@dataclass(frozen=True)
class PlateFlags:
    """Flags of a plate.

    Attributes:
        problem: Reason why its controls cannot define rescue; None if they can.
        refusal: Reason why there are no B-scores; None if there are, or if nothing is screened on it.
        seen: Whether the model has seen the controls that are used.
    """

    problem: ControlsProblem | None = None
    refusal: BScoreRefusal | None = None
    seen: bool = False


def plate_controls(wells: pd.DataFrame, roles: "pd.Series[str]") -> PlateControls:
    """Select each plate's controls that the model has not seen, or all if fewer than two of a role are unseen.

    A well on which the model was trained has a more extreme score than an unseen one of its class, so
    that an unseen well without any effect would lie between such controls.

    Args:
        wells: Table with ``score`` and ``seen``; wells without a score are not used as controls.
        roles: Roles of the wells, from `control_roles`.
    """
    chosen = control_places(wells[wells[JobColumn.SCORE].notna()], roles)
    nowhere = dict.fromkeys(_ROLES, np.zeros(0, np.int64))
    scores = {
        plate: {
            role: np.asarray(wells.loc[places, JobColumn.SCORE], np.float64)
            for role, places in chosen.places.get(plate, nowhere).items()
        }
        for plate in sorted(set(wells[Metadata.PLATE].astype(str)))
    }
    return PlateControls(scores, chosen.seen)


def control_places(wells: pd.DataFrame, roles: "pd.Series[str]") -> ControlPlaces:
    """Select each plate's controls as `plate_controls` does, among some wells.

    Args:
        wells: Table with ``seen``, whose index counts the wells of the job from 0.
        roles: Roles of the wells, from `control_roles`.
    """
    places, seen = {}, set()
    for plate, own in wells.groupby(Metadata.PLATE, sort=True):
        seen_wells = own[JobColumn.SEEN].astype(bool)
        by_role = _by_role(own.index[~seen_wells], roles)
        if min(map(len, by_role.values())) < MIN_CONTROLS:
            by_role = _by_role(own.index, roles)
            enough = min(map(len, by_role.values())) >= MIN_CONTROLS
            if enough and (seen_wells & (roles[own.index] != "")).any():
                seen.add(str(plate))
        places[str(plate)] = by_role
    return ControlPlaces(places, frozenset(seen))


def count_controls(wells: pd.DataFrame, roles: "pd.Series[str]", controls: PlateControls) -> ControlCounts:
    """Count the control wells with a score that the model has seen."""
    own = wells[(roles != "") & wells[JobColumn.SCORE].notna()]
    seen = own[JobColumn.SEEN].astype(bool)
    used = own[Metadata.PLATE].astype(str).isin(controls.seen)
    counts = (int(each.sum()) for each in (used, seen & used, ~used, seen & ~used))
    return ControlCounts(tuple(sorted(controls.seen)), *counts)


def find_controls_problem(own: Mapping[str, Doubles]) -> ControlsProblem | None:
    """Return the reason why a plate's controls cannot define rescue; None if they can.

    Args:
        own: Scores of the plate's ``source`` and ``target`` controls.
    """
    source, target = (own[role] for role in _ROLES)
    counts = len(source), len(target)
    if min(counts) < MIN_CONTROLS:
        return ControlsProblem(ControlsFault.FEW, *counts)
    if target.mean() <= source.mean():
        return ControlsProblem(ControlsFault.REVERSED, *counts)
    if (p := welch_p(target, source)) >= CONTROLS_SIGNIFICANCE:
        return ControlsProblem(ControlsFault.ALIKE, *counts, p)
    return None


def plate_table(
    fields: pd.DataFrame, odds: "pd.Series[float]", controls: dict[str, dict[str, Doubles]]
) -> pd.DataFrame:
    """Build a table of one row per plate.

    Args:
        fields: Fields that count, with their positions.
        odds: Scores of the fields, whose medians are those of the wells.
        controls: Scores of the control wells by plate and role.
    """
    shares: dict[tuple[str, str], float] = {}
    if set(fields) >= _POSITION_COLUMNS and len(fields):
        classed = fields.assign(Metadata_Condition=fields.get(Metadata.CONDITION, pd.Series(None, fields.index)))
        effects = position_effects(classed, odds.rename(JobColumn.SCORE).to_frame())
        places = zip(effects["plate"], effects["effect"], effects["explained"], strict=True)
        shares = {(str(plate), str(effect)): float(share) for plate, effect, share in places}
    rows = []
    for plate, own in controls.items():
        lines = {f"{effect}_share": shares.get((plate, effect), math.nan) for effect in ("row", "column", "edge")}
        rows.append({Metadata.PLATE: plate} | _separation(own["target"], own["source"]) | lines)
    return pd.DataFrame(rows, columns=PLATE_COLUMNS)


def flag_plates(controls: PlateControls, refusals: Mapping[str, BScoreRefusal]) -> dict[str, PlateFlags]:
    """Return the flags of each plate.

    Args:
        controls: The plates' controls.
        refusals: Reasons why plates have no B-scores, from `plate_b_scores`.
    """
    return {
        plate: PlateFlags(find_controls_problem(own), refusals.get(plate), plate in controls.seen)
        for plate, own in controls.scores.items()
    }


def plate_b_scores(
    wells: pd.DataFrame, roles: "pd.Series[str]", treated: "pd.Series[bool]"
) -> tuple[Doubles, dict[str, BScoreRefusal]]:
    """Compute B-scores of the wells, shape (W,), NaN where there is none; also return, by plate, the reason.

    Plates without treated wells are skipped, as nothing is screened on them.

    Args:
        wells: Table with ``score``.
        roles: Roles of the wells, from `control_roles`.
        treated: Whether each well is treated.
    """
    scores, refusals = pd.Series(np.nan, wells.index, dtype=float), dict[str, BScoreRefusal]()
    scored = wells[wells[JobColumn.SCORE].notna()] if set(wells) >= _POSITION_COLUMNS else wells[:0]
    for plate, rows in scored.groupby(Metadata.PLATE, sort=True):
        if not treated[rows.index].any():
            continue
        found = b_scores(
            rows[JobColumn.SCORE].to_numpy(float),
            rows[Metadata.ROW],
            rows[Metadata.COLUMN],
            roles[rows.index].to_numpy(object),
        )
        if found.refusal is not None:
            refusals[str(plate)] = found.refusal
        else:
            scores[rows.index] = found.scores
    return np.asarray(scores, np.float64), refusals


def _by_role(index: "pd.Index[int]", roles: "pd.Series[str]") -> dict[str, npt.NDArray[np.int64]]:
    own = roles[index]
    return {role: np.asarray(index[own == role], np.int64) for role in _ROLES}


def _separation(positive: Doubles, negative: Doubles) -> dict[str, Any]:
    counts: dict[str, Any] = {"positive_wells": len(positive), "negative_wells": len(negative)}
    if min(len(positive), len(negative)) < MIN_CONTROLS:
        return counts | dict.fromkeys(_FACTORS, math.nan)
    factors = {
        "z_prime_log_odds": z_prime(positive, negative),
        "robust_z_prime_log_odds": z_prime(positive, negative, robust=True),
        "z_prime": probability_z_prime(positive, negative),
        "ssmd": ssmd(positive, negative),
    }
    return counts | {name: value if math.isfinite(value) else math.nan for name, value in factors.items()}
