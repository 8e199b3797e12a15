"""Sentences on a screen, from its numbers and flags."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import pandas as pd

from leigh_mlops.explanations.latent_map import OUTLIER_QUANTILE
from leigh_mlops.jobs.reporting.direction_words import DirectionWords, direction_words
from leigh_mlops.jobs.reporting.screen_notes import describe_fit, describe_outcome, describe_plate_flags, plate_note
from leigh_mlops.jobs.reporting.set_sentences import describe_sets
from leigh_mlops.plates.columns import Metadata, strip_metadata_prefix
from leigh_mlops.report.sentences import confound_sentences, format_count
from leigh_mlops.report.table_columns import table_rows
from leigh_mlops.scores.position_trend import MIN_TREND_CONTROLS, MIN_TREND_LINES, TrendRefusal
from leigh_mlops.screening.compounds import HIT_FDR
from leigh_mlops.screening.field_flags import FlagCounts, UnknownPlates
from leigh_mlops.screening.plate_quality import MIN_CONTROLS
from leigh_mlops.screening.reference_classes import ReferenceClasses, ReferenceRule
from leigh_mlops.screening.screen import Screen
from leigh_mlops.screening.treatment_activity import MIN_CELL_SHARE, is_toxic

__all__ = ["ScreenSummary", "summarise_screen"]

FLAGGED_WARNING_SHARE = 0.1
"""Share of flagged fields above which a warning is shown before any picture."""

_MAX_PLATES = 4
_TRENDS = {
    TrendRefusal.FEW_CONTROLS: f"it has fewer than {MIN_TREND_CONTROLS} controls, or a single one of a kind",
    TrendRefusal.FEW_LINES: (
        f"its controls lie in fewer than {MIN_TREND_LINES} rows or columns and say nothing about the others"
    ),
    TrendRefusal.NO_TREND: "its controls do not depend on the position",
}
_FEATURE_NAMES = {"latent": "the model's latents", "image": "intensities, textures and areas"}
_CONFOUND_NAMES = {
    "model": "the model {accuracy:.2f} ({balance}{wells} that it has not seen)",
    "intensity": "mean intensities alone {accuracy:.2f} ({balance}{wells})",
    "position": "the position on the plate alone {accuracy:.2f} ({balance}{wells})",
    "background": "pixels without cells alone {accuracy:.2f} ({balance}{wells})",
    "focus": "the focus alone {accuracy:.2f} ({balance}{wells})",
    "density": "the number of nuclei alone {accuracy:.2f} ({balance}{wells})",
}
_SHORTCUTS = ("position", "background", "focus", "density")
_RULES = {
    ReferenceRule.REQUESTED: "as requested",
    ReferenceRule.DISEASE_AND_HEALTH: "the classes of disease and health",
    ReferenceRule.CONTROLS: "the classes of the plate map's negative and positive controls",
    ReferenceRule.ONLY_CLASSES: (
        "the two classes of the model; neither is known to be healthy, so nothing is called a rescue; to choose the "
        "direction, give --rescue-from and --rescue-to"
    ),
}


class ScreenSummary(NamedTuple):
    """Summary of a screen, in words.

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
    warned, sentences = _describe_flags(screened.flags)
    if not screened.is_classified:
        return ScreenSummary(screened, sentences, warned)
    warned += confound_sentences({name: screened.confounds.get(name, {}) for name in _SHORTCUTS})
    sentences += [
        *_describe_confounds(screened.confounds),
        *_describe_calibration(screened.calibration),
        *describe_sets(screened.sets),
        *_describe_unused_fields(screened),
    ]
    if (reference := screened.reference) is None:
        nothing = "No rescue: the model has more than two classes; choose two with --rescue-from and --rescue-to."
        return ScreenSummary(screened, [nothing, *sentences], warned)
    words = direction_words(reference)
    notes = {plate: describe_plate_flags(flags, reference) for plate, flags in screened.plate_flags.items()}
    written = _add_texts(screened, notes, words)
    plates_warned, plates_said = _describe_plates(screened, reference, notes)
    sentences = [
        *_describe_compounds(written),
        *_describe_toxic_compounds(written),
        f"{words.score[0].upper()}{words.score[1:]} is measured from {reference.source} (0 %) to "
        f"{reference.target} (100 %), {_RULES[reference.rule]}.",
        *_describe_unused_controls(screened, words),
        *_describe_trends(screened),
        *plates_said,
        *sentences,
    ]
    warnings = [
        *_describe_seen_controls(screened, words),
        *warned,
        *plates_warned,
        *_describe_unscored_wells(screened, words),
    ]
    return ScreenSummary(written, sentences, warnings)


