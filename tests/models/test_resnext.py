from urllib.error import URLError

import pytest
import torch
from torchvision.models import resnext50_32x4d

from leigh_mlops.errors import LeighError
from leigh_mlops.models import build_model, load_imagenet_weights, resnext
from tests.models.compact import compact

CLASSES = ("DS", "WT")


@pytest.fixture(scope="module")
def fetched():
    return resnext50_32x4d(weights=None).state_dict()


def test_weights_that_cannot_be_fetched_say_what_to_do(monkeypatch):
    def offline(*args, **kwargs):
        raise URLError("no route to host")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", offline)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    with pytest.raises(LeighError, match=r"could not be fetched .*no route") as caught:
        load_imagenet_weights(build_model("resnext", classes=CLASSES, image_size=32))
    for remedy in ("connect to the internet once", "resnext50_32x4d-", "checkpoints", "FILE.safetensors", "random"):
        assert remedy in str(caught.value)


def test_all_but_the_head_is_copied(monkeypatch, fetched):
    monkeypatch.setattr(resnext, "_fetch", lambda: fetched)
    model = build_model("resnext", classes=CLASSES, image_size=32)
    head = {name: tensor.clone() for name, tensor in model.head.state_dict().items()}
    assert not torch.equal(model.features.conv1.weight, fetched["conv1.weight"])
    load_imagenet_weights(model)
    assert torch.equal(model.features.conv1.weight, fetched["conv1.weight"])
    assert all(torch.equal(tensor, head[name]) for name, tensor in model.head.state_dict().items())


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_a_grey_image_is_answered_alike_with_other_channels(monkeypatch, fetched, channels):
    monkeypatch.setattr(resnext, "_fetch", lambda: fetched)
    models = [build_model("resnext", classes=CLASSES, image_size=32, channels=count) for count in (3, channels)]
    for model in models:
        load_imagenet_weights(model)
    grey = torch.rand(1, 1, 32, 32)
    answers = [model.features.conv1(grey.expand(-1, model.spec.channels, -1, -1)) for model in models]
    torch.testing.assert_close(answers[1], answers[0], rtol=1e-4, atol=1e-5)


def test_two_channels_stand_beside_their_combination(monkeypatch, fetched):
    monkeypatch.setattr(resnext, "_fetch", lambda: fetched)
    three, two = (build_model("resnext", classes=CLASSES, image_size=32, channels=count) for count in (3, 2))
    for model in (three, two):
        load_imagenet_weights(model)
    images = torch.rand(1, 2, 32, 32)
    combined = torch.cat([images, images.mean(dim=1, keepdim=True)], dim=1)
    torch.testing.assert_close(two.features.conv1(images), three.features.conv1(combined), rtol=1e-4, atol=1e-5)
    swapped = torch.cat([images.flip(1), images.mean(dim=1, keepdim=True)], dim=1)
    assert not torch.allclose(two.features.conv1(images), three.features.conv1(swapped), atol=1e-2)


@pytest.mark.parametrize("family", ["resnext", "autoencoder"])
def test_another_architecture_has_no_imagenet_weights(family):
    with pytest.raises(LeighError, match="take that architecture or train with --init random"):
        load_imagenet_weights(compact(family))
