"""Scores of profiles: how well replicates find each other, how active compounds are, and what the plate makes."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from leigh_mlops.errors import LeighError
from leigh_mlops.plates import is_treated, well_compounds
from leigh_mlops.plates.columns import Metadata, add_metadata_prefix, is_metadata
from leigh_mlops.scores.activity import (
    chance_precision,
    group_precisions,
    mean_average_precision,
    mean_group_precisions,
)
from leigh_mlops.scores.fdr import false_discovery_rate
from leigh_mlops.scores.plate_effects import group_share
from leigh_mlops.screening.compounds import dose_column
from leigh_mlops.study.profiles import Profiles, control_mask

__all__ = [
    "ACTIVE_FDR",
    "HeldOutControls",
    "ProfileScores",
    "WellRoles",
    "consistency_table",
    "find_roles",
    "score_profiles",
    "treatment_table",
]

ACTIVE_FDR = 0.05
"""False discovery rate below which a treatment is active, or an annotation consistent."""

ANNOTATIONS = ("moa", "mechanism", "mechanism_of_action", "target", "targets", "gene_target")
"""Names of columns that say what compounds have in common; the first one that a table has is used."""

Doubles = npt.NDArray[np.float64]
Groups = npt.NDArray[np.int64]


@dataclass(frozen=True)
class WellRoles:
    """Roles of W wells in the scores.

    Attributes:
        plates: Plate of each well, shape (W,).
        controls: Whether each is a negative control, shape (W,).
        treatments: One row per treatment: ``compound`` and, if doses are given, ``dose``.
        treatment: Row of each well's treatment, -1 for none, shape (W,).
        compound: Number of each well's compound, whatever its dose, -1 for none, shape (W,).
        annotation: Column of what compounds have in common; None if there is none.
        annotations: Its values, sorted.
        annotated: Number of each well's annotation, -1 for none, shape (W,).
        replicates: ``treatment``, ``class`` or ``well``: the members of a group that should find each other.
        groups: Number of each well's group of replicates, -1 for none, shape (W,).
    """

    plates: npt.NDArray[np.object_]
    controls: npt.NDArray[np.bool_]
    treatments: pd.DataFrame
    treatment: Groups
    compound: Groups
    annotation: str | None
    annotations: tuple[str, ...]
    annotated: Groups
    replicates: str
    groups: Groups


class HeldOutControls(NamedTuple):
    """Profiles of wells after a normalisation in which some of the controls took no part.

    Attributes:
        features: Shape (W, P).
        controls: Whether each well is one of these controls, shape (W,).
    """

    features: Doubles
    controls: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class ProfileScores:
    """Scores of one kind of features after one normalisation; NaN for what is not known.

    Attributes:
        features: Kind of the features.
        normalisation: Normalisation.
        kept: Number of features.
        replicate_map: Mean average precision with which replicates find each other among all others.
        replicate_chance: The same for random rankings.
        activity_map: Mean over treatments of the mean average precision with which their wells find each other
            among negative controls of their plates.
        held_out: Whether these controls took no part in the normalisation.
        active: Number of treatments that are active.
        treatments: Number of treatments with two wells.
        consistency_map: Mean over annotations of the mean average precision with which their compounds find each
            other among all compounds.
        plate_share: Share of the variance of wells between plates, 0 to 1.
    """

    features: str
    normalisation: str
    kept: int
    replicate_map: float
    replicate_chance: float
    activity_map: float
    held_out: bool
    active: int
    treatments: int
    consistency_map: float
    plate_share: float

    def to_json(self) -> dict[str, Any]:
        """The scores by name, None for those that are not known."""
        return {
            name: None if isinstance(value, float) and math.isnan(value) else value
            for name, value in asdict(self).items()
        }


def find_roles(metadata: pd.DataFrame, *, annotation: str | None = None, doses: str | None = None) -> WellRoles:
    """Find controls, treatments, annotations and replicates in the metadata of wells.

    Replicates are wells of one treatment; without treatments that have two wells, those of one class; without two
    classes, the fields of one well.

    Args:
        metadata: One row per well.
        annotation: Column of what compounds have in common, with or without ``Metadata_``; by default the first of
            some usual names.
        doses: Column of the doses; by default detected.

    Raises:
        LeighError: A given column does not exist, or the doses are not numbers.
    """
    treatments, treatment = _find_treatments(metadata, doses)
    column = _annotation_column(metadata, annotation)
    values = pd.Series(None, metadata.index, dtype=object) if column is None else metadata[column].astype(object)
    compound, _ = pd.factorize(well_compounds(metadata).where(is_treated(metadata)), sort=True)
    # A compound has one annotation, the first of its wells.
    shared = values.where(compound >= 0).groupby(compound).transform("first")
    annotated, names = pd.factorize(shared, sort=True)
    kind, groups = _find_replicates(metadata, treatment)
    return WellRoles(
        plates=metadata[Metadata.PLATE].astype(str).to_numpy(object),
        controls=control_mask(metadata),
        treatments=treatments,
        treatment=treatment,
        compound=compound.astype(np.int64),
        annotation=column,
        annotations=tuple(map(str, names)),
        annotated=annotated.astype(np.int64),
        replicates=kind,
        groups=groups,
    )


def score_profiles(
    features: str,
    normalisation: str,
    wells: Profiles,
    fields: Profiles,
    roles: WellRoles,
    held_out: Sequence[HeldOutControls] = (),
) -> ProfileScores:
    """Score one kind of profiles.

    Args:
        features: Kind of the features.
        normalisation: Normalisation of both.
        wells: Profiles of wells.
        fields: Profiles of their fields, for replicates that are fields of one well.
        roles: Roles of the wells.
        held_out: See `treatment_table`.
    """
    precisions, groups = _replicate_precisions(wells, fields, roles)
    counts = np.bincount(groups[groups >= 0], minlength=1)
    treatments, consistent = treatment_table(wells, roles, held_out), consistency_table(wells, roles)
    weights = counts[counts > 1]
    chances = chance_precision(weights - 1, len(groups) - weights)
    return ProfileScores(
        features=features,
        normalisation=normalisation,
        kept=wells.features.shape[1],
        replicate_map=_mean(precisions),
        replicate_chance=float(np.average(chances, weights=weights)) if len(chances) else math.nan,
        activity_map=_mean(treatments["activity"]),
        held_out=bool(held_out),
        active=int((treatments["activity_q"] < ACTIVE_FDR).sum()),
        treatments=int(treatments["activity"].notna().sum()),
        consistency_map=_mean(consistent["consistency"]),
        plate_share=group_share(wells.features, roles.plates) if len(set(roles.plates)) > 1 else math.nan,
    )


def treatment_table(wells: Profiles, roles: WellRoles, held_out: Sequence[HeldOutControls] = ()) -> pd.DataFrame:
    """Table of the treatments with their wells, plates, and mAP of activity with p and q, the most active first.

    Args:
        wells: Profiles of wells.
        roles: Roles of the wells.
        held_out: Profiles with the controls that did not fit their normalisation, in whose place those of ``wells``
            look too much alike: activity is the mean over them, and p the largest. None for all controls of ``wells``.
    """
    rows, compared = [], held_out or [HeldOutControls(wells.features, roles.controls)]
    for number, named in enumerate(roles.treatments.to_dict("records")):
        own = roles.treatment == number
        plates = set(roles.plates[own])
        near = np.isin(roles.plates, sorted(plates))
        found = [mean_average_precision(each.features[own], each.features[each.controls & near]) for each in compared]
        mean, p = float(np.mean([each[0] for each in found])), max(each[1] for each in found)
        rows.append(named | {"wells": int(own.sum()), "plates": len(plates), "activity": mean, "activity_p": p})
    columns = [*roles.treatments.columns, "wells", "plates", "activity", "activity_p"]
    table = pd.DataFrame(rows, columns=columns)
    table["activity_q"] = false_discovery_rate(table["activity_p"].to_numpy(float))
    return table.sort_values(["activity_p", "activity"], ascending=[True, False], kind="stable", ignore_index=True)


def consistency_table(wells: Profiles, roles: WellRoles) -> pd.DataFrame:
    """Table of the annotations with their compounds, and mAP of consistency with p and q, the most consistent first.

    The profile of a compound is the median of its wells.
    """
    compounds = [roles.compound == number for number in range(int(roles.compound.max(initial=-1)) + 1)]
    profiles = np.array([np.median(wells.features[own], axis=0) for own in compounds])
    groups = np.array([roles.annotated[own][0] for own in compounds], np.int64)
    means, ps = mean_group_precisions(profiles, groups) if compounds else (np.zeros(0), np.zeros(0))
    counts = np.bincount(groups[groups >= 0], minlength=len(roles.annotations))
    table = pd.DataFrame({"annotation": roles.annotations, "compounds": counts})
    table = table.assign(consistency=means, consistency_p=ps)
    table["consistency_q"] = false_discovery_rate(table["consistency_p"].to_numpy(float))
    return table.sort_values(["consistency_p", "consistency"], ascending=[True, False], ignore_index=True)


def _find_treatments(metadata: pd.DataFrame, doses: str | None) -> tuple[pd.DataFrame, Groups]:
    """Treatments, and the number of each well's."""
    given = pd.DataFrame({"compound": well_compounds(metadata).where(is_treated(metadata))})
    dose = dose_column(metadata, doses).name
    if dose is not None:
        given["dose"] = metadata[dose].astype(float)
    treated = given["compound"].notna()
    numbers = np.full(len(metadata), -1, np.int64)
    numbers[treated.to_numpy(bool)] = given[treated].groupby(list(given.columns), dropna=False, sort=True).ngroup()
    return given[treated].drop_duplicates().sort_values(list(map(str, given)), ignore_index=True), numbers


