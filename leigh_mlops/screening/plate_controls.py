"""Control wells of each plate, which define its scale of rescue."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from leigh_mlops.plates.columns import Metadata
from leigh_mlops.report.sentences import format_count
from leigh_mlops.scores.screening import welch_p
from leigh_mlops.screening.reference_classes import ReferenceClasses

__all__ = ["MIN_CONTROLS", "PlateControls", "describe_controls", "plate_controls", "controls_problem"]

MIN_CONTROLS = 2
"""Fewest control wells of each role on a plate: the spread of a single one is not known."""

CONTROLS_SIGNIFICANCE = 0.05
"""p of Welch's t test below which the two groups of controls of a plate count as different."""

_ROLES = ("source", "target")
_MAX_NAMED = 4

Doubles = npt.NDArray[np.float64]


class PlateControls(NamedTuple):
    """Scores of the control wells of each plate.

    Attributes:
        scores: Scores of the ``source`` and ``target`` controls, by plate and role, shape (n,), nats.
        seen: Plates for which controls that the model has seen are used, as too few others exist.
    """

    scores: dict[str, dict[str, Doubles]]
    seen: frozenset[str] = frozenset()


def plate_controls(wells: pd.DataFrame, roles: "pd.Series[str]") -> PlateControls:
    """Select each plate's controls that the model has not seen, or all if fewer than two of a role are unseen.

    A well on which the model was trained has a more extreme score than an unseen one of its class, so
    that an unseen well without any effect would lie between such controls.

    Args:
        wells: Table with ``score`` and ``seen``; wells without a score are not used as controls.
        roles: Roles of the wells, from `control_roles`.
    """
    scores, seen = {}, set()
    scored = wells[wells["score"].notna()]
    for plate, rows in wells.groupby(Metadata.PLATE, sort=True):
        own = scored.loc[scored.index.intersection(rows.index)]
        new = own[~own["seen"].astype(bool)]
        by_role = _by_role(new, roles)
        if min(map(len, by_role.values())) < MIN_CONTROLS:
            by_role = _by_role(own, roles)
            enough = min(map(len, by_role.values())) >= MIN_CONTROLS
            if enough and (own["seen"].astype(bool) & (roles[own.index] != "")).any():
                seen.add(str(plate))
        scores[str(plate)] = by_role
    return PlateControls(scores, frozenset(seen))


def controls_problem(own: dict[str, Doubles], direction: ReferenceClasses) -> str:
    """Return a sentence on why a plate's controls cannot define rescue; empty if they can.

    Args:
        own: Scores of the plate's ``source`` and ``target`` controls.
        direction: The diseased and the healthy class.
    """
    source, target = (own[role] for role in _ROLES)
    numbers = (
        f"{format_count(len(source), 'control well')} of {direction.source} and {len(target)} of {direction.target}"
    )
    if min(len(source), len(target)) < MIN_CONTROLS:
        return f"It has {numbers}, and needs {MIN_CONTROLS} of each: no Z', no rescue."
    if target.mean() <= source.mean():
        return f"Wells of {direction.target} score no higher than those of {direction.source}: no rescue."
    if (p := welch_p(target, source)) >= CONTROLS_SIGNIFICANCE:
        return f"Its {numbers} do not differ (Welch's t test, p {p:.2g}): no rescue."
    return ""


def describe_controls(
    wells: pd.DataFrame, roles: "pd.Series[str]", controls: PlateControls
) -> tuple[list[str], list[str]]:
    """Return warnings and sentences on controls that the model has seen."""
    own = wells[(roles != "") & wells["score"].notna()]
    seen = own["seen"].astype(bool)
    kept = own[Metadata.PLATE].astype(str).isin(controls.seen)
    warned, said = [], []
    if controls.seen:
        plates = sorted(controls.seen)
        more = " and others" if len(plates) > _MAX_NAMED else ""
        warned.append(
            f"The model was trained or chosen on {int((seen & kept).sum())} of the "
            f"{format_count(int(kept.sum()), 'control well')} of {', '.join(plates[:_MAX_NAMED])}{more}, where "
            f"fewer than {MIN_CONTROLS} new ones of each kind are left: compounds without effect can look "
            "rescued there, and Z' is too good; no compound is called by these wells."
        )
    if (seen & ~kept).any():
        said.append(
            f"The model was trained or chosen on {int((seen & ~kept).sum())} of "
            f"{format_count(int((~kept).sum()), 'control well')}; they are left out, and rescue is measured by the "
            f"{int((~seen & ~kept).sum())} that it has not seen."
        )
    return warned, said


def _by_role(wells: pd.DataFrame, roles: "pd.Series[str]") -> dict[str, Doubles]:
    return {role: wells.loc[roles[wells.index] == role, "score"].to_numpy(float) for role in _ROLES}
