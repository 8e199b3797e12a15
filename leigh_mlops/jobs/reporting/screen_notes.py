"""Text columns of a screen's tables: reasons of compounds, and notes on curves and plates."""

import math
from collections.abc import Mapping
from typing import Any

from leigh_mlops.jobs.reporting.direction_words import DirectionWords, direction_words
from leigh_mlops.report.sentences import format_count
from leigh_mlops.scores.dose_response import MIN_CURVE_WELLS, MIN_DOSES, CurveRefusal, FitProblem
from leigh_mlops.scores.plate_effects import MIN_LINES, RefusalReason
from leigh_mlops.screening.compounds import CompoundOutcome
from leigh_mlops.screening.plate_quality import MIN_CONTROLS, ControlsFault, PlateFlags
from leigh_mlops.screening.reference_classes import ReferenceClasses

__all__ = ["describe_fit", "describe_outcome", "describe_plate_flags", "plate_note"]

_OUTCOMES = {
    CompoundOutcome.FEW_CELLS: (
        "toxic, no hit: its wells hold {cell_share:.0%} of the cells of {words.source} (p {cell_p:.2g})"
    ),
    CompoundOutcome.ELSEWHERE: (
        "no hit: it moves wells farther elsewhere ({off_axis:.1f} standard deviations of the controls, "
        "p {off_axis_p:.2g}) than towards {words.end} ({along_axis:.1f}); {words.shift} {rescue:.0f} %, {wells} wells"
    ),
    CompoundOutcome.NO_RESCUE: (
        "no well has a {words.shift}: its plates lack controls that differ, or its wells lack usable fields"
    ),
    CompoundOutcome.SEEN_CONTROLS: (
        "not judged: the model has seen the controls of its plates, so an inactive compound could appear to {words.act}"
    ),
    CompoundOutcome.ONE_WELL: "only one well; add replicates",
    CompoundOutcome.UNTESTED: "not tested: the controls do not vary",
    CompoundOutcome.NO_DIFFERENCE: "no significant difference from {words.source} (q {q:.2g}, {wells} wells)",
    CompoundOutcome.WORSENED: "shifts away from {words.end} ({words.shift} {rescue:.0f} %, {wells} wells)",
    CompoundOutcome.UNSURE: (
        "the interval of its {words.shift} includes 0 ({rescue_low:.0f} to {rescue_high:.0f}, {wells} wells)"
    ),
    CompoundOutcome.HIT: (
        "{words.shift} {rescue:.0f} % ({rescue_low:.0f} to {rescue_high:.0f}){at_dose}, q {q:.2g}, {wells} wells"
    ),
}
_CURVE_REFUSALS = {
    FitProblem.FEW_DOSES: f"{{doses}} different doses; a curve needs at least {MIN_DOSES}",
    FitProblem.FEW_WELLS: f"{{wells}} wells; a four-parameter curve needs at least {MIN_CURVE_WELLS}",
    FitProblem.ALIKE: "all wells have the same response",
    FitProblem.NO_FIT: "no curve could be fitted",
    FitProblem.FLAT: "no better than a flat line (F test, p {p:.2g}, {wells} wells)",
    FitProblem.OUTSIDE: "the EC50 lies outside the tested doses",
}
_CONTROLS_FAULTS = {
    ControlsFault.FEW: f"It has {{controls}}, but needs at least {MIN_CONTROLS} of each: no Z', no {{words.shift}}.",
    ControlsFault.REVERSED: "Wells of {target} score no higher than those of {source}: no {words.shift}.",
    ControlsFault.ALIKE: "Its {controls} do not differ (Welch's t test, p {p:.2g}): no {words.shift}.",
}
_B_SCORE_REFUSALS = {
    RefusalReason.FEW_LINES: f"the wells fill {{lines}} {{line}}s; a median polish needs at least {MIN_LINES}",
    RefusalReason.CONTROLS_FILL_LINES: (
        "the position of {group} depends on the {line} ({share:.0%} of its variance lies between {line}s), so "
        "removing {line} effects would remove the effect of interest"
    ),
    RefusalReason.FEW_SAMPLES: (
        "{controls} of {wells} wells are controls or labelled with a class, but a median polish needs mostly inactive "
        "samples"
    ),
    RefusalReason.NO_SPREAD: "more than half of the wells have the same value, so the spread is 0",
}
_SEEN_CONTROLS_NOTE = "The model has seen its controls: Z' is optimistic, and its wells are not used to call hits."


def describe_fit(refusal: CurveRefusal | float | None) -> str | float:
    """Return why there is no curve; empty if there is one, NaN for a compound without doses."""
    if isinstance(refusal, CurveRefusal):
        return _CURVE_REFUSALS[refusal.problem].format(**vars(refusal))
    return "" if refusal is None else refusal


def describe_outcome(row: Mapping[str, Any], words: DirectionWords) -> str:
    """Return why a compound is a hit, or why not, from its row in the table of compounds."""
    dose = row.get("dose", math.nan)
    at_dose = "" if math.isnan(dose) else f" at dose {dose:g}"
    text = _OUTCOMES[row["outcome"]].format(**row, at_dose=at_dose, words=words)
    if math.isnan(row.get("ec50", math.nan)):
        return text
    return f"{text}; dose response with EC50 {row['ec50']:.2g} ({row['ec50_low']:.2g} to {row['ec50_high']:.2g})"


def plate_note(flags: PlateFlags, text: str) -> str:
    """Return the note on a plate: the text of :func:`describe_plate_flags`, and whether its controls were seen."""
    return f"{text} {_SEEN_CONTROLS_NOTE if flags.seen else ''}".strip()


def describe_plate_flags(flags: PlateFlags, reference: ReferenceClasses) -> str:
    """Return why a plate has no rescue and no B-scores; empty if it has both."""
    sentences, words = [], direction_words(reference)
    controls_of = {"source": words.source, "target": words.target}
    if (problem := flags.problem) is not None:
        controls = f"{format_count(problem.source, 'control well')} of {reference.source} and {problem.target}"
        names = vars(problem) | vars(reference) | {"controls": f"{controls} of {reference.target}", "words": words}
        sentences.append(_CONTROLS_FAULTS[problem.fault].format(**names))
    if (refusal := flags.refusal) is not None:
        numbers = vars(refusal) | {"group": controls_of.get(refusal.group, refusal.group)}
        sentences.append(f"No B-score: {_B_SCORE_REFUSALS[refusal.reason].format(**numbers)}.")
    return " ".join(sentences)