def _annotation_column(metadata: pd.DataFrame, requested: str | None) -> str | None:
    columns = {str(name).casefold(): str(name) for name in metadata if is_metadata(name)}
    if requested is None:
        usual = (columns.get(add_metadata_prefix(name).casefold()) for name in ANNOTATIONS)
        return next((name for name in usual if name is not None), None)
    name = requested if is_metadata(requested) else add_metadata_prefix(requested)
    if name not in metadata:
        known = ", ".join(sorted(columns.values())) or "none"
        raise LeighError(f"--consistency {requested!r} is no column of the wells; choose from {known}.")
    return name


def _find_replicates(metadata: pd.DataFrame, treatment: Groups) -> tuple[str, Groups]:
    if (np.bincount(treatment[treatment >= 0], minlength=1) > 1).any():
        return "treatment", treatment
    classes, names = pd.factorize(metadata.get(Metadata.CONDITION, pd.Series(None, metadata.index, dtype=object)))
    if len(names) > 1 and (np.bincount(classes[classes >= 0]) > 1).any():
        return "class", classes.astype(np.int64)
    return "well", np.arange(len(metadata), dtype=np.int64)


def _replicate_precisions(wells: Profiles, fields: Profiles, roles: WellRoles) -> tuple[Doubles, Groups]:
    if roles.replicates != "well":
        return group_precisions(wells.features, roles.groups), roles.groups
    groups: Groups = np.asarray(fields.metadata.groupby([Metadata.PLATE, Metadata.WELL]).ngroup(), np.int64)
    return group_precisions(fields.features, groups), groups


def _mean(values: npt.ArrayLike) -> float:
    known = np.asarray(values, float)
    known = known[np.isfinite(known)]
    return float(known.mean()) if len(known) else math.nan
