import pytest
import torch

from leigh_mlops.models import build_model
from leigh_mlops.models.invertible import LipschitzConv2d

CLASSES = ("DS", "TT", "WT")


def published(family):
    with torch.device("meta"):
        return build_model(family, classes=CLASSES).train(False)


@pytest.fixture
def no_norms(monkeypatch):
    """Norms can't converge without numbers."""
    monkeypatch.setattr(LipschitzConv2d, "certify", lambda self: None)


@pytest.mark.parametrize(
    ("family", "latent", "output"),
    [
        ("resnext", (2048,), (3,)),
        ("autoencoder", (2, 7, 7), (3, 224, 224)),
        ("iresnet", (2048, 14, 14), (3,)),
    ],
)
def test_published_shapes(family, latent, output, no_norms):
    model, x = published(family), torch.empty(2, 3, 224, 224, device="meta")
    assert model.encode(x).shape == (2, *latent)
    assert model(x).shape == (2, *output)


@pytest.mark.parametrize(
    ("family", "parameters"), [("resnext", 23_530_451), ("autoencoder", 116_197), ("iresnet", 73_918_259)]
)
def test_published_sizes(family, parameters, no_norms):
    assert sum(parameter.numel() for parameter in published(family).parameters()) == parameters
