import pytest

from leigh_mlops.errors import LeighError
from leigh_mlops.explanations import EXPLAINERS, default_explainers, explainers_for


def test_a_model_is_served_with_what_it_can(flow, classifier, coder):
    assert explainers_for(flow) == tuple(EXPLAINERS)
    assert explainers_for(classifier) == ("occlusion",)
    assert explainers_for(coder) == ("reconstruction", "interpolation")
    assert explainers_for(coder, ["interpolation"]) == ("interpolation",)


def test_defaults_can_be_served(flow, classifier, coder):
    assert default_explainers(flow) == ("counterfactual",)
    assert default_explainers(classifier) == ("occlusion",)
    assert default_explainers(coder) == ("reconstruction", "interpolation")
    for model in (flow, classifier, coder):
        assert set(default_explainers(model)) <= set(explainers_for(model))


def test_names_that_do_not_exist_or_do_not_fit(classifier):
    with pytest.raises(LeighError, match="Unknown explanation 'gradcam'; choose from counterfactual, occlusion"):
        explainers_for(classifier, ["gradcam"])
    with pytest.raises(LeighError, match=r"counterfactual needs .* cannot decode; take a model of the family iresnet"):
        explainers_for(classifier, ["counterfactual"])
