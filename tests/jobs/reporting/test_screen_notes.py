import math

import pytest

from leigh_mlops.jobs.reporting.direction_words import direction_words
from leigh_mlops.jobs.reporting.screen_notes import describe_fit, describe_outcome, describe_plate_flags, plate_note
from leigh_mlops.scores.dose_response import CurveRefusal, FitProblem
from leigh_mlops.scores.plate_effects import BScoreRefusal, RefusalReason
from leigh_mlops.screening.compounds import CompoundOutcome
from leigh_mlops.screening.plate_quality import ControlsFault, ControlsProblem, PlateFlags
from leigh_mlops.screening.reference_classes import ReferenceClasses

HIT = {
    "compound": "good", "dose": 2.0, "wells": 3, "plates": 1, "rescue": 60.2, "rescue_low": 50.1, "rescue_high": 70.4,
    "q": 0.012, "hit": True, "outcome": CompoundOutcome.HIT, "ec50": 9.84, "ec50_low": 5.0, "ec50_high": 20.0,
    "hill": 1.0,
}  # fmt: skip


def reason(**changes: object) -> str:
    return describe_outcome(HIT | changes, direction_words(ReferenceClasses("DS", "WT")))


@pytest.mark.parametrize(
    ("flags", "note"),
    [
        (
            PlateFlags(ControlsProblem(ControlsFault.FEW, 1, 8)),
            "It has 1 control well of DS and 8 of WT, but needs at least 2 of each: no Z', no rescue.",
        ),
        (
            PlateFlags(ControlsProblem(ControlsFault.REVERSED, 8, 8)),
            "Wells of WT score no higher than those of DS: no rescue.",
        ),
        (
            PlateFlags(ControlsProblem(ControlsFault.ALIKE, 20, 19, 0.94)),
            "Its 20 control wells of DS and 19 of WT do not differ (Welch's t test, p 0.94): no rescue.",
        ),
        (
            PlateFlags(refusal=BScoreRefusal(RefusalReason.CONTROLS_FILL_LINES, "column", group="source", share=0.9)),
            "No B-score: the position of the diseased controls depends on the column (90% of its variance lies between "
            "columns), so removing column effects would remove the effect of interest.",
        ),
        (
            PlateFlags(refusal=BScoreRefusal(RefusalReason.FEW_LINES, "row", lines=2)),
            "No B-score: the wells fill 2 rows; a median polish needs at least 3.",
        ),
        (
            PlateFlags(refusal=BScoreRefusal(RefusalReason.FEW_SAMPLES, controls=60, wells=96)),
            "No B-score: 60 of 96 wells are controls or labelled with a class, but a median polish needs mostly "
            "inactive samples.",
        ),
        (
            PlateFlags(refusal=BScoreRefusal(RefusalReason.NO_SPREAD)),
            "No B-score: more than half of the wells have the same value, so the spread is 0.",
        ),
    ],
)
def test_notes_of_plates(flags: PlateFlags, note: str) -> None:
    reference = ReferenceClasses("DS", "WT")
    assert describe_plate_flags(PlateFlags(), reference) == ""
    assert describe_plate_flags(flags, reference) == note


def test_a_plate_whose_controls_the_model_has_seen_says_so() -> None:
    assert plate_note(PlateFlags(), "") == ""
    assert plate_note(PlateFlags(seen=True), "A note.").startswith("A note. The model has seen its controls: Z'")


@pytest.mark.parametrize(
    ("outcome", "text"),
    [
        (CompoundOutcome.HIT, "rescue 60 % (50 to 70) at dose 2, q 0.012, 3 wells"),
        (CompoundOutcome.NO_RESCUE, "no well has a rescue: its plates lack controls that differ"),
        (CompoundOutcome.SEEN_CONTROLS, "not judged: the model has seen the controls of its plates"),
        (CompoundOutcome.ONE_WELL, "only one well; add replicates"),
        (CompoundOutcome.UNTESTED, "not tested: the controls do not vary"),
        (CompoundOutcome.NO_DIFFERENCE, "no significant difference from the diseased controls (q 0.012, 3 wells)"),
        (CompoundOutcome.WORSENED, "shifts away from health (rescue 60 %, 3 wells)"),
        (CompoundOutcome.UNSURE, "the interval of its rescue includes 0 (50 to 70, 3 wells)"),
    ],
)
def test_reasons_of_compounds(outcome: CompoundOutcome, text: str) -> None:
    assert reason(outcome=outcome).startswith(text)
    assert reason(outcome=outcome).endswith("; dose response with EC50 9.8 (5 to 20)")
    assert "EC50" not in reason(outcome=outcome, ec50=math.nan)


def test_a_hit_without_a_dose_names_none() -> None:
    assert reason(dose=math.nan, ec50=math.nan) == "rescue 60 % (50 to 70), q 0.012, 3 wells"


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (FitProblem.FEW_DOSES, "3 different doses; a curve needs at least 4"),
        (FitProblem.FEW_WELLS, "5 wells; a four-parameter curve needs at least 6"),
        (FitProblem.ALIKE, "all wells have the same response"),
        (FitProblem.NO_FIT, "no curve could be fitted"),
        (FitProblem.FLAT, "no better than a flat line (F test, p 0.5, 5 wells)"),
        (FitProblem.OUTSIDE, "the EC50 lies outside the tested doses"),
    ],
)
def test_notes_of_curves(problem: FitProblem, text: str) -> None:
    assert describe_fit(None) == ""
    assert describe_fit(CurveRefusal(problem, 3, 5, 0.5)) == text
