"""The screen of a job: wells, compounds and plates from the table of fields."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from leigh_mlops.jobs.compounds import Treated, compound_tables, on_compounds, on_wells
from leigh_mlops.jobs.controls import Controls, on_controls, plate_controls
from leigh_mlops.jobs.direction import Direction, compounds_of, control_roles, direction_of
from leigh_mlops.jobs.doses import dose_column
from leigh_mlops.jobs.fields_table import WELL
from leigh_mlops.jobs.plate_scores import on_plate_scores, plate_table, with_b_scores
from leigh_mlops.jobs.trust import confound_table, on_confounds, on_flags, on_plates, trust_flags, unusable
from leigh_mlops.jobs.well_scores import log_odds_of, scored_wells, with_rescue
from leigh_mlops.jobs.wells import hits_of, well_table
from leigh_mlops.models import ModelPackage
from leigh_mlops.report.words import confound_sentences, counted

__all__ = ["Screen", "check_screen", "screen"]

Doubles = npt.NDArray[np.float64]

_SEEN = " The model has seen its controls: Z' is too good, and no compound is called by its wells."


@dataclass(frozen=True)
class Screen:
    """What a job says of wells, compounds and plates.

    Attributes:
        fields: The table of fields with ``trust``, flags joined by ``; ``.
        wells: One row per well.
        hits: One row per compound; per well that looks like another class where there are no compounds.
        plates: One row per plate.
        doses: One row per compound and dose; empty where no doses are given.
        sentences: What was found, in plain words, the most important first.
        warnings: What a reader must know before any picture.
        calibration: ``temperature``, ``ece_before``, ``ece_after``, ``wells``; None for a package without it.
        confounds: ``accuracy``, ``auc`` and ``wells`` of ``model``, ``intensity`` and ``position``,
            those that can be known.
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
    """Refuse what :func:`screen` would refuse, before a night of work.

    Args:
        table: The image table.
        classes: The model's classes; none where it does not classify.
        source: The diseased class.
        target: The healthy class.
        doses: Column of doses.

    Raises:
        LeighError: A class or the column does not exist.
    """
    direction_of(table, classes, source, target)
    dose_column(table, doses)


def screen(
    fields: pd.DataFrame,
    package: ModelPackage,
    *,
    source: str | None = None,
    target: str | None = None,
    doses: str | None = None,
) -> Screen:
    """Score wells, compounds and plates, and say how far to trust them.

    Args:
        fields: The job's table of fields.
        package: The model's.
        source: The diseased class, 0 % rescue; None for the rule of `direction_of`.
        target: The healthy class, 100 % rescue; None for the rule.
        doses: Column of doses; None for the rule of `dose_column`.

    Raises:
        LeighError: A class or the column does not exist.
    """
    classes = package.model.spec.classes if package.model.task == "classify" else ()
    flags = trust_flags(fields, package)
    out = unusable(fields, flags)
    trusted = fields.assign(trust=_joined(flags))
    wells = well_table(fields, classes, out)
    calibration = package.about.get("calibration")
    warned, said = on_flags(flags)
    if fields.empty or not classes:
        nothing = pd.DataFrame()
        return Screen(trusted, wells, hits_of(wells, classes), nothing, nothing, said, warned, calibration)
    confounds = confound_table(fields, compounds_of(fields).isna() & ~out, package)
    warned += confound_sentences({"position": confounds.get("position", {})})
    said += [*on_confounds(confounds), *_on_calibration(calibration), *_on_left_out(out)]
    direction = direction_of(fields, classes, source, target)
    temperature = None if calibration is None else float(calibration["temperature"])
    wells = scored_wells(wells, fields, out, classes, direction, temperature)
    wells["flagged"] = _flagged(fields, flags, wells)
    if direction is None:
        said.insert(0, "No rescue: the model has more than two classes; name two with --rescue-from and --rescue-to.")
        hits, plates, dosed = hits_of(wells, classes), pd.DataFrame(), pd.DataFrame()
    else:
        scored = _Scored.of(wells, fields, flags, out, direction)
        wells, plates = scored.wells, scored.plates
        hits, dosed, found, doubts = _on_treated(scored, classes, doses)
        said = [*found, direction.sentence, *scored.sentences, *said]
        warned = [*scored.first, *warned, *scored.warnings, *doubts]
    return Screen(trusted, wells, hits, plates, dosed, said, warned, calibration, confounds)


