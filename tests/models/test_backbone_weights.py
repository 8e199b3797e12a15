from urllib.error import URLError

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import resnet18

from leigh_mlops.errors import LeighError
from leigh_mlops.models import Network, build_model, fetch_imagenet_weights, initialise, load_imagenet_weights


def build(name: str = "resnet18", channels: int = 2) -> Network:
    return build_model("backbone", classes=["DS", "WT"], image_size=64, channels=channels, backbone=name)


@pytest.fixture(scope="module")
def published() -> dict[str, torch.Tensor]:
    return resnet18(weights=None).state_dict()


def test_all_below_the_head_is_copied_and_a_grey_image_is_answered_alike(monkeypatch, published) -> None:
    monkeypatch.setattr("torchvision.models._api.WeightsEnum.get_state_dict", lambda *_, **__: published)
    three, two = build(channels=3), build()
    head = two.head.weight.clone()
    grey = torch.rand(1, 1, 64, 64)
    answers = [model.eval().encode(grey.expand(-1, model.spec.channels, -1, -1)) for model in (three, two)]
    assert not torch.allclose(*answers, rtol=1e-3, atol=1e-4)
    for model in (three, two):
        load_imagenet_weights(model)
    assert torch.equal(two.features.layer4[1].conv2.weight, published["layer4.1.conv2.weight"])
    assert torch.equal(two.head.weight, head)
    answers = [model.eval().encode(grey.expand(-1, model.spec.channels, -1, -1)) for model in (three, two)]
    torch.testing.assert_close(*answers, rtol=1e-4, atol=1e-4)


def test_a_file_with_published_names_fits_any_number_of_channels(tmp_path, published) -> None:
    save_file(published, tmp_path / "resnet18.safetensors")
    model = build()
    done = initialise(model, tmp_path / "resnet18.safetensors")
    assert set(done.left) == {"head.weight", "head.bias"}
    assert torch.equal(model.features.layer1[0].conv1.weight, published["layer1.0.conv1.weight"])


def test_weights_that_cannot_be_fetched_say_what_to_do(monkeypatch) -> None:
    def offline(*args, **kwargs):
        raise URLError("no route to host")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    with pytest.raises(LeighError, match=r"could not be fetched .*no route.*put resnet18-.*checkpoints"):
        fetch_imagenet_weights(build())


def test_kernels_of_a_network_that_scales_its_input_are_scaled(monkeypatch) -> None:
    model = build("googlenet", channels=3)
    state = {name: tensor.clone() for name, tensor in model.features.state_dict().items()}
    state |= {"aux1.fc1.weight": torch.zeros(1), "fc.weight": torch.zeros(1)}
    monkeypatch.setattr("torchvision.models._api.WeightsEnum.get_state_dict", lambda *_, **__: state)
    load_imagenet_weights(model)
    factors = model.features.conv1.conv.weight / state["conv1.conv.weight"]
    torch.testing.assert_close(factors.mean(dim=(0, 2, 3)), torch.tensor([0.458, 0.448, 0.45]))
