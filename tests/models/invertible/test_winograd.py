import pytest
import torch
from torch import nn
from torch.nn import functional as F

from leigh_mlops.models.invertible import LipschitzConv2d, ResidualBlock, lipschitz, winograd
from leigh_mlops.models.invertible.winograd import transform_kernels, winograd_convolution


def drawn(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize("images", [1, 6])
@pytest.mark.parametrize("sides", [(2, 2), (4, 8)])
@pytest.mark.parametrize("tiles_per_pass", [1, 200])
def test_it_convolves(images, sides, tiles_per_pass, monkeypatch):
    monkeypatch.setattr(winograd, "_TILES_PER_PASS", tiles_per_pass)
    x, weight, bias = drawn(images, 3, *sides), drawn(5, 3, 3, 3, seed=1), drawn(5, seed=2)
    assert not torch.allclose(weight, weight.flip(2, 3))
    expected = F.conv2d(x, weight, bias, padding=1)
    torch.testing.assert_close(winograd_convolution(x, transform_kernels(weight), bias), expected)


def test_its_gradient_is_that_of_the_convolution():
    x, weight, bias = drawn(2, 3, 4, 6).requires_grad_(), drawn(5, 3, 3, 3, seed=1), drawn(5, seed=2)
    back = drawn(2, 5, 4, 6, seed=3)
    (expected,) = torch.autograd.grad(F.conv2d(x, weight, bias, padding=1), x, back)
    (gradient,) = torch.autograd.grad(winograd_convolution(x, transform_kernels(weight), bias), x, back)
    torch.testing.assert_close(gradient, expected)


@pytest.fixture
def block(monkeypatch):
    """A block whose outer convolutions are large enough, and x (N, C, S, S)."""
    torch.manual_seed(0)
    options = {"map_size": 6, "lipschitz": 0.8, "power_iterations": 1, "name": "block"}
    made, x = ResidualBlock(8, 16, **options).eval(), drawn(3, 8, 6, 6, dtype=torch.float32)
    assert not made.branch[0].is_winograd_faster(x)
    direct = made(x)
    monkeypatch.setattr(lipschitz, "_WINOGRAD_CHANNELS", 8 * 16)
    assert made.branch[0].is_winograd_faster(x)
    return made, x, direct


def test_large_convolutions_use_it_in_eval_mode_alone(block):
    made, x, direct = block
    torch.testing.assert_close(made(x), direct, rtol=1e-5, atol=1e-5)
    assert not torch.equal(made(x), direct)
    for other in (x.double(), x.bfloat16()):
        assert not made.branch[0].is_winograd_faster(other)
    with torch.autocast("cpu", torch.bfloat16):
        assert not made.branch[0].is_winograd_faster(x)
    assert not made.train().branch[0].is_winograd_faster(x)


def test_the_inverse_is_as_exact(block):
    made, x, _ = block
    found = made.inverse(made(x).detach())
    torch.testing.assert_close(found.x, x, rtol=0, atol=1e-5)
    assert found.iterations.max() < 20


def test_new_weights_get_new_kernels(block):
    made, x, _ = block
    before, conv = made(x), made.branch[0]
    with torch.no_grad():
        conv.weight.mul_(-1)
    after = made.eval()(x)
    assert not torch.allclose(before, after, atol=1e-3)
    expected = F.conv2d(x, conv.eval_weight(), conv.bias, padding=1)
    torch.testing.assert_close(conv(x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("change", [{"map_size": 5}, {"twice_differentiable": True}, {"kernel_size": 1}])
def test_what_it_cannot_do_is_convolved_as_before(change, monkeypatch):
    monkeypatch.setattr(lipschitz, "_WINOGRAD_CHANNELS", 1)
    options = {"kernel_size": 3, "map_size": 4, "lipschitz": 0.8, "power_iterations": 1}

    def conv(**changed):
        made = options | changed
        return LipschitzConv2d(2, 2, made.pop("kernel_size"), **made).eval()

    x = torch.zeros(1, 2, 4, 4)
    assert conv().is_winograd_faster(x)
    assert not conv(**change).is_winograd_faster(x)
    assert isinstance(conv(), nn.Conv2d)
