"""Every backbone keeps the contract at the smallest size that it takes."""

import pytest
import torch

from leigh_mlops.errors import LeighError
from leigh_mlops.models import Network, build_model, load_model, save_model
from leigh_mlops.models.backbone import Backbone

CLASSES = ("DS", "TT", "WT")
SIZES = {
    "alexnet": 64, "squeezenet1_1": 32, "densenet121": 32, "googlenet": 32, "mobilenet_v3_small": 32, "mnasnet0_5": 32,
    "shufflenet_v2_x0_5": 32, "efficientnet_b0": 32, "regnet_x_400mf": 32, "resnet18": 32, "convnext_tiny": 32,
    "swin_t": 32,
}  # fmt: skip
backbones = pytest.mark.parametrize("name", SIZES)


def build(name: str, *, channels: int = 2, **architecture: object) -> Network:
    torch.manual_seed(0)
    return build_model(
        "backbone", classes=CLASSES, image_size=SIZES.get(name, 224), channels=channels, backbone=name, **architecture
    )


def on_meta(name: str, size: int = 224, **architecture: object) -> Network:
    with torch.device("meta"):
        return build_model(
            "backbone", classes=CLASSES, image_size=size, channels=2, backbone=name, **architecture
        )  # fmt: skip


@backbones
def test_a_backbone_classifies_by_its_features_and_learns_in_every_part(name: str) -> None:
    model = build(name)
    size, called = model.spec.image_size, []
    images = torch.randn(2, 2, size, size).requires_grad_()
    stages = model.stages()
    for number, stage in enumerate(stages):
        for module in stage:
            module.register_forward_hook(lambda *_, number=number: called.append(number))
    last = model.last_map()
    assert last is not None
    maps: list[torch.Tensor] = []
    last.register_forward_hook(lambda *args: maps.append(args[2]))
    features = model.eval().encode(images)
    assert features.shape == (2, model.head.in_features)
    assert maps[0].shape[0] == 2
    assert maps[0].shape[1] in (features.shape[1], features.shape[1] // 2)
    assert called == sorted(called)
    assert set(called) == set(range(len(stages) - 1))
    logits = model(images)
    assert torch.equal(logits, model.classify(features))
    assert logits.shape == (2, 3)
    logits.square().sum().backward()
    assert images.grad is not None
    assert images.grad.abs().max() > 0
    assert all(parameter.grad is not None for parameter in model.parameters())
    parameters = [id(each) for stage in stages for module in stage for each in module.parameters()]
    assert sorted(parameters) == sorted(map(id, model.parameters()))


@pytest.mark.parametrize("name", ["vgg16_bn", "vit_b_16", "inception_v3"])
def test_the_largest_are_built_without_memory(name: str) -> None:
    model = on_meta(name).eval()
    assert model(torch.empty(1, 2, 224, 224, device="meta")).shape == (1, 3)
    parameters = [id(each) for stage in model.stages() for module in stage for each in module.parameters()]
    assert sorted(parameters) == sorted(map(id, model.parameters()))


def test_a_saved_backbone_computes_the_same_bits(tmp_path) -> None:
    model, images = build("mobilenet_v3_small", head="published").eval(), torch.randn(2, 2, 32, 32)
    save_model(model, tmp_path)
    loaded = load_model(tmp_path)
    assert loaded.spec == model.spec
    assert torch.equal(loaded(images), model(images))
    save_model(build("shufflenet_v2_x0_5"), tmp_path / "other")
    (tmp_path / "other" / "weights.safetensors").replace(tmp_path / "weights.safetensors")
    with pytest.raises(LeighError, match="does not belong to its"):
        load_model(tmp_path)


def test_hidden_layers_of_the_published_head_are_a_choice() -> None:
    linear, published = on_meta("alexnet"), on_meta("alexnet", head="published")
    assert isinstance(linear, Backbone)
    assert [model.head.in_features for model in (linear, published)] == [256, 4096]
    assert len(published.stages()) == len(linear.stages()) + 1
    with pytest.raises(LeighError, match="squeezenet1_1 does not end with a linear layer; set head to linear"):
        on_meta("squeezenet1_1", head="published")


@pytest.mark.parametrize(
    ("name", "size", "said"),
    [
        ("inception_v3", 64, "does not take images of 64 pixels; set image_size to 96"),
        ("maxvit_t", 192, "set image_size to 224"),
        ("resnet19", 64, r"backbone is 'resnet19'; choose a classifier of torchvision \(alexnet, .*or timm:NAME"),
    ],
)
def test_a_name_or_size_that_does_not_fit_is_refused_in_one_sentence(name: str, size: int, said: str) -> None:
    with pytest.raises(LeighError, match=said):
        on_meta(name, size)


def test_without_timm_its_networks_are_refused_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leigh_mlops.models.trunk.find_spec", lambda name: None)
    with pytest.raises(LeighError, match=r"timm is not installed; install leigh_mlops\[timm\]"):
        on_meta("timm:resnet10t")
