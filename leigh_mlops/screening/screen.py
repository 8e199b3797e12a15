"""Screen of a job: scores of wells, compounds and plates from the table of fields."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from leigh_mlops.models import ModelPackage
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.report.sentences import confound_sentences, format_count
from leigh_mlops.screening.compounds import TreatedWells, compound_tables, describe_compounds, describe_unscored_wells
from leigh_mlops.screening.doses import dose_column
from leigh_mlops.screening.field_flags import (
    confound_table,
    describe_confounds,
    describe_flags,
    describe_unknown_plates,
    is_unusable,
    trust_flags,
)
from leigh_mlops.screening.field_table import WELL_COLUMNS
from leigh_mlops.screening.plate_controls import PlateControls, describe_controls, plate_controls
from leigh_mlops.screening.plate_quality import add_b_scores, describe_plate_quality, plate_table
from leigh_mlops.screening.reference_classes import (
    ReferenceClasses,
    choose_reference_classes,
    control_roles,
    well_compounds,
)
from leigh_mlops.screening.well_rescue import add_rescue, field_log_odds, score_wells
from leigh_mlops.screening.well_table import misclassified_wells, well_table

__all__ = ["Screen", "check_screen", "screen"]

Doubles = npt.NDArray[np.float64]

_SEEN_CONTROLS_NOTE = " The model has seen its controls: Z' is too good, and no compound is called by its wells."


@dataclass(frozen=True)
class Screen:
    """Scores of wells, compounds and plates, and their interpretation.

    Attributes:
        fields: The table of fields with ``trust``, flags joined by ``; ``.
        wells: One row per well.
        hits: One row per compound; without compounds, one per well that is classified as another class.
        plates: One row per plate.
        doses: One row per compound and dose; empty if no doses are given.
        sentences: Findings in plain words, the most important first.
        warnings: Warnings to show before any picture.
        calibration: ``temperature``, ``ece_before``, ``ece_after``, ``wells``; None for a package without it.
        confounds: ``accuracy``, ``auc`` and ``wells`` of ``model``, ``intensity`` and ``position``,
            as far as they can be computed.
    """

    fields: pd.DataFrame
    wells: pd.DataFrame
    hits: pd.DataFrame
    plates: pd.DataFrame
    doses: pd.DataFrame
    sentences: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    calibration: dict[str, Any] | None = None
    confounds: dict[str, Any] = field(default_factory=dict)


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
) -> Screen:
    """Score wells, compounds and plates, with warnings on how far to trust them.

    Args:
        fields: The job's table of fields.
        package: The model.
        source: The diseased class, 0 % rescue; None for the rule of `choose_reference_classes`.
        target: The healthy class, 100 % rescue; None for the same rule.
        doses: Column of doses; None for the rule of `dose_column`.

    Raises:
        LeighError: A class or the column does not exist.
    """
    classes = package.model.spec.classes if package.model.task == "classify" else ()
    flags = trust_flags(fields, package)
    out = is_unusable(fields, flags)
    trusted = fields.assign(trust=_join_flags(flags))
    wells = well_table(fields, classes, out)
    calibration = package.about.get("calibration")
    warned, said = describe_flags(flags)
    if fields.empty or not classes:
        nothing = pd.DataFrame()
        return Screen(trusted, wells, misclassified_wells(wells, classes), nothing, nothing, said, warned, calibration)
    confounds = confound_table(fields, well_compounds(fields).isna() & ~out, package)
    warned += confound_sentences({"position": confounds.get("position", {})})
    said += [*describe_confounds(confounds), *_describe_calibration(calibration), *_describe_unused_fields(out)]
    direction = choose_reference_classes(fields, classes, source, target)
    temperature = None if calibration is None else float(calibration["temperature"])
    wells = score_wells(wells, fields, out, classes, direction, temperature)
    wells["flagged"] = _flagged_shares(fields, flags, wells)
    if direction is None:
        said.insert(0, "No rescue: the model has more than two classes; name two with --rescue-from and --rescue-to.")
        hits, plates, dosed = misclassified_wells(wells, classes), pd.DataFrame(), pd.DataFrame()
    else:
        scored = _ScoredWells.from_wells(wells, fields, flags, out, direction)
        wells, plates = scored.wells, scored.plates
        hits, dosed, found, doubts = _score_compounds(scored, classes, doses)
        said = [*found, direction.sentence, *scored.sentences, *said]
        warned = [*scored.control_warnings, *warned, *scored.warnings, *doubts]
    return Screen(trusted, wells, hits, plates, dosed, said, warned, calibration, confounds)


@dataclass(frozen=True)
class _ScoredWells:
    """Wells scored against the controls of their plates."""

    wells: pd.DataFrame
    plates: pd.DataFrame
    roles: "pd.Series[str]"
    controls: PlateControls
    control_warnings: list[str]
    warnings: list[str]
    sentences: list[str]

    @classmethod
    def from_wells(
        cls,
        wells: pd.DataFrame,
        fields: pd.DataFrame,
        flags: pd.DataFrame,
        out: "pd.Series[bool]",
        direction: ReferenceClasses,
    ) -> "_ScoredWells":
        roles = control_roles(wells, direction)
        controls = plate_controls(wells, roles)
        treated = well_compounds(wells).notna() & (roles == "")
        wells, refused = add_b_scores(add_rescue(wells, fields, out, direction, controls.scores), roles, treated)
        used = fields[~out]
        plates = plate_table(used, field_log_odds(used, direction), controls.scores, refused, direction)
        told = [
            describe_unknown_plates(fields, flags, control_roles(fields, direction) != ""),
            describe_plate_quality(plates, direction),
        ]
        warned, said = ([line for each in told for line in each[place]] for place in (0, 1))
        first, measured_by = describe_controls(wells, roles, controls)
        plates.loc[plates[Metadata.PLATE].isin(controls.seen), "note"] += _SEEN_CONTROLS_NOTE
        plates["note"] = plates["note"].str.strip()
        return cls(wells, plates, roles, controls, first, warned, [*measured_by, *said])


def _score_compounds(
    scored: _ScoredWells, classes: Sequence[str], doses: str | None
) -> tuple[pd.DataFrame, pd.DataFrame, list[str], list[str]]:
    """Return the tables of hits and doses, sentences and warnings."""
    wells, compounds = scored.wells, well_compounds(scored.wells).where(scored.roles == "")
    if not compounds.notna().any():
        hits = misclassified_wells(wells, classes)
        measured = wells[[*WELL_COLUMNS, "score", "rescue", "rescue_low", "rescue_high", "robust_z"]]
        return hits.merge(measured, on=WELL_COLUMNS, how="left"), pd.DataFrame(), [], []
    column, doubt = dose_column(wells, doses)
    treated = wells.assign(compound=compounds, **({} if column is None else {"dose": wells[column]}))
    given = TreatedWells(treated[treated["compound"].notna()], *scored.controls)
    hits, dosed = compound_tables(given)
    return hits, dosed, describe_compounds(hits, column), [*([doubt] if doubt else []), *describe_unscored_wells(given)]


def _join_flags(flags: pd.DataFrame) -> list[str]:
    names = [str(name) for name in flags]
    return ["; ".join(compress(names, row)) for row in flags.to_numpy(bool)]


def _flagged_shares(fields: pd.DataFrame, flags: pd.DataFrame, wells: pd.DataFrame) -> Doubles:
    """Share of each well's fields that have a flag of their own, 0 to 1, shape (W,)."""
    own = flags.drop(columns="other plate").any(axis=1).astype(float)
    shares = own.groupby([fields[name] for name in WELL_COLUMNS]).mean()
    found: Doubles = np.asarray(shares.reindex(pd.MultiIndex.from_frame(wells[WELL_COLUMNS])), np.float64)
    return found


def _describe_unused_fields(out: "pd.Series[bool]") -> list[str]:
    left = int(out.sum())
    if not left:
        return []
    are, count = ("is", "counts") if left == 1 else ("are", "count")
    return [
        f"{left} of {format_count(len(out), 'field')} {are} excluded, out of focus or empty, and {count} in no score."
    ]


def _describe_calibration(calibration: dict[str, Any] | None) -> list[str]:
    if calibration is None:
        return []
    before, after = (100 * calibration[f"ece_{when}"] for when in ("before", "after"))
    if calibration["temperature"] == 1:
        return [
            f"On {format_count(calibration['wells'], 'validation well')} the model's certainty was off by {before:.1f} "
            "points of 100 on average; with all of them classified as labelled there was nothing to calibrate by."
        ]
    return [
        f"On {format_count(calibration['wells'], 'validation well')} the model's certainty was off by {before:.1f} "
        f"points of 100 on average, and by {after:.1f} after calibration "
        f"(temperature {calibration['temperature']:.2f})."
    ]
