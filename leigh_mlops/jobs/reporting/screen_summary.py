"""Sentences on a screen, and the text columns of its tables, from its numbers and flags."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import pandas as pd

from leigh_mlops.explanations.latent_map import OUTLIER_QUANTILE
from leigh_mlops.plates.columns import Metadata, strip_metadata_prefix
from leigh_mlops.report.sentences import confound_sentences, format_count
from leigh_mlops.scores.dose_response import MIN_CURVE_WELLS, MIN_DOSES, CurveRefusal, FitProblem
from leigh_mlops.scores.plate_effects import MIN_LINES, RefusalReason
from leigh_mlops.screening.compounds import HIT_FDR, CompoundOutcome
from leigh_mlops.screening.field_flags import FlagCounts, UnknownPlates
from leigh_mlops.screening.plate_quality import MIN_CONTROLS, ControlsFault, PlateFlags
from leigh_mlops.screening.reference_classes import ReferenceClasses, ReferenceRule
from leigh_mlops.screening.screen import Screen

__all__ = ["ScreenSummary", "summarise_screen"]

FLAGGED_WARNING_SHARE = 0.1
"""Share of flagged fields above which a warning is shown before any picture."""

_MAX_PLATES = 4
_CONTROL_NAMES = {"source": "the diseased control", "target": "the healthy control"}
_CONFOUND_NAMES = {
    "model": "the model on {} that it has not seen",
    "intensity": "mean intensities alone on {}",
    "position": "the position on the plate alone on {}",
}
_RULES = {
    ReferenceRule.ASKED: "as asked",
    ReferenceRule.DISEASE_AND_HEALTH: "as these are the classes of disease and health",
    ReferenceRule.CONTROLS: "as the plate map's negative and positive controls are of these classes",
    ReferenceRule.ONLY_CLASSES: ("the two classes of the model; give --rescue-from and --rescue-to for another way"),
}
_OUTCOMES = {
    CompoundOutcome.NO_RESCUE: (
        "no well has a rescue, for want of controls on its plates that differ or of fields that count"
    ),
    CompoundOutcome.SEEN_CONTROLS: (
        "not judged, as the model has seen the controls of its plates: without effect it could look rescued"
    ),
    CompoundOutcome.ONE_WELL: "one well alone; repeat it",
    CompoundOutcome.UNTESTED: "no test, as the controls do not vary",
    CompoundOutcome.NO_DIFFERENCE: "not told from the diseased controls (q {q:.2g}, {wells} wells)",
    CompoundOutcome.AWAY: "away from health (rescue {rescue:.0f} %, {wells} wells)",
    CompoundOutcome.UNSURE: "the interval of its rescue holds 0 ({rescue_low:.0f} to {rescue_high:.0f}, {wells} wells)",
    CompoundOutcome.HIT: (
        "rescue {rescue:.0f} % ({rescue_low:.0f} to {rescue_high:.0f}){at_dose}, q {q:.2g}, {wells} wells"
    ),
}
_CURVE_REFUSALS = {
    FitProblem.FEW_DOSES: f"{{doses}} different doses; a curve needs {MIN_DOSES}",
    FitProblem.FEW_WELLS: f"{{wells}} wells; a curve of four parameters needs {MIN_CURVE_WELLS}",
    FitProblem.ALIKE: "all wells respond alike",
    FitProblem.NO_FIT: "no curve could be fitted",
    FitProblem.FLAT: "no better than a flat line (F test, p {p:.2g}, {wells} wells)",
    FitProblem.OUTSIDE: "half of the effect lies outside of the doses given",
}
_CONTROLS_FAULTS = {
    ControlsFault.FEW: f"It has {{controls}}, and needs {MIN_CONTROLS} of each: no Z', no rescue.",
    ControlsFault.REVERSED: "Wells of {target} score no higher than those of {source}: no rescue.",
    ControlsFault.ALIKE: "Its {controls} do not differ (Welch's t test, p {p:.2g}): no rescue.",
}
_B_SCORE_REFUSALS = {
    RefusalReason.FEW_LINES: f"the wells fill {{lines}} {{line}}s, and medians need {MIN_LINES}",
    RefusalReason.CONTROLS_FILL_LINES: (
        "the {line} says where {group} stands ({share:.0%} of its variance lies between {line}s), so that taking "
        "{line}s out would take the effect out"
    ),
    RefusalReason.FEW_SAMPLES: (
        "{controls} of {wells} wells are controls or classes, and a median polish needs most wells to be samples that "
        "do nothing"
    ),
    RefusalReason.NO_SPREAD: "more than half of the wells have one value, so that there is no spread",
}
_SEEN_CONTROLS_NOTE = "The model has seen its controls: Z' is too good, and no compound is called by its wells."


class ScreenSummary(NamedTuple):
    """Words on a screen.

    Attributes:
        screen: The screen; its hits have the columns ``reason`` and ``curve_note``, its plates ``note``.
        sentences: Findings in plain words, the most important first.
        warnings: Warnings to show before any picture.
    """

    screen: Screen
    sentences: list[str]
    warnings: list[str]


def summarise_screen(screened: Screen) -> ScreenSummary:
    """Turn the numbers and flags of a screen into sentences and text columns."""
    warned, said = _describe_flags(screened.flags)
    if not screened.is_classified:
        return ScreenSummary(screened, said, warned)
    warned += confound_sentences({"position": screened.confounds.get("position", {})})
    said += [
        *_describe_confounds(screened.confounds),
        *_describe_calibration(screened.calibration),
        *_describe_unused_fields(screened),
    ]
    if (reference := screened.reference) is None:
        nothing = "No rescue: the model has more than two classes; name two with --rescue-from and --rescue-to."
        return ScreenSummary(screened, [nothing, *said], warned)
    notes = {plate: _describe_plate_flags(flags, reference) for plate, flags in screened.plate_flags.items()}
    written = replace(screened, hits=_write_reasons(screened.hits), plates=_write_notes(screened, notes))
    plates_warned, plates_said = _describe_plates(screened, reference, notes)
    sentences = [
        *_describe_compounds(written),
        f"Rescue is measured from {reference.source} (0 %) to {reference.target} (100 %), {_RULES[reference.rule]}.",
        *_describe_unused_controls(screened),
        *plates_said,
        *said,
    ]
    warnings = [*_describe_seen_controls(screened), *warned, *plates_warned, *_describe_unscored_wells(screened)]
    return ScreenSummary(written, sentences, warnings)


def _describe_flags(flags: FlagCounts) -> tuple[list[str], list[str]]:
    """Return warnings and sentences on flagged fields."""
    if not flags.flagged:
        return [], []
    parts = [f"{count} {name}" for name, count in flags.by_flag.items() if count]
    has = "has" if flags.flagged == 1 else "have"
    said = (
        f"{flags.flagged} of {format_count(flags.fields, 'field')} ({flags.flagged / flags.fields:.0%}) {has} a flag "
        f"({', '.join(parts)})"
    )
    if flags.flagged <= FLAGGED_WARNING_SHARE * flags.fields:
        return [], [f"{said}; the column trust names them."]
    return [f"{said}: look at these fields before you believe what is said of their wells."], []


def _describe_confounds(table: dict[str, Any]) -> Iterator[str]:
    """Compare the model with intensities and position; nothing if there is none of these to compare."""
    if "model" in table and len(table) > 1:
        parts = [
            f"{_CONFOUND_NAMES[name].format(format_count(scores['wells'], 'well'))} {scores['accuracy']:.2f}"
            for name, scores in table.items()
        ]
        yield f"Share of labelled wells that are named rightly: {'; '.join(parts)}."


def _describe_calibration(calibration: dict[str, Any] | None) -> Iterator[str]:
    if calibration is None:
        return
    before, after = (100 * calibration[f"ece_{when}"] for when in ("before", "after"))
    said = (
        f"On {format_count(calibration['wells'], 'validation well')} the model's certainty was off by {before:.1f} "
        "points of 100 on average"
    )
    if calibration["temperature"] == 1:
        yield f"{said}; with all of them classified as labelled there was nothing to calibrate by."
    else:
        yield f"{said}, and by {after:.1f} after calibration (temperature {calibration['temperature']:.2f})."


def _describe_unused_fields(screened: Screen) -> Iterator[str]:
    if left := screened.unused:
        are, count = ("is", "counts") if left == 1 else ("are", "count")
        yield (
            f"{left} of {format_count(len(screened.fields), 'field')} {are} excluded, out of focus or empty, "
            f"and {count} in no score."
        )


def _describe_seen_controls(screened: Screen) -> Iterator[str]:
    counts = screened.controls
    if counts.plates:
        named = f"{', '.join(counts.plates[:_MAX_PLATES])}{' and others' if len(counts.plates) > _MAX_PLATES else ''}"
        yield (
            f"The model was trained or chosen on {counts.seen} of the {format_count(counts.used, 'control well')} of "
            f"{named}, where fewer than {MIN_CONTROLS} new ones of each kind are left: compounds without effect can "
            "look rescued there, and Z' is too good; no compound is called by these wells."
        )


def _describe_unused_controls(screened: Screen) -> Iterator[str]:
    counts = screened.controls
    if counts.left_out:
        yield (
            f"The model was trained or chosen on {counts.left_out} of {format_count(counts.others, 'control well')}; "
            f"they are left out, and rescue is measured by the {counts.others - counts.left_out} that it has not seen."
        )


def _describe_plates(
    screened: Screen, reference: ReferenceClasses, notes: dict[str, str]
) -> tuple[list[str], list[str]]:
    """Return warnings and sentences on stains, unknown plates and controls, of the latter the worst plates first."""
    warned = [
        f"Plate {plate}: {swapped} of {format_count(fields, 'field')} seem as if the channels "
        "stood in another order than in training; compare the stains with the order of the model's."
        for plate, (swapped, fields) in screened.swapped_stains.items()
    ]
    said: list[str] = []
    if (unknown := screened.unknown_plates) is not None:
        is_warning = unknown.controls is None or unknown.far > FLAGGED_WARNING_SHARE * unknown.controls
        (warned if is_warning else said).append(_describe_unknown_plates(unknown))
    ranked = screened.plates.sort_values("z_prime", na_position="first")
    doubts = [f"Plate {plate}: {notes[plate]}" for plate in ranked[Metadata.PLATE] if notes[plate]]
    factors = [
        f"Plate {row[Metadata.PLATE]}: {_format_factors(row)}, from {row['positive_wells']} wells of "
        f"{reference.target} and {row['negative_wells']} of {reference.source}; {_interpret_z_prime(row['z_prime'])}."
        for _, row in ranked.dropna(subset="z_prime").iterrows()
    ]
    return [*warned, *_shorten(doubts)], [*said, *_shorten(factors)]


def _describe_unknown_plates(unknown: UnknownPlates) -> str:
    plates = unknown.plates
    named = (
        f"Plate {plates[0]} is" if len(plates) == 1 else f"{len(plates)} plates ({', '.join(plates[:_MAX_PLATES])}) are"
    )
    known = f"{named} none of those that the model was trained or chosen on, by their pixels"
    if unknown.controls is None:
        return f"{known}, and the distance from those is not known, for want of controls or of a latent map."
    lie = "lies" if unknown.far == 1 else "lie"
    return (
        f"{known}; {unknown.far} of {format_count(unknown.controls, 'field')} of controls there {lie} farther out than "
        f"{OUTLIER_QUANTILE:.0%} of the training fields ({1 - OUTLIER_QUANTILE:.0%} are expected)."
    )


def _describe_unscored_wells(screened: Screen) -> Iterator[str]:
    """Describe which doses are in doubt, and how many treated wells are left out of the compounds, and why."""
    if screened.dose is not None and screened.dose.candidates:
        yield f"Doses could stand in {' or '.join(screened.dose.candidates)}; name one with --doses."
    lost, undosed = screened.unscored
    if lost:
        yield (
            f"No rescue for {format_count(lost, 'treated well')}, for want of controls on the same plate that "
            "differ or of fields that count; no compound is judged by such a well."
        )
    if undosed:
        has = "has" if undosed == 1 else "have"
        yield (
            f"{format_count(undosed, 'well')} of compounds with doses {has} none, or dose 0; "
            "such wells are tested with no dose of their compound."
        )


def _describe_compounds(written: Screen) -> Iterator[str]:
    """Summarise the table of compounds, with its reasons."""
    if written.dose is None:
        return
    hits = written.hits[written.hits["q"].notna()]
    if hits.empty:
        yield "No compound could be judged; the column reason of hits.csv says why."
        return
    called = hits[hits["hit"]]
    named = "; ".join(f"{row.compound} ({row.reason})" for row in called.head(3).itertuples())
    more = " and others" if len(called) > 3 else ""
    yield (
        f"{len(called)} of {format_count(len(hits), 'compound')} {'is a hit' if len(called) == 1 else 'are hits'} at a "
        f"false discovery rate of {HIT_FDR:.0%}" + (f": {named}{more}." if len(called) else ".")
    )
    if others := len(written.hits) - len(hits):
        yield f"{format_count(others, 'further compound')} could not be judged; hits.csv says why."
    if few := int(hits["wells"].between(2, 3).sum()):
        yield (
            f"Intervals of {format_count(few, 'compound')} with two or three wells are Student's and a little "
            "too narrow; repeat these before you build on them."
        )
    if written.dose.name is not None:
        fitted = int(hits["ec50"].notna().sum())
        has = "has" if fitted == 1 else "have"
        yield (
            f"{fitted} of {format_count(len(hits), 'compound')} {has} a dose response with an EC50, in the unit of "
            f"{strip_metadata_prefix(written.dose.name)}. A compound is judged by its strongest dose, and its interval "
            "is of that dose alone."
        )


def _write_reasons(hits: pd.DataFrame) -> pd.DataFrame:
    """Write the columns ``reason`` and ``curve_note`` in place of outcomes and refusals."""
    if "outcome" not in hits:
        return hits
    written = hits.rename(columns={"outcome": "reason", "curve_refusal": "curve_note"})
    written["reason"] = [_describe_outcome(row) for _, row in hits.iterrows()]
    if "curve_note" in written:
        written["curve_note"] = [_describe_fit(fit) for fit in hits["curve_refusal"]]
    return written


def _describe_fit(refusal: CurveRefusal | float | None) -> str | float:
    """Return why there is no curve; empty if there is one, NaN for a compound without doses."""
    if isinstance(refusal, CurveRefusal):
        return _CURVE_REFUSALS[refusal.problem].format(**vars(refusal))
    return "" if refusal is None else refusal


def _describe_outcome(row: "pd.Series[Any]") -> str:
    dose = row.get("dose", math.nan)
    said = _OUTCOMES[row["outcome"]].format(**row, at_dose="" if math.isnan(dose) else f" at dose {dose:g}")
    if math.isnan(row.get("ec50", math.nan)):
        return said
    return f"{said}; dose response with EC50 {row['ec50']:.2g} ({row['ec50_low']:.2g} to {row['ec50_high']:.2g})"


def _write_notes(screened: Screen, notes: dict[str, str]) -> pd.DataFrame:
    """Write the column ``note``."""
    flags = screened.plate_flags
    texts = [
        f"{notes[plate]} {_SEEN_CONTROLS_NOTE if flags[plate].seen else ''}".strip()
        for plate in screened.plates[Metadata.PLATE]
    ]
    return screened.plates.assign(note=texts)


def _describe_plate_flags(flags: PlateFlags, reference: ReferenceClasses) -> str:
    """Return why a plate has no rescue and no B-scores; empty if it has both."""
    said = []
    if (problem := flags.problem) is not None:
        controls = f"{format_count(problem.source, 'control well')} of {reference.source} and {problem.target}"
        names = vars(problem) | vars(reference) | {"controls": f"{controls} of {reference.target}"}
        said.append(_CONTROLS_FAULTS[problem.fault].format(**names))
    if (refusal := flags.refusal) is not None:
        numbers = vars(refusal) | {"group": _CONTROL_NAMES.get(refusal.group, refusal.group)}
        said.append(f"No B-score: {_B_SCORE_REFUSALS[refusal.reason].format(**numbers)}.")
    return " ".join(said)


def _shorten(lines: list[str]) -> list[str]:
    more = len(lines) - _MAX_PLATES
    return lines if more < 1 else [*lines[:_MAX_PLATES], f"On {format_count(more, 'further plate')} see plates.csv."]


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