def _add_texts(screened: Screen, notes: Mapping[str, str], words: DirectionWords) -> Screen:
    """Replace outcomes and refusals of the hits by ``reason`` and ``curve_note``, and add the plates' ``note``."""
    hits, flags = screened.hits, screened.plate_flags
    if "outcome" in hits:
        rows = table_rows({str(name): values.tolist() for name, values in hits.items()})
        hits = hits.rename(columns={"outcome": "reason", "curve_refusal": "curve_note"})
        hits["reason"] = [describe_outcome(row, words) for row in rows]
    if "curve_note" in hits:
        hits["curve_note"] = [describe_fit(refusal) for refusal in hits["curve_note"]]
    texts = [plate_note(flags[plate], notes[plate]) for plate in screened.plates[Metadata.PLATE]]
    return replace(screened, hits=hits, plates=screened.plates.assign(note=texts))


def _describe_flags(flags: FlagCounts) -> tuple[list[str], list[str]]:
    """Return warnings and sentences on flagged fields."""
    if not flags.flagged:
        return [], []
    parts = [f"{count} {name}" for name, count in flags.by_flag.items() if count]
    is_ = "is" if flags.flagged == 1 else "are"
    sentence = (
        f"{flags.flagged} of {format_count(flags.fields, 'field')} ({flags.flagged / flags.fields:.0%}) {is_} flagged "
        f"({', '.join(parts)})"
    )
    if flags.flagged <= FLAGGED_WARNING_SHARE * flags.fields:
        return [], [f"{sentence}; see the column trust."]
    return [f"{sentence}: inspect these fields before you trust the results of their wells."], []


def _describe_confounds(table: dict[str, Any]) -> Iterator[str]:
    """Compare the model with intensities and position; nothing if there is none of these to compare."""
    if "model" in table and len(table) > 1:
        parts = [
            _CONFOUND_NAMES[name].format(
                accuracy=scores["accuracy"], balance=_balance(scores), wells=format_count(scores["wells"], "well")
            )
            for name, scores in table.items()
        ]
        yield f"Accuracy on labelled wells: {'; '.join(parts)}."


def _balance(scores: Mapping[str, float]) -> str:
    """Balanced accuracy and the share of the largest class; empty if only one class was scored."""
    if "majority_share" not in scores:
        return ""
    return f"balanced {scores['balanced_accuracy']:.2f}, always the largest class {scores['majority_share']:.2f}, "


def _describe_calibration(calibration: dict[str, Any] | None) -> Iterator[str]:
    if calibration is None:
        return
    before, after = (100 * calibration[f"ece_{when}"] for when in ("before", "after"))
    sentence = (
        f"On {format_count(calibration['wells'], 'validation well')}, the model's confidence was off by {before:.1f} "
        "percentage points on average"
    )
    if calibration["temperature"] == 1:
        yield f"{sentence}; all of them are classified as labelled, so it could not be calibrated."
    else:
        yield f"{sentence}, and by {after:.1f} after calibration (temperature {calibration['temperature']:.2f})."


def _describe_unused_fields(screened: Screen) -> Iterator[str]:
    if left := int(screened.out.sum()):
        is_ = "is" if left == 1 else "are"
        yield (
            f"{left} of {format_count(len(screened.fields), 'field')} {is_} left out of every score "
            "(excluded, out of focus or empty)."
        )


