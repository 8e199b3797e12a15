"""Tiny networks, exact in float64, whose explanations can be worked out."""

from types import SimpleNamespace

import torch
from torch import nn

from leigh_mlops.models import build_model


class Spot(nn.Module):
    """Two logits: the light in the lower right quarter of the first channel, by a convolution, and nothing."""

    task = "classify"

    def __init__(self, size=8):
        super().__init__()
        self.conv, self.relu = nn.Conv2d(2, 3, 3, padding=1), nn.ReLU()
        self.linear = nn.Linear(3 * size * size, 2)
        with torch.no_grad():
            self.conv.weight.zero_()
            self.conv.weight[0, 0, 1, 1] = self.conv.weight[1, 1, 1, 1] = 1
            self.conv.bias.zero_()
            self.linear.weight.zero_()
            self.linear.bias.zero_()
            self.linear.weight[0].view(3, size, size)[0, size // 2 :, size // 2 :] = 1
        self.spec = SimpleNamespace(classes=("lit", "dark"), family="spot", channels=2, image_size=size)
        self.double().eval()

    def stages(self):
        return [[self.conv, self.relu], [self.linear]]

    def last_map(self):
        return self.relu

    def encode(self, images):
        return self.relu(self.conv(images))

    def classify(self, latents):
        return self.linear(latents.flatten(1))

    def forward(self, images):
        return self.classify(self.encode(images))


def tiny_resnext(size=32, channels=2):
    """A ResNeXt in float64 whose normalisations have seen images."""
    torch.manual_seed(0)
    model = build_model(
        "resnext", classes=["DS", "TT"], image_size=size, channels=channels, layers=[1, 1, 1, 1], groups=2,
        width_per_group=4,
    ).double()  # fmt: skip
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.weight.uniform_(0.5, 1.5)
                layer.bias.normal_(0, 0.1)
        for _ in range(20):
            model(torch.randn(8, channels, size, size, dtype=torch.float64))
    return model.eval()


def tiny_iresnet(size=32, channels=2):
    torch.manual_seed(0)
    return build_model(
        "iresnet", classes=["DS", "TT"], image_size=size, channels=channels, blocks=(1, 1), widths=(8, 8)
    ).eval()


def pictures(n=4, channels=2, size=32, seed=3):
    return torch.randn(n, channels, size, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
