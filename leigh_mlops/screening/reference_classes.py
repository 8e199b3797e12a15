"""Diseased and healthy reference classes, and the control wells of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import pandas as pd

from leigh_mlops.errors import LeighError
from leigh_mlops.plates import well_compounds
from leigh_mlops.plates.columns import Metadata

__all__ = [
    "ReferenceClasses",
    "ReferenceRule",
    "choose_reference_classes",
    "control_roles",
]

_DEFAULT_CLASSES = ("DS", "WT")
_HEALTHY, _POISONED = "WT", "TT"  # of TT the potential is lost: no compound that makes cells so rescues them
_ROLES = {"negcon": "source", "poscon": "target"}


class ReferenceRule(StrEnum):
    """Rules by which the two classes are chosen."""

    REQUESTED = "asked"
    DISEASE_AND_HEALTH = "disease and health"
    CONTROLS = "controls"
    ONLY_CLASSES = "only classes"


@dataclass(frozen=True)
class ReferenceClasses:
    """Diseased and healthy class, between which rescue is measured.

    Attributes:
        source: The class of diseased cells, 0 % rescue.
        target: The class of healthy cells, 100 % rescue.
        rule: Rule by which they were chosen.
    """

    source: str
    target: str
    rule: ReferenceRule = ReferenceRule.REQUESTED

    @property
    def is_to_health(self) -> bool:
        """Return whether the target is healthy: never TT, and not what is left where a model has two classes."""
        return self.target != _POISONED and self.rule != ReferenceRule.ONLY_CLASSES


def choose_reference_classes(
    wells: pd.DataFrame, classes: Sequence[str], source: str | None = None, target: str | None = None
) -> ReferenceClasses | None:
    """Choose the classes: as given; DS to WT; negative to positive controls; the only two classes, to WT if it is one.

    Args:
        wells: One row per well, or per field.
        classes: The model's classes.
        source: The diseased class, if given.
        target: The healthy class, if given.

    Returns:
        The two classes; None if no rule applies.

    Raises:
        LeighError: A given class is unknown to the model, or both are the same.
    """
    for option, name in (("--rescue-from", source), ("--rescue-to", target)):
        if name is not None and name not in classes:
            raise LeighError(f"{option} {name!r} is not a class of the model; choose from {', '.join(classes)}.")
    if source is not None and source == target:
        raise LeighError(f"--rescue-from and --rescue-to are both {source!r}; give two classes.")
    if source is not None and target is not None:
        return ReferenceClasses(source, target, ReferenceRule.REQUESTED)
    if source is None and target is None:
        if set(_DEFAULT_CLASSES) <= set(classes):
            return ReferenceClasses(*_DEFAULT_CLASSES, ReferenceRule.DISEASE_AND_HEALTH)
        if by_controls := _classes_from_controls(wells, classes):
            return ReferenceClasses(*by_controls, ReferenceRule.CONTROLS)
    if len(classes) != 2:
        return None
    healthy = _HEALTHY if _HEALTHY in classes and source != _HEALTHY else None
    first = source or next(name for name in classes if name != (target or healthy))
    second = target or next(name for name in classes if name != first)
    if target is not None:
        return ReferenceClasses(first, second, ReferenceRule.REQUESTED)
    is_healthy = second == _HEALTHY
    return ReferenceClasses(
        first, second, ReferenceRule.DISEASE_AND_HEALTH if is_healthy else ReferenceRule.ONLY_CLASSES
    )


def control_roles(wells: pd.DataFrame, direction: ReferenceClasses) -> "pd.Series[str]":
    """Return ``source`` or ``target`` for control wells and the empty string for others, on the index of the wells.

    A negative or positive control of the plate map is a control of the class that it is labelled as;
    without a label, a negative control counts as source and a positive one as target.
    A positive control labelled as source is a treatment that is known to rescue, and not a control here.
    For a class without any controls, all its labelled wells without a compound are used.
    """
    nothing = pd.Series(pd.NA, wells.index, dtype=object)
    control, condition = (wells.get(name, nothing) for name in (Metadata.CONTROL, Metadata.CONDITION))
    of_class = condition.map({direction.source: "source", direction.target: "target"})
    roles = of_class.where(condition.notna(), control.map(_ROLES)).where(control.isin(_ROLES))
    roles = roles.mask((control == "poscon") & (roles == "source"))
    untreated = control.isna() & well_compounds(wells).isna()
    for role in ("source", "target"):
        if not (roles == role).any():
            roles = roles.where(~(untreated & (of_class == role)), role)
    return roles.fillna("").astype(str)


def _classes_from_controls(wells: pd.DataFrame, classes: Sequence[str]) -> tuple[str, str] | None:
    if not {Metadata.CONTROL, Metadata.CONDITION} <= set(wells):
        return None
    found = [
        wells.loc[(wells[Metadata.CONTROL] == kind) & wells[Metadata.CONDITION].isin(classes), Metadata.CONDITION]
        for kind in _ROLES
    ]
    if any(each.empty for each in found):
        return None
    negative, positive = (str(each.mode().iloc[0]) for each in found)
    return None if negative == positive else (negative, positive)
