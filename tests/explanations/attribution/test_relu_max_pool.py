import pytest
import torch
from torch import nn

from leigh_mlops.explanations.attribution.relu_max_pool import ReluMaxPool


@pytest.mark.parametrize(
    "pool",
    [
        nn.MaxPool2d(3, 2, 1), nn.MaxPool2d(3, 2), nn.MaxPool2d(3, 2, ceil_mode=True), nn.MaxPool2d(2),
        nn.MaxPool2d(3, 1, 1, ceil_mode=True), nn.MaxPool2d(2, 2, ceil_mode=True),
        nn.MaxPool2d(2, 2, 1, ceil_mode=True),
    ],
)  # fmt: skip
def test_it_is_max_pooling_of_what_is_not_negative(pool: nn.MaxPool2d) -> None:
    for side in range(3, 9):
        images = torch.rand(2, 3, side, side)
        torch.testing.assert_close(ReluMaxPool.like(pool)(images), pool(images))
