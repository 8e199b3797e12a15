import math
from dataclasses import replace

import pandas as pd

from leigh_mlops.jobs.reporting.screen_summary import summarise_screen
from leigh_mlops.screening.compounds import CompoundOutcome, DoseColumn, UnscoredWells
from leigh_mlops.screening.field_flags import FlagCounts, UnknownPlates
from leigh_mlops.screening.plate_quality import ControlCounts, ControlsFault, ControlsProblem, PlateFlags
from leigh_mlops.screening.reference_classes import ReferenceClasses, ReferenceRule
from leigh_mlops.screening.screen import Screen

HIT = {
    "compound": "good", "dose": 2.0, "wells": 3, "plates": 1, "rescue": 60.2, "rescue_low": 50.1, "rescue_high": 70.4,
    "q": 0.012, "hit": True, "outcome": CompoundOutcome.HIT, "ec50": 9.84, "ec50_low": 5.0, "ec50_high": 20.0,
    "hill": 1.0, "curve_refusal": None,
}  # fmt: skip
PLATE = {
    "Metadata_Plate": "P", "positive_wells": 8, "negative_wells": 6, "z_prime_log_odds": 0.3,
    "robust_z_prime_log_odds": 0.4, "z_prime": 0.9, "ssmd": 4.0
}  # fmt: skip
SCREEN = Screen(
    pd.DataFrame(index=range(40)), pd.DataFrame(), pd.DataFrame(), pd.DataFrame([PLATE]), is_classified=True,
    reference=ReferenceClasses("DS", "WT"), plate_flags={"P": PlateFlags()},
)  # fmt: skip


def said(screened: Screen) -> str:
    return " ".join(summarise_screen(screened).sentences)


def warned(screened: Screen) -> str:
    return " ".join(summarise_screen(screened).warnings)


def compounds(*rows: dict[str, object], **changes: object) -> Screen:
    hits = pd.DataFrame([HIT | row for row in rows or ({},)])
    return replace(SCREEN, hits=hits, dose=DoseColumn("Metadata_uM"), **changes)


def test_a_sound_screen_has_no_warning() -> None:
    found = summarise_screen(SCREEN)
    assert found.warnings == []
    assert found.sentences[0] == "Rescue is measured from DS (0 %) to WT (100 %), as requested."
    assert found.screen.plates["note"].tolist() == [""]
    assert len(found.sentences) == 2


def test_rules_of_the_reference_classes() -> None:
    for rule in ReferenceRule:
        assert f"to WT (100 %), {'as requested' if rule == ReferenceRule.REQUESTED else 'the '}" in said(
            replace(SCREEN, reference=ReferenceClasses("DS", "WT", rule))
        )
    nothing = summarise_screen(replace(SCREEN, reference=None))
    assert nothing.sentences[0].startswith("No rescue: the model has more than two classes")


def test_many_flags_are_a_warning_and_few_a_sentence() -> None:
    few = replace(SCREEN, flags=FlagCounts(40, 4, {"defocus": 4, "empty": 0}))
    assert warned(few) == ""
    assert "4 of 40 fields (10%) are flagged (4 defocus); see the column trust." in said(few)
    many = replace(SCREEN, flags=FlagCounts(40, 5, {"defocus": 4, "saturation": 1}), is_classified=False)
    assert warned(many).startswith("5 of 40 fields (12%) are flagged (4 defocus, 1 saturation): inspect these")
    assert said(many) == ""


def test_plates_unknown_to_the_model() -> None:
    near = replace(SCREEN, unknown_plates=UnknownPlates(("Q",), 17, 1))
    assert warned(near) == ""
    assert "Plate Q is not among those" in said(near)
    assert "1 of 17 control fields there lies farther out than 99% of the training fields" in said(near)
    assert "3 of 20 control fields there lie" in warned(replace(SCREEN, unknown_plates=UnknownPlates(("Q",), 20, 3)))
    lost = warned(replace(SCREEN, unknown_plates=UnknownPlates(("Q", "R"))))
    assert lost.startswith("2 plates (Q, R) are not among those")
    assert "because controls or a latent map are missing" in lost
    swapped = warned(replace(SCREEN, swapped_stains={"Q": (18, 20)}))
    assert swapped.startswith("Plate Q: 18 of 20 fields look as if their channels were in another order")


BALANCE = {"balanced_accuracy": 0.5, "majority_share": 0.8}


