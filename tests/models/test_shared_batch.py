"""Layers of a divided batch; that several processes agree is tested in tests/training/test_divided.py."""

import copy
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import distributed as dist
from torch import nn
from torchvision.ops import StochasticDepth

from leigh_mlops.images import Portion
from leigh_mlops.models.shared_batch import shared_batch, shared_moments

WHOLE = Portion((slice(0, 6),), 6, 6)


@pytest.fixture(autouse=True)
def group(tmp_path: Path) -> Iterator[None]:
    """A process group of this process alone."""
    dist.init_process_group("gloo", store=dist.FileStore(str(tmp_path / "meeting"), 1), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def maps(dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Six maps of three channels, one of which is far from 0."""
    torch.manual_seed(1)
    return (torch.randn(6, 3, 4, 4) + torch.tensor([0.0, 1.0, 100.0])[:, None, None]).to(dtype)


def test_moments_are_those_of_all_maps() -> None:
    variance, mean, count = shared_moments(maps())
    expected = torch.var_mean(maps(), dim=(0, 2, 3), correction=0)
    torch.testing.assert_close((variance, mean), expected)
    assert count == 6 * 16


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_shared_norm_is_pytorchs(dtype: torch.dtype) -> None:
    plain = nn.BatchNorm2d(3)
    nn.init.normal_(plain.weight)
    shared, results = copy.deepcopy(plain), []
    for layer, portion in ((plain, None), (shared, WHOLE)):
        x = maps(dtype).requires_grad_()
        with shared_batch(nn.Sequential(layer), portion):
            y = layer(x)
        (y * torch.linspace(-1, 1, y.numel()).view_as(y).to(dtype)).sum().backward()
        results.append([y, x.grad, layer.weight.grad, layer.bias.grad, *layer.buffers()])
    assert results[1][0].dtype == results[1][1].dtype == dtype
    tolerance = 1e-4 if dtype == torch.float32 else 0.05
    torch.testing.assert_close(results[1], results[0], rtol=tolerance, atol=tolerance)


def test_layers_are_restored_and_evaluation_is_as_ever() -> None:
    network = nn.Sequential(nn.BatchNorm2d(3), nn.Dropout(0.5))
    before = [set(vars(layer)) for layer in network]
    with shared_batch(network, WHOLE):
        assert "forward" in vars(network[0])
        network.eval()
        inside = network(maps())
    assert torch.equal(inside, network(maps()))
    assert [set(vars(layer)) for layer in network] == before


@pytest.mark.parametrize("layer", [nn.Dropout(0.5), StochasticDepth(0.5, "row")])
def test_layers_draw_for_the_whole_batch(layer: nn.Module) -> None:
    x = torch.ones(8, 16)
    torch.manual_seed(0)
    whole = layer(x)
    own = (slice(0, 2), slice(5, 8))
    torch.manual_seed(0)
    with shared_batch(nn.Sequential(layer), Portion(own, 8, 4)):
        part = layer(x[:5])
    assert torch.equal(part, torch.cat([whole[place] for place in own]))
    torch.manual_seed(0)
    assert not torch.equal(part, layer(x[:5]))