def _describe_seen_controls(screened: Screen, words: DirectionWords) -> Iterator[str]:
    counts = screened.controls
    if counts.plates:
        named = f"{', '.join(counts.plates[:_MAX_PLATES])}{' and others' if len(counts.plates) > _MAX_PLATES else ''}"
        yield (
            f"The model was trained or chosen on {counts.seen} of the {format_count(counts.used, 'control well')} of "
            f"{named}, which leaves fewer than {MIN_CONTROLS} unseen ones of each kind per plate: inactive compounds "
            f"could appear to {words.act} there, and Z' is optimistic; no hit is called from these wells."
        )


def _describe_unused_controls(screened: Screen, words: DirectionWords) -> Iterator[str]:
    counts = screened.controls
    if counts.left_out:
        yield (
            f"The model was trained or chosen on {counts.left_out} of {format_count(counts.others, 'control well')}; "
            f"these are left out, and {words.score} is measured with the remaining {counts.others - counts.left_out}."
        )


def _describe_trends(screened: Screen) -> list[str]:
    """Describe where the effect of the position was taken from the scores, and why elsewhere it was not."""
    lines = []
    for plate, trend in screened.trends.items():
        if trend.refusal is None:
            lines.append(
                f"Plate {plate}: the effect of the position is taken from the scores; it explains {trend.share:.0%} of "
                "the variance of left-out controls."
            )
        else:
            lines.append(
                f"Plate {plate}: no effect of the position is taken from the scores: {_TRENDS[trend.refusal]}."
            )
    return _shorten(lines)


def _describe_plates(
    screened: Screen, reference: ReferenceClasses, notes: dict[str, str]
) -> tuple[list[str], list[str]]:
    """Return warnings and sentences on stains, unknown plates and controls, of the latter the worst plates first."""
    warned = [
        f"Plate {plate}: {swapped} of {format_count(fields, 'field')} look as if their channels "
        "were in another order than in training; compare the stains with the model's channel order."
        for plate, (swapped, fields) in screened.swapped_stains.items()
    ]
    sentences: list[str] = []
    if (unknown := screened.unknown_plates) is not None:
        is_warning = unknown.controls is None or unknown.far > FLAGGED_WARNING_SHARE * unknown.controls
        (warned if is_warning else sentences).append(_describe_unknown_plates(unknown))
    ranked = screened.plates.sort_values("z_prime_log_odds", na_position="first")
    doubts = [f"Plate {plate}: {notes[plate]}" for plate in ranked[Metadata.PLATE] if notes[plate]]
    factors = [
        f"Plate {row[Metadata.PLATE]}: {_format_factors(row)}, from {row['positive_wells']} wells of "
        f"{reference.target} and {row['negative_wells']} of {reference.source}; "
        f"{_interpret_z_prime(row['z_prime_log_odds'])}."
        for _, row in ranked.dropna(subset="z_prime_log_odds").iterrows()
    ]
    return [*warned, *_shorten(doubts)], [*sentences, *_shorten(factors)]


def _describe_unknown_plates(unknown: UnknownPlates) -> str:
    plates = unknown.plates
    named = (
        f"Plate {plates[0]} is" if len(plates) == 1 else f"{len(plates)} plates ({', '.join(plates[:_MAX_PLATES])}) are"
    )
    known = f"{named} not among those that the model was trained or chosen on, judged by their pixels"
    if unknown.controls is None:
        return f"{known}; the distance from those is unknown, because controls or a latent map are missing."
    lie = "lies" if unknown.far == 1 else "lie"
    return (
        f"{known}; {unknown.far} of {format_count(unknown.controls, 'control field')} there {lie} farther out than "
        f"{OUTLIER_QUANTILE:.0%} of the training fields ({1 - OUTLIER_QUANTILE:.0%} expected)."
    )


def _describe_unscored_wells(screened: Screen, words: DirectionWords) -> Iterator[str]:
    """Describe which doses are in doubt, and how many treated wells are left out of the compounds, and why."""
    if screened.dose is not None and screened.dose.candidates:
        yield f"Doses may be in {' or '.join(screened.dose.candidates)}; choose a column with --doses."
    lost, undosed = screened.unscored
    if lost:
        yield (
            f"No {words.shift} for {format_count(lost, 'treated well')}: the plate lacks controls that differ, or the "
            "well lacks usable fields; such wells are not used to judge compounds."
        )
    if undosed:
        has = "has" if undosed == 1 else "have"
        yield (
            f"{format_count(undosed, 'well')} of compounds with doses {has} no dose, or dose 0; "
            "such wells are not tested with any dose of their compound."
        )


