"""Toy models: linear, exactly invertible, float64."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

SHAPE = (2, 3, 3)  # channels, height, width
DIMENSIONS = 18


class Toy(nn.Module):
    """Latents by a well-conditioned linear map of the pixels."""

    def __init__(self, classes):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn(DIMENSIONS, DIMENSIONS, generator=generator, dtype=torch.float64)
        self.register_buffer("matrix", torch.eye(DIMENSIONS, dtype=torch.float64) + 0.1 * noise)
        weight = torch.randn(len(classes), DIMENSIONS, generator=generator, dtype=torch.float64)
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.spec = SimpleNamespace(classes=list(classes), channels=SHAPE[0], image_size=SHAPE[1])
        self.dropout = nn.Dropout(0.5)

    def encode(self, images):
        return self.dropout(images.flatten(1) @ self.matrix.T).view(-1, 9, 2)


class Flow(Toy):
    task = "classify"

    def decode(self, latents):
        return torch.linalg.solve(self.matrix, latents.flatten(1).T).T.view(-1, *SHAPE)

    def classify(self, latents):
        return torch.tanh(latents.flatten(1)) @ self.weight.T

    def forward(self, images):
        return self.classify(self.encode(images))


class Classifier(Toy):
    task = "classify"

    def classify(self, latents):
        return torch.tanh(latents.flatten(1)) @ self.weight.T

    def forward(self, images):
        return self.classify(self.encode(images))


class Coder(Toy):
    task = "reconstruct"

    def decode(self, latents):
        return torch.linalg.solve(self.matrix, latents.flatten(1).T).T.view(-1, *SHAPE)

    def forward(self, images):
        return self.decode(self.encode(images))


@pytest.fixture
def flow():
    return Flow(["DS", "WT"]).eval()


@pytest.fixture
def flow_of_three():
    return Flow(["DS", "TT", "WT"]).eval()


@pytest.fixture
def classifier():
    return Classifier(["DS", "WT"]).eval()


@pytest.fixture
def coder():
    return Coder(["DS", "WT"]).eval()


@pytest.fixture
def images():
    return torch.randn(40, *SHAPE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
