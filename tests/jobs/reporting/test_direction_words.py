import pandas as pd

from leigh_mlops.jobs.reporting.direction_words import direction_words
from leigh_mlops.jobs.reporting.plate_metrics import plate_metrics
from leigh_mlops.jobs.reporting.screen_notes import describe_outcome
from leigh_mlops.screening.compounds import CompoundOutcome
from leigh_mlops.screening.reference_classes import ReferenceClasses, ReferenceRule, choose_reference_classes

WELLS = {"rescue": [52.0, 0.0], "robust_z": [1.0, 0.0], "cell_share": [1.0, 0.2], "off_axis": [0.0, 4.0]}


def words_of(reference: ReferenceClasses) -> str:
    row = {"outcome": CompoundOutcome.UNSURE, "rescue_low": -5.0, "rescue_high": 60.0, "wells": 3}
    metrics = [f"{metric.title}: {metric.meaning}" for metric in plate_metrics(WELLS, [], reference)]
    return "; ".join([*metrics, describe_outcome(row, direction_words(reference))])


def test_rescue_and_health_are_said_of_a_healthy_class_alone() -> None:
    rescued = words_of(ReferenceClasses("DS", "WT", ReferenceRule.DISEASE_AND_HEALTH))
    assert "Rescue (%)" in rescued
    assert "the healthy controls" in rescued
    assert (
        "way from the diseased controls in all directions but that to the healthy controls, in standard deviations of "
        "control wells"
    ) in rescued
    for rule in ReferenceRule:
        poisoned = words_of(ReferenceClasses("DS", "TT", rule))
        assert "Towards TT (%): 0 is the controls of DS, 100 the controls of TT" in poisoned
        assert "the interval of its shift towards TT includes 0" in poisoned
        assert not [word for word in ("rescue", "health", "diseased") if word in poisoned.lower()]


def test_which_targets_are_healthy() -> None:
    empty = pd.DataFrame(index=range(2))
    controls = pd.DataFrame({"Metadata_Control": ["negcon", "poscon"], "Metadata_Condition": ["A", "B"]})
    found = {
        "only two classes": choose_reference_classes(empty, ["A", "B"]),
        "a healthy one": choose_reference_classes(empty, ["WT", "XX"]),
        "requested": choose_reference_classes(empty, ["A", "B"], target="B"),
        "start requested": choose_reference_classes(empty, ["A", "B"], source="A"),
        "poisoned": choose_reference_classes(empty, ["DS", "TT"], target="TT"),
        "controls": choose_reference_classes(controls, ["A", "B"]),
    }
    assert {name: each.is_to_health for name, each in found.items() if each is not None} == {
        "only two classes": False, "a healthy one": True, "requested": True, "start requested": False,
        "poisoned": False, "controls": True,
    }  # fmt: skip
    healthy = found["a healthy one"]
    assert healthy is not None
    assert (healthy.source, healthy.target) == ("XX", "WT")