def _describe_compounds(written: Screen) -> Iterator[str]:
    """Summarise the table of compounds, with its reasons."""
    if written.dose is None:
        return
    hits = written.hits[written.hits["q"].notna()]
    if hits.empty:
        yield "No compound could be judged; see the column reason of hits.csv."
        return
    called = hits[hits["hit"]]
    named = "; ".join(f"{row.compound} ({row.reason})" for row in called.head(3).itertuples())
    more = " and others" if len(called) > 3 else ""
    yield (
        f"{len(called)} of {format_count(len(hits), 'compound')} {'is a hit' if len(called) == 1 else 'are hits'} at a "
        f"false discovery rate of {HIT_FDR:.0%}" + (f": {named}{more}." if len(called) else ".")
    )
    if others := len(written.hits) - len(hits):
        yield f"{format_count(others, 'further compound')} could not be judged; see hits.csv."
    if few := int(hits["wells"].between(2, 3).sum()):
        yield (
            f"Intervals of {format_count(few, 'compound')} with two or three wells are Student's and slightly "
            "too narrow; replicate these before you rely on them."
        )
    if written.dose.name is not None:
        fitted = int(hits["ec50"].notna().sum())
        has = "has" if fitted == 1 else "have"
        yield (
            f"{fitted} of {format_count(len(hits), 'compound')} {has} a dose response with an EC50, in the unit of "
            f"{strip_metadata_prefix(written.dose.name)}. A compound is judged by its strongest dose, and its interval "
            "is for that dose only."
        )


def _describe_toxic_compounds(written: Screen) -> Iterator[str]:
    """Name the compounds that leave few cells, and those that do something, but not along the axis."""
    if written.dose is None or "cell_share" not in written.hits:
        return
    rows = [{str(name): value for name, value in row.items()} for row in written.hits.to_dict("records")]
    if toxic := [f"{row['compound']} ({row['cell_share']:.0%})" for row in rows if is_toxic(row)]:
        verb = "leaves" if len(toxic) == 1 else "leave"
        yield (
            f"{format_count(len(toxic), 'compound')} {verb} less than {MIN_CELL_SHARE:.0%} of the controls' cells and "
            f"{'is' if len(toxic) == 1 else 'are'} no hit, whatever the score: {_join_names(toxic)}."
        )
    if active := [str(row["compound"]) for row in rows if row["activity_q"] < HIT_FDR and not row["hit"]]:
        yield (
            f"{format_count(len(active), 'compound')} that {'is' if len(active) == 1 else 'are'} no hit "
            f"{'changes' if len(active) == 1 else 'change'} the cells reproducibly (mAP of activity by "
            f"{_FEATURE_NAMES.get(written.features, 'the features')}, false discovery rate below {HIT_FDR:.0%}): "
            f"{_join_names(active)}."
        )


def _join_names(names: list[str]) -> str:
    return f"{', '.join(names[:_MAX_PLATES])}{' and others' if len(names) > _MAX_PLATES else ''}"


def _shorten(lines: list[str]) -> list[str]:
    more = len(lines) - _MAX_PLATES
    return lines if more < 1 else [*lines[:_MAX_PLATES], f"For {format_count(more, 'further plate')}, see plates.csv."]


def _format_factors(row: "pd.Series[Any]") -> str:
    others = {"robust": row["robust_z_prime_log_odds"], "of probabilities": row["z_prime"]}
    known = ", ".join(f"{name} {value:.2f}" for name, value in others.items() if not math.isnan(value))
    difference = "" if math.isnan(row["ssmd"]) else f", SSMD {row['ssmd']:.1f}"
    return f"Z' of log-odds {row['z_prime_log_odds']:.2f}{f' ({known})' if known else ''}{difference}"


def _interpret_z_prime(factor: float) -> str:
    if factor >= 0.5:
        return "the controls are well separated"
    if factor > 0:
        return "the controls are separated, but by less than the usual bar of 0.5"
    return "the bands of three standard deviations around the controls overlap"