def test_confounds_calibration_and_unused_fields() -> None:
    scores = {"accuracy": 1.0, "auc": 0.95, "wells": 15}
    assert "Accuracy on" not in said(replace(SCREEN, confounds={"model": scores}))
    confounded = replace(SCREEN, confounds={"model": scores, "position": scores | {"accuracy": 0.9}})
    assert "the model 1.00 (15 wells that it has not seen); the position on the plate alone 0.90 (15 wells)." in said(
        confounded
    )
    assert "balanced" not in said(confounded)
    balanced = replace(SCREEN, confounds={"model": scores, "position": scores | BALANCE})
    assert "alone 1.00 (balanced 0.50, always the largest class 0.80, 15 wells)." in said(balanced)
    assert warned(confounded).startswith("The position on the plate alone predicts the class (AUC 0.95)")
    calibration = {"temperature": 2.0, "ece_before": 0.1, "ece_after": 0.02, "wells": 30}
    told = said(replace(SCREEN, calibration=calibration))
    assert (
        "On 30 validation wells, the model's confidence was off by 10.0 percentage points on average, and by 2.0"
        in told
    )
    assert "so it could not be calibrated." in said(replace(SCREEN, calibration=calibration | {"temperature": 1}))
    assert "2 of 40 fields are left out of every score (excluded, out of focus or empty)." in said(
        replace(SCREEN, out=pd.Series([True, False, True]))
    )


def test_controls_that_the_model_has_seen() -> None:
    left_out = said(replace(SCREEN, controls=ControlCounts(others=6, left_out=2)))
    assert "on 2 of 6 control wells; these are left out, and rescue is measured with the remaining 4." in left_out
    seen = replace(SCREEN, controls=ControlCounts(("P",), used=6, seen=2), plate_flags={"P": PlateFlags(seen=True)})
    assert "on 2 of the 6 control wells of P, which leaves fewer than 2 unseen ones" in warned(seen)
    assert summarise_screen(seen).screen.plates["note"].iloc[0].startswith("The model has seen its controls: Z'")


def test_a_note_is_a_warning_about_its_plate() -> None:
    flags = PlateFlags(ControlsProblem(ControlsFault.REVERSED, 8, 8))
    found = summarise_screen(replace(SCREEN, plate_flags={"P": flags}))
    note = "Wells of WT score no higher than those of DS: no rescue."
    assert found.screen.plates["note"].tolist() == [note]
    assert found.warnings == [f"Plate P: {note}"]


def test_many_plates_do_not_fill_the_page() -> None:
    plates = pd.DataFrame(
        [PLATE | {"Metadata_Plate": f"P{number}", "z_prime_log_odds": number / 10} for number in range(9)]
    )
    many = replace(SCREEN, plates=plates, plate_flags={f"P{number}": PlateFlags() for number in range(9)})
    lines = summarise_screen(many).sentences[1:]
    assert len(lines) == 5
    assert lines[0] == (
        "Plate P0: Z' of log-odds 0.00 (robust 0.40, of probabilities 0.90), SSMD 4.0, from 8 wells of WT and 6 of DS; "
        "the bands of three standard deviations around the controls overlap."
    )
    assert lines[-1] == "For 5 further plates, see plates.csv."
    assert "SSMD" not in said(replace(many, plates=plates.assign(ssmd=math.nan)))


def test_compounds_are_summed_up() -> None:
    inert = {"compound": "inert", "outcome": CompoundOutcome.NO_DIFFERENCE, "hit": False, "q": 0.9, "wells": 6}
    lost = {"compound": "lost", "outcome": CompoundOutcome.NO_RESCUE, "hit": False, "q": math.nan, "wells": 0}
    found = summarise_screen(compounds({}, inert, lost))
    assert found.screen.hits["curve_note"].tolist() == [""] * 3
    assert not {"outcome", "curve_refusal"} & set(found.screen.hits)
    lines = found.sentences
    assert lines[0].startswith(
        "1 of 2 compounds is a hit at a false discovery rate of 5%: good (rescue 60 % (50 to 70)"
    )
    assert lines[1] == "1 further compound could not be judged; see hits.csv."
    assert lines[2].startswith("Intervals of 1 compound with two or three wells")
    assert lines[3].startswith("2 of 2 compounds have a dose response with an EC50, in the unit of uM.")
    assert summarise_screen(compounds(lost)).sentences[0].startswith("No compound could be judged")


def test_doses_in_doubt_and_wells_without_a_score() -> None:
    doubt = replace(compounds(), dose=DoseColumn(None, ("Metadata_a", "Metadata_b")))
    assert warned(doubt) == "Doses may be in Metadata_a or Metadata_b; choose a column with --doses."
    lost = warned(compounds(unscored=UnscoredWells(3, 2)))
    assert "No rescue for 3 treated wells: the plate lacks controls that differ" in lost
    assert "2 wells of compounds with doses have no dose, or dose 0;" in lost
