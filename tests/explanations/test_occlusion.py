import itertools
import math

import pytest
import torch
from torch import nn

from leigh_mlops.errors import LeighError
from leigh_mlops.explanations.occlusion import occlusion


class Pooling(nn.Module):
    """Two logits: the brightness of the first channel, and of the square of the second."""

    def encode(self, images):
        return torch.stack([images[:, 0], images[:, 1] ** 2], dim=1)

    def classify(self, latents):
        return latents.sum(dim=(2, 3))

    def forward(self, images):
        return self.classify(self.encode(images))


def slow_occlusion(model, images, target, window, stride, baseline):
    """One window and one image at a time; captum cuts the last window at the edge."""
    n, _, height, width = images.shape
    maps, covers = torch.zeros(n, height, width).double(), torch.zeros(height, width)
    tops, lefts = (range(0, math.ceil((side - window) / stride) * stride + 1, stride) for side in (height, width))
    for top, left in itertools.product(tops, lefts):
        place = (slice(top, top + window), slice(left, left + window))
        covers[place] += 1
        for i in range(n):
            covered = images[i].clone()
            covered[:, *place] = baseline.view(-1, 1, 1)
            loss = model(images[i][None]) - model(covered[None])
            maps[i, *place] += loss[0, target[i]]
    return maps / covers


@pytest.mark.parametrize(("window", "stride"), [(1, 1), (3, 2), (4, 3), (5, 5), (7, 4)])
@pytest.mark.parametrize("n", [1, 3])
def test_agrees_with_a_loop(window, stride, n):
    images = torch.randn(n, 2, 7, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    target, baseline = torch.tensor([1, 0, 1])[:n], torch.tensor([-0.5, 0.25], dtype=torch.float64)
    maps = occlusion(Pooling(), images, target, window=window, stride=stride, baseline=baseline)
    expected = slow_occlusion(Pooling(), images, target, window, stride, baseline)
    torch.testing.assert_close(maps, expected.float())


def test_more_images_than_one_pass_holds():
    images = torch.randn(70, 2, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    target = torch.arange(70) % 2
    maps = occlusion(Pooling(), images, target, window=2, stride=2)
    one = occlusion(Pooling(), images[69:], target[69:], window=2, stride=2)
    torch.testing.assert_close(maps[69:], one)


def test_the_bright_spot_is_found_and_a_dark_image_has_none():
    images = torch.zeros(2, 2, 8, 8)
    images[1, 0, 2, 5] = 1.0
    maps = occlusion(Pooling(), images, torch.tensor([0, 0]), window=2, stride=2)
    assert maps.shape == (2, 8, 8)
    assert not maps[0].any()
    assert maps[1].nonzero().tolist() == [[2, 4], [2, 5], [3, 4], [3, 5]]


def test_the_target_decides_what_is_watched():
    images = torch.zeros(1, 2, 4, 4)
    images[0, 1] = 1.0
    assert not occlusion(Pooling(), images, torch.tensor([0]), window=2, stride=2).any()
    assert (occlusion(Pooling(), images, torch.tensor([1]), window=2, stride=2) == 4).all()


def test_what_does_not_fit(coder):
    images, target = torch.zeros(1, 2, 8, 6), torch.tensor([0])
    with pytest.raises(LeighError, match="window of 15 does not fit images of 8 x 6"):
        occlusion(Pooling(), images, target)
    with pytest.raises(LeighError, match="stride of 6 leaves gaps"):
        occlusion(Pooling(), images, target, window=3)
    with pytest.raises(LeighError, match="cannot classify; take a model of the family resnext or iresnet"):
        occlusion(coder, images, target, window=3, stride=1)
