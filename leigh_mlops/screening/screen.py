"""Screen of a job: scores of wells, compounds and plates from the table of fields."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from leigh_mlops.job_columns import JobColumn
from leigh_mlops.models import ModelPackage
from leigh_mlops.plates import well_compounds
from leigh_mlops.plates.columns import is_metadata
from leigh_mlops.scores.conformal import DEFAULT_COVERAGE
from leigh_mlops.scores.position_trend import PositionTrend
from leigh_mlops.screening.class_sets import SetCounts, class_sets
from leigh_mlops.screening.compounds import (
    DoseColumn,
    TreatedWells,
    UnscoredWells,
    compound_tables,
    count_unscored_wells,
    dose_column,
)
from leigh_mlops.screening.field_flags import (
    OTHER_PLATE,
    OWN_FLAGS,
    FlagCounts,
    UnknownPlates,
    confound_table,
    count_flags,
    count_swapped_stains,
    downgrade_flagged,
    find_unknown_plates,
    is_uncountable,
    is_unusable,
    trust_flags,
)
from leigh_mlops.screening.plate_quality import (
    ControlCounts,
    PlateFlags,
    count_controls,
    flag_plates,
    plate_b_scores,
    plate_controls,
    plate_table,
)
from leigh_mlops.screening.reference_classes import (
    ReferenceClasses,
    choose_reference_classes,
    control_roles,
)
from leigh_mlops.screening.treatment_activity import measure_activity
from leigh_mlops.screening.well_positions import fit_well_trends
from leigh_mlops.screening.well_table import (
    WELL_COLUMNS,
    field_log_odds,
    misclassified_wells,
    well_names,
    well_rescue,
    well_scores,
    well_table,
)

__all__ = ["Screen", "check_screen", "screen"]

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Screen:
    """Scores of wells, compounds and plates, and how far to trust them.

    Attributes:
        fields: The table of fields with ``trust``, flags joined by ``; ``.
        wells: One row per well.
        hits: One row per compound with its `CompoundOutcome`; without compounds, one per well that is
            classified as another class.
        plates: One row per plate.
        doses: One row per compound and dose; empty if no doses are given.
        calibration: ``temperature``, ``ece_before``, ``ece_after``, ``wells``; None for a package without it.
        confounds: Scores of the model, and of each thing beside it that may predict the class, see `confound_table`.
        flags: Number of flagged fields.
        is_classified: Whether there are fields, and a model that classifies them.
        out: Whether each field is left out of all scores: excluded, out of focus or empty; empty if nothing is scored.
        reference: The diseased and the healthy class; None if there is no rescue.
        plate_flags: Flags of each plate.
        controls: Number of control wells that the model has seen.
        swapped_stains: Fields with another order of stains and all fields, of the plates with such fields.
        unknown_plates: Plates of which the model has seen no field; None if there are none.
        dose: The column of doses; None without compounds.
        unscored: Treated wells that are left out of the compounds.
        sets: Numbers on the prediction sets of the wells; None if nothing is classified.
        trends: Effect of the position on each plate; empty if it was not fitted.
        features: Kind of the features in which movement is measured, see `TreatmentActivity`.
    """

    fields: pd.DataFrame
    wells: pd.DataFrame
    hits: pd.DataFrame
    plates: pd.DataFrame = field(default_factory=pd.DataFrame)
    doses: pd.DataFrame = field(default_factory=pd.DataFrame)
    calibration: dict[str, Any] | None = None
    confounds: dict[str, Any] = field(default_factory=dict)
    flags: FlagCounts = field(default_factory=FlagCounts)
    is_classified: bool = False
    out: "pd.Series[bool]" = field(default_factory=lambda: pd.Series(dtype=bool))
    reference: ReferenceClasses | None = None
    plate_flags: Mapping[str, PlateFlags] = field(default_factory=dict)
    controls: ControlCounts = field(default_factory=ControlCounts)
    swapped_stains: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    unknown_plates: UnknownPlates | None = None
    dose: DoseColumn | None = None
    unscored: UnscoredWells = field(default_factory=UnscoredWells)
    sets: SetCounts | None = None
    trends: Mapping[str, PositionTrend] = field(default_factory=dict)
    features: str = ""


def check_screen(
    table: pd.DataFrame, classes: Sequence[str], *, source: str | None, target: str | None, doses: str | None
) -> None:
    """Refuse what :func:`screen` would refuse, before any field is explained.

    Args:
        table: The image table.
        classes: The model's classes; none if it does not classify.
        source: The diseased class.
        target: The healthy class.
        doses: Column of doses.

    Raises:
        LeighError: A class or the column does not exist.
    """
    choose_reference_classes(table, classes, source, target)
    dose_column(table, doses)


def screen(
    fields: pd.DataFrame,
    package: ModelPackage,
    *,
    source: str | None = None,
    target: str | None = None,
    doses: str | None = None,
    coverage: float = DEFAULT_COVERAGE,
    correct_position: bool = False,
) -> Screen:
    """Score wells, compounds and plates, with flags on how far to trust them.

    Args:
        fields: The job's table of fields.
        package: The model.
        source: The diseased class, 0 % rescue; None for the rule of `choose_reference_classes`.
        target: The healthy class, 100 % rescue; None for the same rule.
        doses: Column of doses; None for the rule of `dose_column`.
        coverage: Probability that the prediction set of a well contains its class, above 0 and below 1.
        correct_position: Whether the effect of the position, fitted on controls, is taken from the scores.

    Raises:
        LeighError: A class or the column does not exist.
    """
    classes = package.model.spec.classes if package.model.task != "reconstruct" else ()
    flags = trust_flags(fields, package)
    out = is_unusable(fields, flags)
    trusted = downgrade_flagged(fields, flags).assign(**{JobColumn.TRUST: _join_flags(flags[OWN_FLAGS])})
    trusted[JobColumn.UNKNOWN_PLATE] = flags[OTHER_PLATE]
    wells, calibration = well_table(fields, classes, out), package.about.get("calibration")
    if not fields.empty and package.model.task != "classify":
        wells[JobColumn.FLAGGED] = _flagged_shares(fields, flags, wells)
    if fields.empty or package.model.task != "classify":
        hits = misclassified_wells(wells, () if package.model.task == "cluster" else classes)
        return Screen(trusted, wells, hits, calibration=calibration, flags=count_flags(flags))
    reference = choose_reference_classes(fields, classes, source, target)
    temperature = None if calibration is None else float(calibration["temperature"])
    wells = wells.assign(**well_scores(wells, fields, out, classes, reference, temperature))
    wells[JobColumn.FLAGGED] = _flagged_shares(fields, flags, wells)
    columns, sets = class_sets(wells, package, coverage)
    wells = wells.assign(**columns)
    classified = Screen(
        trusted,
        wells,
        misclassified_wells(wells, classes),
        calibration=calibration,
        confounds=confound_table(fields, well_compounds(fields).isna() & ~out, package),
        flags=count_flags(flags),
        is_classified=True,
        out=out,
        reference=reference,
        sets=sets,
    )
    if reference is None:
        return classified
    roles = control_roles(wells, reference)
    odds = field_log_odds(fields, reference)
    if correct_position:
        trends = fit_well_trends(wells, roles)
        corrected: dict[str, Any] = {
            JobColumn.SCORE: wells[JobColumn.SCORE] - trends.effects,
            JobColumn.POSITION_TREND: trends.effects,
        }
        classified = replace(classified, wells=wells.assign(**corrected), trends=trends.plates)
        odds = odds - pd.Series(trends.effects, well_names(wells)).loc[well_names(fields)].to_numpy()
    return _score_treatments(classified, reference, roles, odds, flags, out, doses)


def _score_treatments(
    classified: Screen,
    reference: ReferenceClasses,
    roles: "pd.Series[str]",
    odds: "pd.Series[float]",
    flags: pd.DataFrame,
    out: "pd.Series[bool]",
    doses: str | None,
) -> Screen:
    """Add the scores of wells between the controls of their plates, of plates and of compounds."""
    fields, wells = classified.fields, classified.wells
    controls, compounds = plate_controls(wells, roles), well_compounds(wells).where(roles == "")
    used = fields.loc[~out, [name for name in fields if is_metadata(name)]]
    wells = wells.assign(**well_rescue(wells, used, odds[~out], controls.scores))
    b_scores, refusals = plate_b_scores(wells, roles, compounds.notna())
    if np.isfinite(b_scores).any():
        wells = wells.assign(**{JobColumn.B_SCORE: b_scores})
    activity = measure_activity(wells, fields, out, is_uncountable(fields, flags), roles)
    wells = wells.assign(**activity.columns())
    scored = replace(
        classified,
        wells=wells,
        features=activity.features,
        plates=plate_table(used, odds[used.index], controls.scores),
        plate_flags=flag_plates(controls, refusals),
        controls=count_controls(wells, roles, controls),
        swapped_stains=count_swapped_stains(fields, flags),
        unknown_plates=find_unknown_plates(fields, flags, control_roles(fields, reference) != ""),
    )
    if not compounds.notna().any():
        columns = [JobColumn.SCORE, JobColumn.RESCUE, JobColumn.RESCUE_LOW, JobColumn.RESCUE_HIGH, JobColumn.ROBUST_Z]
        measured = wells[[*WELL_COLUMNS, *columns]]
        return replace(scored, hits=classified.hits.merge(measured, on=WELL_COLUMNS, how="left"))
    dose = dose_column(wells, doses)
    treated = wells.assign(compound=compounds, **({} if dose.name is None else {"dose": wells[dose.name]}))
    given = TreatedWells(treated[compounds.notna()], *controls, activity)
    hits, dosed = compound_tables(given)
    return replace(scored, hits=hits, doses=dosed, dose=dose, unscored=count_unscored_wells(given))


def _join_flags(flags: pd.DataFrame) -> list[str]:
    names = [str(name) for name in flags]
    return ["; ".join(compress(names, row)) for row in flags.to_numpy(bool)]


def _flagged_shares(fields: pd.DataFrame, flags: pd.DataFrame, wells: pd.DataFrame) -> Doubles:
    """Share of each well's fields that have a flag of their own, 0 to 1, shape (W,)."""
    own = flags[OWN_FLAGS].any(axis=1).astype(float)
    shares = own.groupby([fields[name] for name in WELL_COLUMNS]).mean()
    found: Doubles = np.asarray(shares.reindex(pd.MultiIndex.from_frame(wells[WELL_COLUMNS])), np.float64)
    return found
