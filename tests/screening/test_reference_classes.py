import pandas as pd
import pytest

from leigh_mlops.errors import LeighError
from leigh_mlops.screening.reference_classes import (
    ReferenceRule,
    choose_reference_classes,
    control_roles,
)


def wells(**columns: list[object]) -> pd.DataFrame:
    return pd.DataFrame({f"Metadata_{name}": pd.Series(values, dtype=object) for name, values in columns.items()})


NOTHING = wells(Condition=["DS", "WT"])


def test_disease_to_health_by_default() -> None:
    found = choose_reference_classes(NOTHING, ("TT", "WT", "DS"))
    assert found is not None
    assert (found.source, found.target) == ("DS", "WT")
    assert found.rule == ReferenceRule.DISEASE_AND_HEALTH


def test_controls_say_it_before_the_order_of_the_classes() -> None:
    table = wells(Condition=["B", "A", "A"], Control=["negcon", "poscon", "poscon"])
    found = choose_reference_classes(table, ("A", "B"))
    assert found is not None
    assert (found.source, found.target, found.rule) == ("B", "A", ReferenceRule.CONTROLS)
    plain = choose_reference_classes(table.drop(columns="Metadata_Control"), ("A", "B"))
    assert plain is not None
    assert (plain.source, plain.target, plain.rule) == ("A", "B", ReferenceRule.ONLY_CLASSES)


def test_what_is_asked_for_counts_first() -> None:
    found = choose_reference_classes(NOTHING, ("DS", "TT", "WT"), "WT", "TT")
    assert found is not None
    assert (found.source, found.target, found.rule) == ("WT", "TT", ReferenceRule.REQUESTED)
    one = choose_reference_classes(NOTHING, ("A", "B"), target="A")
    assert one is not None
    assert (one.source, one.target) == ("B", "A")


def test_three_classes_without_names_say_nothing() -> None:
    assert choose_reference_classes(NOTHING, ("A", "B", "C")) is None
    assert choose_reference_classes(NOTHING, ("A", "B", "C"), "A") is None


def test_a_class_that_is_not_the_model_s_is_refused() -> None:
    with pytest.raises(LeighError, match="--rescue-to 'KO' is not a class of the model; choose from DS, WT"):
        choose_reference_classes(NOTHING, ("DS", "WT"), "DS", "KO")
    with pytest.raises(LeighError, match="both 'DS'"):
        choose_reference_classes(NOTHING, ("DS", "WT"), "DS", "DS")


def test_labelled_untreated_wells_are_controls() -> None:
    direction = choose_reference_classes(NOTHING, ("DS", "WT"))
    assert direction is not None
    table = wells(Condition=["DS", "WT", "DS", "DS", None, "TT"], Compound=[None, None, "x", "DMSO", None, None])
    assert control_roles(table, direction).tolist() == ["source", "target", "", "source", "", ""]


def test_named_controls_count_alone() -> None:
    direction = choose_reference_classes(NOTHING, ("DS", "WT"))
    assert direction is not None
    table = wells(
        Condition=["DS", "DS", None, None, "WT", "DS"],
        Control=["negcon", None, "negcon", "poscon", "negcon", "empty"],
    )
    assert control_roles(table, direction).tolist() == ["source", "", "source", "target", "target", ""]


def test_a_rescuer_used_as_positive_control_is_no_diseased_control() -> None:
    direction = choose_reference_classes(NOTHING, ("DS", "WT"))
    assert direction is not None
    table = wells(
        Condition=["DS", "DS", "WT", "DS"], Control=["negcon", "negcon", None, "poscon"],
        Compound=[None, None, None, "rescuer"],
    )  # fmt: skip
    assert control_roles(table, direction).tolist() == ["source", "source", "target", ""]
    assert control_roles(table.iloc[2:], direction).tolist() == ["target", ""]
