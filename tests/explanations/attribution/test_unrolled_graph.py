"""Explanations of backbones: each method works, or says in one sentence why not."""

import pytest
import torch

from leigh_mlops.errors import LeighError
from leigh_mlops.explanations import select_explainers
from leigh_mlops.explanations.attribution.captum_adapter import feature_layer, unroll
from leigh_mlops.explanations.attribution.gradients import grad_cam, guided_grad_cam
from leigh_mlops.explanations.attribution.lrp import deep_lift, lrp
from leigh_mlops.explanations.attribution.unrolled_graph import UnrolledBackbone
from leigh_mlops.explanations.occlusion.exact import occlusion
from tests.models.test_backbone import build, on_meta

OPAQUE = {"mobilenet_v3_small": "Hardswish", "efficientnet_b0": "SiLU", "swin_t": "GELU"}
RULED = ("alexnet", "squeezenet1_1", "googlenet", "resnet18", "shufflenet_v2_x0_5")
RULES = {"guided_grad_cam", "deep_lift", "lrp"}
BLACK = torch.tensor([-1.0, -0.5], dtype=torch.float64)
TARGET = torch.tensor([1])


@pytest.mark.parametrize("name", [*RULED, *OPAQUE])
def test_maps_of_every_backbone(name: str) -> None:
    model = build(name).double().eval()
    size = model.spec.image_size
    images = torch.randn(1, 2, size, size, dtype=torch.float64)
    chosen = set(select_explainers(model))
    assert {"occlusion", "grad_cam", "integrated_gradients", "smooth_grad", "prediction_difference"} <= chosen
    heat = occlusion(model, images, TARGET, window=size // 2, stride=size // 2)
    covered = images.clone()
    covered[..., : size // 2, : size // 2] = 0
    loss = (model(images) - model(covered))[0, 1]
    torch.testing.assert_close(heat[0, 0, 0], loss, rtol=1e-6, atol=1e-9)
    assert grad_cam(model, images, TARGET).shape == (1, size, size)
    if name in OPAQUE:
        assert not chosen & RULES
        with pytest.raises(LeighError, match=rf"deep_lift has no rule for .*{OPAQUE[name]}.*; take integrated"):
            select_explainers(model, ["deep_lift"])
        return
    assert chosen >= RULES
    chain = unroll(model)
    assert isinstance(chain, UnrolledBackbone)
    torch.testing.assert_close(chain(images), model(images))
    maps, whole = deep_lift(model, images, TARGET, BLACK)
    torch.testing.assert_close(maps.sum(dim=(1, 2)), whole, rtol=1e-5, atol=1e-9)
    relevance, logits = lrp(model, images, TARGET)
    torch.testing.assert_close(logits, model(images)[:, 1])
    for map_ in (relevance, guided_grad_cam(model, images, TARGET)):
        assert map_.shape == (1, size, size)
        assert map_.isfinite().all()


@pytest.mark.parametrize("name", ["resnet18", "googlenet"])
def test_the_last_map_of_an_unrolled_backbone_is_what_is_pooled(name: str) -> None:
    model = build(name).double().eval()
    seen: list[torch.Tensor] = []
    for each in (model, unroll(model)):
        layer = feature_layer(each)
        assert layer is not None
        layer.register_forward_hook(lambda *args: seen.append(args[2]))
        each(torch.ones(1, 2, 32, 32, dtype=torch.float64))
    torch.testing.assert_close(*seen)


def test_a_network_without_a_last_map_says_so() -> None:
    with pytest.raises(LeighError, match="grad_cam needs a last map of features, and backbone names none"):
        select_explainers(on_meta("vit_b_32").eval(), ["grad_cam"])


@pytest.mark.parametrize(("head", "able"), [("logistic", True), ("forest", False)])
def test_a_forest_has_no_gradients(head: str, able: bool) -> None:
    model = build("shufflenet_v2_x0_5", head=head).eval()
    assert ("integrated_gradients" in select_explainers(model)) is able
    assert "occlusion" in select_explainers(model)
    if not able:
        with pytest.raises(LeighError, match="a forest has none; take occlusion or prediction_difference"):
            select_explainers(model, ["grad_cam"])
