import pytest

from leigh_mlops.jobs.reporting.counterfactual_sentences import describe_counterfactuals


def describe(areas: list[float | None]) -> list[str]:
    """Sentences on typical images towards DS, whose rows of the table have these areas of mitochondria."""
    fields = {"counterfactual_typical_status": ["green"], "counterfactual_target": ["DS"]}
    verdicts = {
        "target": ["DS", "DS"], "images": ["nothing", "typical"], "fields": [1, 1], "empty_fields": [0, 0],
        "unseen": [True, True], "most_oracles": [0.0, 1.0], "realism_auc": [None, None], "oracle_cnn": [0.0, 1.0],
        "area_mitochondria": areas,
    }  # fmt: skip
    sentences, _ = describe_counterfactuals(fields, verdicts)
    return [each for each in sentences if "mitochondria" in each]


def test_places_of_structures_that_the_image_does_not_show_are_no_evidence() -> None:
    (said,) = describe([0.05, 0.2])
    assert said.startswith("Towards DS, the area of mitochondria grows from 5 % to 20 % of the field.")
    assert said.endswith("places cannot.")


@pytest.mark.parametrize("areas", [[0.2, 0.05], [0.2, 0.25], [None, 0.2], [0.2, None]])
def test_structures_that_shrink_or_are_unknown_need_no_such_sentence(areas: list[float | None]) -> None:
    assert describe(areas) == []
