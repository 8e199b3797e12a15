import copy

import pytest
import torch
from torch.nn import functional as F

from leigh_mlops.models.invertible import LipschitzConv2d
from leigh_mlops.models.invertible import lipschitz as lipschitz_module
from leigh_mlops.models.invertible.operator_norm import certified_norm, power_iterate
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
    assert norm(made.eval_weight()) <= 0.8 * (1 + 1e-9)
    if gain == 0.01:
        assert torch.equal(made.eval_weight(), made.weight)


def test_single_precision_does_not_round_the_bound_away():
    """The norm of a 1x1 kernel is exact, and so has no margin of its own."""
    for seed in range(40):
        made = conv(1, gain=30, seed=seed).float().eval()
        assert 0.8 * (1 - 1e-5) < norm(made.eval_weight().double()) <= 0.8


@pytest.mark.parametrize("twice", [False, True])
@pytest.mark.parametrize("kernel_size", [1, 3])
def test_gradients_flow_through_sigma(kernel_size, twice):
    """The derivative of W / (sigma / c), against one taken through the whole operator matrix."""
    made = conv(kernel_size, gain=10)
    made.twice_differentiable = twice
    made.v.copy_(power_iterate(made.weight.detach(), made.v, 3000))
    x, probe = (torch.randn(2, channels, SIDE, SIDE, dtype=torch.float64) for channels in (3, 4))
    (made(x) * probe).sum().backward()
    weight = made.weight.detach().requires_grad_()
    output = F.conv2d(x, weight / (norm(weight) / 0.8), made.bias.detach(), padding=kernel_size // 2)
    (output * probe).sum().backward()
    torch.testing.assert_close(made.weight.grad, weight.grad, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("kernel_size", [1, 3])
@pytest.mark.parametrize("gain", [0.01, 10])
def test_the_training_step_has_the_output_and_the_gradients_of_its_plain_form(kernel_size, gain):
    made, plain = conv(kernel_size, gain=gain), conv(kernel_size, gain=gain)
    plain.twice_differentiable, plain.power_iterations = True, 0
    results = []
    for each in (made, plain):
        x = torch.randn(5, 3, SIDE, SIDE, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        y = each(x.requires_grad_())
        y.backward(torch.sin(torch.arange(y.numel(), dtype=torch.float64)).view_as(y))
        results.append((y.detach(), x.grad, each.weight.grad, each.bias.grad))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("iterations", [1, 4])
def test_the_backward_pass_is_the_power_iteration(iterations):
    made = conv(gain=10)
    made.power_iterations = iterations
    made(torch.zeros(1, 3, SIDE, SIDE, dtype=torch.float64))
    before = made.v.clone()
    y = made(torch.randn(2, 3, SIDE, SIDE, dtype=torch.float64))
    assert torch.equal(made.v, before)
    y.square().sum().backward()
    torch.testing.assert_close(made.v, power_iterate(made.weight.detach(), before, iterations))


def test_sigma_is_warm_started_and_comes_near_the_norm_within_a_few_steps():
    made = conv(gain=10)
    made.power_iterations = 1
    x = torch.randn(2, 3, SIDE, SIDE, dtype=torch.float64)
    missed = []
    for _ in range(30):
        made(x).sum().backward()
        missed.append(float(1 - (F.conv2d(made.v, made.weight, padding=1).norm() / norm(made.weight)).detach()))
    assert missed[0] > 1e-3
    assert 0 <= missed[-1] < 1e-3


def test_half_precision_keeps_the_bound_and_the_types():
    made, x = conv(gain=10).float(), torch.randn(2, 3, SIDE, SIDE, requires_grad=True)
    exact = made(x)
    with torch.autocast("cpu", torch.bfloat16):
        y = made(x)
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), exact, rtol=0.05, atol=0.05)
    y.float().square().sum().backward()
    assert made.weight.grad.dtype == made.bias.grad.dtype == x.grad.dtype == torch.float32


@pytest.mark.parametrize("kernel_size", [1, 3])
def test_two_calls_before_the_gradients(kernel_size):
    made = conv(kernel_size, gain=10)
    x = torch.randn(1, 3, SIDE, SIDE, dtype=torch.float64)
    (made(x).sum() + made(x).sum()).backward()
    assert made.weight.grad.isfinite().all()


def test_gradients_of_gradients_are_refused_where_they_would_be_wrong():
    for twice in (True, False):
        made = conv(gain=10)
        made.twice_differentiable = twice
        y = made(torch.randn(1, 3, SIDE, SIDE, dtype=torch.float64)).square().sum()
        (gradient,) = torch.autograd.grad(y, made.weight, create_graph=True)
        if twice:
            gradient.sum().backward()
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def test_maps_of_another_size_are_refused():
    for made in (conv().train(), conv().eval()):
        made(torch.zeros(1, 3, SIDE, SIDE, dtype=torch.float64))
        with pytest.raises(ValueError, match=f"bounded on {SIDE} pixels"):
            made(torch.zeros(1, 3, SIDE + 1, SIDE + 1, dtype=torch.float64))


def test_a_zero_weight_recovers():
    made = conv()
    kept = made.weight.detach().clone()
    made.weight.data.zero_()
    made(torch.zeros(1, 3, SIDE, SIDE, dtype=torch.float64)).sum().backward()
    assert made.weight.grad.isfinite().all()
    with torch.no_grad():
        made.weight.copy_(10 * kept)
    assert norm(made.eval().eval_weight()) <= 0.8


@pytest.fixture
def count(monkeypatch):
    """How often a norm was certified."""
    calls = []

    def counted(weight, map_size):
        calls.append(1)
        return certified_norm(weight, map_size)

    monkeypatch.setattr(lipschitz_module, "certified_norm", counted)
    return calls


def test_sigma_is_taken_once_per_weight(count):
    made, x = conv(gain=10), torch.randn(1, 3, SIDE, SIDE, dtype=torch.float64)
    made(x)
    assert len(count) == 0
    made.eval()
    made(x), made(x), made.train().eval(), made(x)
    assert len(count) == 1
    assert made.bound() <= 0.8
    with torch.no_grad():
        made.weight.mul_(2)
    made(x)
    assert len(count) == 2
    assert norm(made.eval_weight()) <= 0.8 * (1 + 1e-9)


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


def test_a_copy_knows_whose_norm_it_has(count):
    made = conv(gain=10).eval()
    same = copy.deepcopy(made)
    assert same.state_dict()["sigma"].isfinite()
    assert same.bound() <= 0.8
    assert len(count) == 1
    with torch.no_grad():
        for _ in range(made.weight._version):
            same.weight.mul_(10)
    assert norm(same.eval_weight()) <= 0.8 * (1 + 1e-9)


def test_a_copy_and_a_change_of_type_keep_the_bound():
    made = conv(gain=10).eval()
    for changed in (copy.deepcopy(made), copy.deepcopy(made).float().double()):
        torch.testing.assert_close(changed.eval_weight(), made.eval_weight(), rtol=1e-5, atol=1e-6)
        assert changed.eval_weight().dtype == torch.float64


def test_a_network_that_was_saved_before_it_was_trained_trains_on_as_if_it_had_not_been():
    cold, x = conv(gain=10), torch.randn(2, 3, SIDE, SIDE, dtype=torch.float64)
    unasked = cold.v.clone()
    cold.eval()
    assert not torch.equal(cold.v, unasked)
    loaded = conv(gain=10, seed=4)
    loaded.load_state_dict(cold.state_dict())
    assert torch.equal(loaded.train()(x), cold.train()(x))
    assert torch.equal(loaded(x), conv(gain=10)(x))
