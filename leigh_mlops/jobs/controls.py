"""The control wells of each plate, between which its wells are measured."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from leigh_mlops.jobs.direction import Direction
from leigh_mlops.report.words import counted
from leigh_mlops.scores.screening import welch_p

__all__ = ["FEWEST_CONTROLS", "Controls", "on_controls", "plate_controls", "unfit"]

FEWEST_CONTROLS = 2
"""Fewer wells of a kind on a plate are no yardstick: their spread is not known."""

DIFFER = 0.05
"""p of Welch's test below which the controls of a plate count as different."""

_ROLES = ("source", "target")
_NAMED = 4

Doubles = npt.NDArray[np.float64]


class Controls(NamedTuple):
    """Controls by which wells are measured.

    Attributes:
        scores: Of the ``source`` and ``target`` controls, by plate and role, shape (n,), nats.
        seen: Plates measured by controls that the model has seen, for want of others.
    """

    scores: dict[str, dict[str, Doubles]]
    seen: frozenset[str] = frozenset()


def plate_controls(wells: pd.DataFrame, roles: "pd.Series[str]") -> Controls:
    """The controls of each plate that the model has not seen; all of them where these are fewer than two of a kind.

    A well on which a model was trained scores farther out than a new one of its kind, so that a
    new well without any effect would lie between such controls.

    Args:
        wells: With ``score`` and ``seen``; wells without a score are no controls.
        roles: Of the wells, as `control_roles` gives them.
    """
    scores, seen = {}, set()
    scored = wells[wells["score"].notna()]
    for plate, rows in wells.groupby("Metadata_Plate", sort=True):
        own = scored.loc[scored.index.intersection(rows.index)]
        new = own[~own["seen"].astype(bool)]
        by_role = _by_role(new, roles)
        if min(map(len, by_role.values())) < FEWEST_CONTROLS:
            by_role = _by_role(own, roles)
            enough = min(map(len, by_role.values())) >= FEWEST_CONTROLS
            if enough and (own["seen"].astype(bool) & (roles[own.index] != "")).any():
                seen.add(str(plate))
        scores[str(plate)] = by_role
    return Controls(scores, frozenset(seen))


def unfit(own: dict[str, Doubles], direction: Direction) -> str:
    """Why a plate's controls are no yardstick, in a sentence; empty where they are one.

    Args:
        own: Scores of its ``source`` and ``target`` controls.
        direction: The way from the one to the other.
    """
    source, target = (own[role] for role in _ROLES)
    numbers = f"{counted(len(source), 'control well')} of {direction.source} and {len(target)} of {direction.target}"
    if min(len(source), len(target)) < FEWEST_CONTROLS:
        return f"It has {numbers}, and needs {FEWEST_CONTROLS} of each: no Z', no rescue."
    if target.mean() <= source.mean():
        return f"Wells of {direction.target} score no higher than those of {direction.source}: no rescue."
    if (p := welch_p(target, source)) >= DIFFER:
        return f"Its {numbers} do not differ (Welch's t test, p {p:.2g}): no rescue."
    return ""


def on_controls(wells: pd.DataFrame, roles: "pd.Series[str]", controls: Controls) -> tuple[list[str], list[str]]:
    """Warnings and sentences on controls that the model has seen."""
    own = wells[(roles != "") & wells["score"].notna()]
    seen = own["seen"].astype(bool)
    kept = own["Metadata_Plate"].astype(str).isin(controls.seen)
    warned, said = [], []
    if controls.seen:
        plates = sorted(controls.seen)
        more = " and others" if len(plates) > _NAMED else ""
        warned.append(
            f"The model was trained or chosen on {int((seen & kept).sum())} of the "
            f"{counted(int(kept.sum()), 'control well')} of {', '.join(plates[:_NAMED])}{more}, where fewer than "
            f"{FEWEST_CONTROLS} new ones of each kind are left: compounds without effect can look rescued there, and "
            "Z' is too good; no compound is called by these wells."
        )
    if (seen & ~kept).any():
        said.append(
            f"The model was trained or chosen on {int((seen & ~kept).sum())} of "
            f"{counted(int((~kept).sum()), 'control well')}; they are left out, and rescue is measured by the "
            f"{int((~seen & ~kept).sum())} that it has not seen."
        )
    return warned, said


def _by_role(wells: pd.DataFrame, roles: "pd.Series[str]") -> dict[str, Doubles]:
    return {role: wells.loc[roles[wells.index] == role, "score"].to_numpy(float) for role in _ROLES}
