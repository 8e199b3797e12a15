import pytest
import torch
from torch import nn

from leigh_mlops.models import build_model
from leigh_mlops.models.fused_network import FusedConvolution, fuse_network
from tests.models.compact import images, trained

STEPS = (nn.Conv2d, nn.BatchNorm2d)


def resnet18():
    """Basic blocks: here the sum's first term is the convolution's, and ReLUs lie between them."""
    torch.manual_seed(0)
    return build_model("backbone", classes=["A", "B"], image_size=32, channels=3, backbone="resnet18").eval()


def count(model, kinds):
    return sum(isinstance(module, kinds) for module in model.modules())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("make", [lambda: trained("resnext"), resnet18, lambda: trained("deepcluster")])
def test_a_fused_network_computes_the_same(make, dtype):
    model, shown = make().to(dtype), images(3, dtype=dtype)
    fused = fuse_network(model)
    assert count(model, STEPS) > 1
    assert count(fused, STEPS) == 0
    assert count(fused, FusedConvolution) == count(model, nn.Conv2d)
    with torch.no_grad():
        expected = model(shown)
        near = 1e-10 if dtype == torch.float64 else 1e-4 * float(expected.abs().max())
        for layout in (torch.contiguous_format, torch.channels_last):
            torch.testing.assert_close(fused(shown.contiguous(memory_format=layout)), expected, rtol=0, atol=near)


def test_the_network_stays_as_it_was():
    model, shown = trained("resnext"), images(2)
    with torch.no_grad():
        expected = model(shown)
        model.train()
        fuse_network(model)(shown)
        assert model.training
        torch.testing.assert_close(model.eval()(shown), expected, rtol=0, atol=0)


class Viewing(nn.Module):
    """A sum, one term of which is needed afterwards, as it is or by a view."""

    def __init__(self, by_view):
        super().__init__()
        self.first, self.second, self.by_view = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3), by_view

    def forward(self, images):
        term = self.first(images)
        kept = term.flatten(2) if self.by_view else term
        return torch.relu(self.second(images) + term).sum(dim=(2, 3)) + kept.flatten(2).sum(dim=2)


@pytest.mark.parametrize("by_view", [False, True])
def test_a_term_of_a_sum_that_is_needed_afterwards_stays(by_view):
    model, shown = Viewing(by_view).eval(), images(2)
    with torch.no_grad():
        torch.testing.assert_close(fuse_network(model)(shown), model(shown))


class Branching(nn.Module):
    """What it computes depends on the values of the image."""

    def forward(self, images):
        return images.mean(dim=(2, 3)) if images.sum() > 0 else images.amax(dim=(2, 3))


def test_a_network_whose_graph_depends_on_values_is_not_fused():
    assert fuse_network(Branching()) is None
