import pytest
import torch

from leigh_mlops.errors import LeighError
from leigh_mlops.explanations import EXPLAINERS, Context, class_means, default_explainers, explainers_for


@pytest.mark.parametrize("name", EXPLAINERS)
def test_every_explainer_keeps_the_contract(name, flow, images):
    context = Context(means=class_means(flow, [(images, torch.arange(40) % 2)]), window=2, stride=1, steps=3)
    explainer = EXPLAINERS[name]
    assert explainer.name == name
    assert set(explainer.needs) <= {"encode", "decode", "classify"}
    flow.train()
    found = explainer.explain(flow, images[:5], context)
    assert flow.training
    assert name in found
    for value in found.values():
        assert len(value) == 5
        assert not value.requires_grad
    alone = explainer.explain(flow, images[4:5], context)
    torch.testing.assert_close(found[name][4:], alone[name])


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


def test_occlusion_explains_the_prediction_unless_told_otherwise(flow, images):
    explain = EXPLAINERS["occlusion"].explain
    predicted = explain(flow, images, Context(window=2, stride=1))
    assert torch.equal(predicted["target"], flow(images).argmax(dim=1))
    assert set(explain(flow, images, Context(window=2, stride=1, target="WT"))["target"].tolist()) == {1}


def test_reconstruction_and_its_error(coder, images):
    found = EXPLAINERS["reconstruction"].explain(coder, images, Context())
    torch.testing.assert_close(found["reconstruction"], images)
    assert found["error"].max() < 1e-12
