import itertools
import math

import pytest
import torch
from captum.attr import Occlusion
from torch import nn

from leigh_mlops.errors import LeighError
from leigh_mlops.explanations.occlusion.exact import occlusion, occlusion_with_budget
from leigh_mlops.models import build_model

COMPACT = {
    "resnext": {"layers": [2, 1, 1, 1], "groups": 2, "width_per_group": 4},
    "iresnet": {"blocks": [1, 2], "widths": [6, 8]},
}


class Pooling(nn.Module):
    """Two logits: the brightness of the first channel, and of the square of the second."""

    def encode(self, images):
        return torch.stack([images[:, 0], images[:, 1] ** 2], dim=1)

    def classify(self, latents):
        return latents.sum(dim=(2, 3))

    def forward(self, images):
        return self.classify(self.encode(images))


def slow_occlusion(model, images, target, window, stride, baseline, channel=slice(None)):
    """One window and one image at a time; captum cuts the last window at the edge."""
    n, _, height, width = images.shape
    maps, covers = torch.zeros(n, height, width).double(), torch.zeros(height, width)
    tops, lefts = (range(0, math.ceil((side - window) / stride) * stride + 1, stride) for side in (height, width))
    for top, left in itertools.product(tops, lefts):
        place = (slice(top, top + window), slice(left, left + window))
        covers[place] += 1
        for i in range(n):
            covered = images[i].clone()
            covered[channel, *place] = baseline.view(-1, 1, 1)[channel]
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
    torch.testing.assert_close(maps, expected, rtol=0, atol=1e-10)


def network(family):
    torch.manual_seed(0)
    model = build_model(family, classes=["DS", "WT"], image_size=32, channels=2, **COMPACT[family])
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
    return model.double().eval()


def drawn(n, *sides):
    return torch.randn(n, 2, *sides, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize(("window", "stride"), [(5, 5), (7, 6), (32, 32)])
@pytest.mark.parametrize("channel", [slice(None), 0, 1])
@pytest.mark.parametrize("family", COMPACT)
@torch.no_grad()
def test_networks_agree_with_a_loop(family, channel, window, stride):
    model, images, target = network(family), drawn(2, 32, 32), torch.tensor([1, 0])
    baseline = torch.tensor([-0.5, 0.25], dtype=torch.float64)
    expected = slow_occlusion(model, images, target, window, stride, baseline, channel)
    chosen = {} if channel == slice(None) else {"channel": channel}
    maps = occlusion(model, images, target, window=window, stride=stride, baseline=baseline, **chosen)
    assert expected.abs().amin() > 1e-8
    torch.testing.assert_close(maps, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("sides", [(32, 32), (33, 47)])
@torch.no_grad()
def test_agrees_with_captum(sides):
    model, images, target = network("resnext"), drawn(1, *sides), torch.tensor([1])
    # Captum has maps in float32 also of images in float64.
    expected = Occlusion(model).attribute(images, (2, 9, 9), strides=(2, 4, 4), baselines=0.5, target=target)
    maps = occlusion(model, images, target, window=9, stride=4, baseline=0.5)
    torch.testing.assert_close(maps.float(), expected.mean(dim=1), rtol=0, atol=1e-6 * float(expected.abs().max()))


@pytest.mark.parametrize("family", COMPACT)
def test_a_network_in_training_is_left_so_and_the_image_as_it_was(family):
    model, images = network(family), drawn(1, 32, 32)
    expected = occlusion(model, images, torch.tensor([0]))
    before = images.clone()
    maps = occlusion(model.train(), images, torch.tensor([0]))
    torch.testing.assert_close(maps, expected, rtol=0, atol=1e-10)
    assert model.training
    assert not maps.requires_grad
    assert torch.equal(images, before)


def test_channels_of_a_network_that_adds_them():
    images = torch.rand(1, 2, 8, 8, dtype=torch.float64)
    both = occlusion(Pooling(), images, torch.tensor([0]), window=2, stride=2)
    first, second = (occlusion(Pooling(), images, torch.tensor([0]), window=2, stride=2, channel=c) for c in (0, 1))
    assert not second.any()
    torch.testing.assert_close(first, both)


def test_within_a_budget_for_all_windows_is_exact():
    model, images, target = network("resnext"), drawn(2, 32, 32), torch.tensor([0, 1])
    coarse = occlusion_with_budget(model, images, target, budget=36, window=7, stride=5)
    torch.testing.assert_close(coarse.map, occlusion(model, images, target, window=7, stride=5), rtol=0, atol=1e-10)
    assert coarse.evaluations.tolist() == [36, 36]
    assert coarse.agreement.tolist() == [1.0, 1.0]


def test_within_a_budget_a_bright_spot_is_found_and_a_dark_image_has_none():
    images = torch.zeros(2, 2, 32, 32)
    images[1, 0, 20:23, 5:8] = 1.0
    coarse = occlusion_with_budget(Pooling(), images, torch.tensor([0, 0]), budget=100, window=2, stride=2)
    assert not coarse.map[0].any()
    assert coarse.agreement[0].isnan()
    assert coarse.map[1].argmax() // 32 in range(20, 23)
    assert coarse.map[1].argmax() % 32 in range(4, 8)
    assert (coarse.evaluations <= 100).all()


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
    with pytest.raises(LeighError, match="Channel 2 does not exist in images of 2; give 0 to 1"):
        occlusion(Pooling(), images, target, window=3, channel=2, stride=1)
    with pytest.raises(LeighError, match="budget of 20 evaluations is too small; give at least 50"):
        occlusion_with_budget(Pooling(), torch.zeros(1, 2, 16, 16), target, budget=20, window=1, stride=1)
    with pytest.raises(LeighError, match="cannot classify; take a model of the family resnext or iresnet"):
        occlusion(coder, images, target, window=3, stride=1)
