from leigh_mlops.jobs.reporting.set_sentences import describe_set, describe_sets
from leigh_mlops.screening.class_sets import SetCounts

COUNTS = SetCounts(0.9, 9, {"DS": 12, "WT": 14}, single=80, several=12, empty=4)


def said(counts: SetCounts | None) -> str:
    return " ".join(describe_sets(counts))


def test_nothing_is_said_where_nothing_is_classified() -> None:
    assert said(None) == ""


def test_sets_are_counted_with_their_coverage_and_its_wells() -> None:
    assert said(COUNTS) == (
        "Prediction sets contain the true class of 90 % of wells like those that calibrate them (validation wells, DS "
        "12, WT 14): 80 of 96 wells have one class; of 16 the model can't say (12 resemble more than one class, 4 "
        "none)."
    )
    own = SetCounts(0.9, 9, {}, plates=("P", "Q"), single=1, labelled=40, covered=35)
    assert "(unseen controls of P, Q, for these plates): 1 of 1 well" in said(own)
    assert said(own).endswith("contain the label of 35 of 40 labelled wells that the model has not seen.")


def test_too_few_wells_of_a_class_are_the_reason_for_no_set() -> None:
    few = said(SetCounts(0.9, 9, {"DS": 8, "WT": 14}, lacking=96))
    assert few.startswith(
        "No prediction set for 96 wells: a coverage of 90 % takes at least 9 validation wells of each class, and the "
        "model has DS 8, WT 14; train with more of them (--shares)"
    )
    assert "the model is of an earlier version" in said(SetCounts(0.9, 9, {}, lacking=96))


def test_a_set_of_one_class_is_an_answer() -> None:
    texts = [describe_set(each) for each in ("DS", "DS; WT", "DS; TT; WT", "", None)]
    assert texts == ["DS", "can't say (DS or WT)", "can't say (DS or TT or WT)", "can't say (no class)", None]
