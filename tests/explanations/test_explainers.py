import pytest
import torch

from leigh_mlops.errors import LeighError
from leigh_mlops.explanations import EXPLAINERS, default_explainers, select_explainers
from leigh_mlops.explanations.attribution.gradients import guided_grad_cam
from tests.explanations.tiny import tiny_iresnet, tiny_resnext
from tests.models.compact import compact, images

BY_GRADIENTS_OR_WINDOWS = (
    "occlusion", "occlusion_channels", "integrated_gradients", "smooth_grad", "deep_lift", "prediction_difference",
)  # fmt: skip


def test_a_model_is_served_with_what_it_can(flow, classifier, coder):
    assert select_explainers(classifier) == BY_GRADIENTS_OR_WINDOWS
    assert select_explainers(flow) == ("counterfactual", *BY_GRADIENTS_OR_WINDOWS, "reconstruction", "interpolation")
    assert select_explainers(coder) == ("reconstruction", "interpolation")
    assert select_explainers(coder, ["interpolation"]) == ("interpolation",)


def test_defaults_can_be_served(flow, classifier, coder):
    assert default_explainers(flow) == ("counterfactual",)
    assert default_explainers(classifier) == ("occlusion",)
    assert default_explainers(coder) == ("reconstruction", "interpolation")
    for model in (flow, classifier, coder):
        assert set(default_explainers(model)) <= set(select_explainers(model))


def test_clusters_of_any_trunk_are_explained_by_what_fits_it():
    found = {}
    for name in ("resnet18", "convnext_tiny"):
        model = compact("deepcluster", backbone=name, sobel=True).eval()
        found[name] = default_explainers(model)
    assert found == {"resnet18": ("grad_cam", "guided_grad_cam"), "convnext_tiny": ("grad_cam",)}
    model = compact("deepcluster", backbone="resnet18", sobel=True).eval()
    maps = guided_grad_cam(model, images(2), torch.tensor([0, 3]))
    assert maps.shape == (2, 32, 32)
    assert maps.abs().max() > 0


def test_names_that_do_not_exist_or_do_not_fit(classifier):
    with pytest.raises(LeighError, match="Unknown explanation 'gradcam'; choose from counterfactual, occlusion"):
        select_explainers(classifier, ["gradcam"])
    with pytest.raises(LeighError, match=r"counterfactual needs .* cannot decode; take a model of the family iresnet"):
        select_explainers(classifier, ["counterfactual"])


def test_every_family_says_in_one_sentence_what_does_not_fit_it_and_what_to_take():
    resnext, iresnet = tiny_resnext(), tiny_iresnet()
    assert set(select_explainers(resnext)) == {name for name, needs in EXPLAINERS.items() if needs == ("classify",)}
    assert set(EXPLAINERS) - set(select_explainers(iresnet)) == {"lrp", "guided_grad_cam"}
    for name, said in {
        "lrp": r"lrp has no rule for the layers Squeeze, .*ELU.* of iresnet; take deep_lift or integrated_gradients\.",
        "guided_grad_cam": r"changes the gradients of ReLUs alone, and iresnet has ELU; take grad_cam or smooth_grad\.",
    }.items():
        assert select_explainers(resnext, [name]) == (name,)
        with pytest.raises(LeighError, match=said):
            select_explainers(iresnet, [name])


def test_a_network_that_names_no_feature_map_has_no_grad_cam(flow):
    with pytest.raises(LeighError, match="grad_cam needs a last map of features, and Flow names none"):
        select_explainers(flow, ["grad_cam"])
