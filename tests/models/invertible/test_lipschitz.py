import copy

import pytest
import torch
from torch.nn import functional as F

from leigh_mlops.models.invertible import LipschitzConv2d
from leigh_mlops.models.invertible import lipschitz as lipschitz_module
from leigh_mlops.models.invertible.operator_norm import (
    converged_vector,
)
from tests.models.invertible.test_operator_norm import SIDE, norm


def conv(kernel_size=3, *, gain=1.0, bound=0.8, seed=3):
    torch.manual_seed(seed)
    made = LipschitzConv2d(3, 4, kernel_size, map_size=SIDE, lipschitz=bound, power_iterations=5).double()
    made.weight.data *= gain
    return made


@pytest.mark.parametrize("kernel_size", [1, 3])
@pytest.mark.parametrize("gain", [0.01, 2.0, 30.0])
def test_the_bound_holds_in_eval_mode(kernel_size, gain):
    made = conv(kernel_size, gain=gain)
    assert (norm(made.weight.detach()) > 0.8) == (gain > 0.01)
    made.eval()
    assert norm(made.eval_weight()) <= 0.8 * (1 + 1e-4)
    if gain == 0.01:
        assert torch.equal(made.eval_weight(), made.weight)


@pytest.mark.parametrize("kernel_size", [1, 3])
def test_gradients_flow_through_sigma(kernel_size):
    """The derivative of W / (sigma / c), against one taken through the whole operator matrix."""
    made = conv(kernel_size, gain=10)
    made.power_iterations = 3000
    x, probe = (torch.randn(2, channels, SIDE, SIDE, dtype=torch.float64) for channels in (3, 4))
    (made(x) * probe).sum().backward()
    weight = made.weight.detach().requires_grad_()
    output = F.conv2d(x, weight / (norm(weight) / 0.8), made.bias.detach(), padding=kernel_size // 2)
    (output * probe).sum().backward()
    torch.testing.assert_close(made.weight.grad, weight.grad, rtol=1e-5, atol=1e-7)


def test_two_calls_before_the_gradients():
    made = conv(gain=10)
    x = torch.randn(1, 3, SIDE, SIDE, dtype=torch.float64)
    (made(x).sum() + made(x).sum()).backward()
    assert made.weight.grad.isfinite().all()


def test_a_zero_weight_recovers():
    made = conv()
    kept = made.weight.detach().clone()
    made.weight.data.zero_()
    made(torch.zeros(1, 3, SIDE, SIDE, dtype=torch.float64)).sum().backward()
    assert made.weight.grad.isfinite().all()
    with torch.no_grad():
        made.weight.copy_(10 * kept)
    assert norm(made.eval().eval_weight()) <= 0.8 * (1 + 1e-4)


@pytest.fixture
def count(monkeypatch):
    """How often a norm was taken to convergence."""
    calls = []

    def counted(weight, v):
        calls.append(1)
        return converged_vector(weight, v)

    monkeypatch.setattr(lipschitz_module, "converged_vector", counted)
    return calls


def test_sigma_is_taken_once_per_weight(count):
    made, x = conv(gain=10), torch.randn(1, 3, SIDE, SIDE, dtype=torch.float64)
    made(x)
    assert len(count) == 0
    made.eval()
    made(x), made(x), made.train().eval(), made(x)
    assert len(count) == 1
    with torch.no_grad():
        made.weight.mul_(2)
    made(x)
    assert len(count) == 2
    assert norm(made.eval_weight()) <= 0.8 * (1 + 1e-4)


def test_a_loaded_sigma_is_taken_as_it_is(count):
    made, other = conv(gain=10).eval(), conv(seed=1).eval()
    x = torch.randn(1, 3, SIDE, SIDE, dtype=torch.float64)
    before = other(x)
    assert len(count) == 2
    other.load_state_dict(made.state_dict())
    assert torch.equal(other(x), made(x))
    assert not torch.equal(other(x), before)
    assert len(count) == 2


def test_a_sigma_that_is_not_of_the_weight_is_never_saved():
    made = conv(gain=10).eval()
    assert made.state_dict()["sigma"].isfinite()
    with torch.no_grad():
        made.weight.mul_(2)
    assert made.state_dict()["sigma"].isnan()
    made.eval()
    made.train()(torch.zeros(1, 3, SIDE, SIDE, dtype=torch.float64))
    assert made.state_dict()["sigma"].isnan()


def test_a_copy_and_a_change_of_type_keep_the_bound():
    made = conv(gain=10).eval()
    for changed in (copy.deepcopy(made), copy.deepcopy(made).float().double()):
        torch.testing.assert_close(changed.eval_weight(), made.eval_weight(), rtol=1e-5, atol=1e-6)
        assert changed.eval_weight().dtype == torch.float64