@dataclass(frozen=True)
class _Scored:
    """Wells between the controls of their plates."""

    wells: pd.DataFrame
    plates: pd.DataFrame
    roles: "pd.Series[str]"
    controls: Controls
    first: list[str]
    warnings: list[str]
    sentences: list[str]

    @classmethod
    def of(
        cls,
        wells: pd.DataFrame,
        fields: pd.DataFrame,
        flags: pd.DataFrame,
        out: "pd.Series[bool]",
        direction: Direction,
    ) -> "_Scored":
        roles = control_roles(wells, direction)
        controls = plate_controls(wells, roles)
        treated = compounds_of(wells).notna() & (roles == "")
        wells, refused = with_b_scores(with_rescue(wells, fields, out, direction, controls.scores), roles, treated)
        used = fields[~out]
        plates = plate_table(used, log_odds_of(used, direction), controls.scores, refused, direction)
        told = [on_plates(fields, flags, control_roles(fields, direction) != ""), on_plate_scores(plates, direction)]
        warned, said = ([line for each in told for line in each[place]] for place in (0, 1))
        first, measured_by = on_controls(wells, roles, controls)
        plates.loc[plates["Metadata_Plate"].isin(controls.seen), "note"] += _SEEN
        plates["note"] = plates["note"].str.strip()
        return cls(wells, plates, roles, controls, first, warned, [*measured_by, *said])


def _on_treated(
    scored: _Scored, classes: Sequence[str], doses: str | None
) -> tuple[pd.DataFrame, pd.DataFrame, list[str], list[str]]:
    """Hits, doses, what was found, and what is not clear."""
    wells, compounds = scored.wells, compounds_of(scored.wells).where(scored.roles == "")
    if not compounds.notna().any():
        hits = hits_of(wells, classes)
        measured = wells[[*WELL, "score", "rescue", "rescue_low", "rescue_high", "robust_z"]]
        return hits.merge(measured, on=WELL, how="left"), pd.DataFrame(), [], []
    column, doubt = dose_column(wells, doses)
    treated = wells.assign(compound=compounds, **({} if column is None else {"dose": wells[column]}))
    given = Treated(treated[treated["compound"].notna()], *scored.controls)
    hits, dosed = compound_tables(given)
    return hits, dosed, on_compounds(hits, column), [*([doubt] if doubt else []), *on_wells(given)]


def _joined(flags: pd.DataFrame) -> list[str]:
    names = [str(name) for name in flags]
    return ["; ".join(compress(names, row)) for row in flags.to_numpy(bool)]


def _flagged(fields: pd.DataFrame, flags: pd.DataFrame, wells: pd.DataFrame) -> Doubles:
    """Share of each well's fields that have a flag of their own, 0 to 1, shape (W,)."""
    own = flags.drop(columns="other plate").any(axis=1).astype(float)
    shares = own.groupby([fields[name] for name in WELL]).mean()
    found: Doubles = np.asarray(shares.reindex(pd.MultiIndex.from_frame(wells[WELL])), np.float64)
    return found


def _on_left_out(out: "pd.Series[bool]") -> list[str]:
    left = int(out.sum())
    if not left:
        return []
    are, count = ("is", "counts") if left == 1 else ("are", "count")
    return [f"{left} of {counted(len(out), 'field')} {are} excluded, out of focus or empty, and {count} in no score."]


def _on_calibration(calibration: dict[str, Any] | None) -> list[str]:
    if calibration is None:
        return []
    before, after = (100 * calibration[f"ece_{when}"] for when in ("before", "after"))
    if calibration["temperature"] == 1:
        return [
            f"On {counted(calibration['wells'], 'validation well')} the model's certainty was off by {before:.1f} "
            "points of 100 on average; with all of them classified as labelled there was nothing to calibrate by."
        ]
    return [
        f"On {counted(calibration['wells'], 'validation well')} the model's certainty was off by {before:.1f} points "
        f"of 100 on average, and by {after:.1f} after calibration (temperature {calibration['temperature']:.2f})."
    ]
