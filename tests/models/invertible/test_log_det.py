import pytest
import torch
from torch import Tensor, nn

from leigh_mlops.models.invertible.log_det import power_series_log_det, roulette_log_det

DRAWS = 400


def branch(norm: float = 0.6, seed: int = 0) -> nn.Module:
    """A map of (N, 2, 3, 3) with Lip(g) < ``norm`` and a log-determinant that is far from 0."""
    torch.manual_seed(seed)
    convolutions = [nn.Conv2d(2, 4, 3, padding=1), nn.ELU(), nn.Conv2d(4, 2, 3, padding=1)]
    made = nn.Sequential(*convolutions).double()
    with torch.no_grad():
        made[2].weight.copy_(made[0].weight.transpose(0, 1).flip(2, 3))  # the adjoint, so that traces are large
        x = torch.zeros(1, 2, 3, 3, dtype=torch.float64)
        jacobian = torch.autograd.functional.jacobian(lambda t: made[2](made[0](t)), x).reshape(18, 18)
        factor = (norm / torch.linalg.matrix_norm(jacobian, 2)).sqrt()
        made[0].weight.mul_(factor)
        made[2].weight.mul_(factor)
    return made


def points(count: int = 2, seed: int = 1) -> Tensor:
    return torch.randn(count, 2, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def exact(g: nn.Module, x: Tensor) -> Tensor:
    """log det(I + J) of each sample, by the whole Jacobian."""
    rows = []
    for one in x:
        jacobian = torch.autograd.functional.jacobian(lambda t: g(t[None])[0], one, create_graph=True)
        rows.append(torch.linalg.slogdet(torch.eye(18).double() + jacobian.reshape(18, 18))[1])
    return torch.stack(rows)


def mean_and_error(estimates: list[Tensor]) -> tuple[Tensor, Tensor]:
    stacked = torch.stack(estimates)
    return stacked.mean(0), stacked.std(0) / len(stacked) ** 0.5


def test_the_value_of_the_branch_is_its_own() -> None:
    g, x = branch(), points()
    assert torch.equal(power_series_log_det(g, x, 3)[0], g(x))
    assert torch.equal(roulette_log_det(g, x)[0], g(x))


def test_a_linear_map_in_one_dimension_is_worked_out_by_hand() -> None:
    """g(x) = x / 2 in one dimension, where the noise cancels: log 1.5 = 1/2 - 1/8 + 1/24 - ..."""
    x = torch.ones(1, 1, dtype=torch.float64)
    given = [power_series_log_det(lambda t: 0.5 * t, x, terms)[1].item() for terms in (1, 2, 3, 40)]
    assert given == pytest.approx([1 / 2, 1 / 2 - 1 / 8, 1 / 2 - 1 / 8 + 1 / 24, 0.4054651081], abs=1e-9)


def test_a_cut_series_is_biased_and_the_roulette_is_not() -> None:
    g, x = branch(), points()
    truth = exact(g, x).detach()
    noise = torch.Generator().manual_seed(0)
    cut, cut_error = mean_and_error([power_series_log_det(g, x, 1, generator=noise)[1] for _ in range(DRAWS)])
    fair, fair_error = mean_and_error([roulette_log_det(g, x, exact_terms=1, generator=noise)[1] for _ in range(DRAWS)])
    assert (abs(cut - truth) > 5 * cut_error).all()
    assert (abs(fair - truth) < 4 * fair_error).all()
    long, long_error = mean_and_error([power_series_log_det(g, x, 40, generator=noise)[1] for _ in range(DRAWS)])
    assert (abs(long - truth) < 4 * long_error).all()


def test_gradients_are_those_of_the_exact_log_determinant() -> None:
    g, x = branch(), points()
    inputs = [x.requires_grad_(), *g.parameters()]
    truth = torch.cat([one.flatten() for one in torch.autograd.grad(exact(g, x).sum(), inputs, allow_unused=True)[:-1]])
    noise = torch.Generator().manual_seed(0)

    def gradient(value: Tensor) -> Tensor:
        given = torch.autograd.grad(value.sum(), inputs, allow_unused=True)[:-1]
        return torch.cat([one.flatten() for one in given])

    def averaged(estimate) -> Tensor:
        mean, error = mean_and_error([gradient(estimate()[1]) for _ in range(DRAWS)])
        return (mean - truth) / error.clamp(min=1e-12)

    cut = averaged(lambda: power_series_log_det(g, x, 1, generator=noise))
    fair = averaged(lambda: roulette_log_det(g, x, generator=noise))
    long = averaged(lambda: power_series_log_det(g, x, 40, generator=noise))
    assert cut.abs().max() > 10
    assert fair.abs().max() < 4.5
    assert long.abs().max() < 4.5
    assert fair.square().mean() < 1.5


def test_gradients_reach_what_stands_before_the_block() -> None:
    g, scale = branch(), torch.tensor(1.3, dtype=torch.float64, requires_grad=True)
    value = power_series_log_det(g, points() * scale, 5)[1].sum()
    assert torch.autograd.grad(value, scale)[0].abs() > 0


def test_without_gradients_nothing_has_any_and_the_value_is_the_same() -> None:
    g, x = branch(), points()
    with_gradients = power_series_log_det(g, x, 5, generator=torch.Generator().manual_seed(3))[1]
    assert with_gradients.requires_grad
    with torch.no_grad():
        y, value = power_series_log_det(g, x, 5, generator=torch.Generator().manual_seed(3))
    assert not value.requires_grad
    assert not y.requires_grad
    assert torch.equal(value, with_gradients)


def test_noise_is_the_generators_or_the_global_one() -> None:
    g, x = branch(), points()

    def drawn(seed: int) -> Tensor:
        return roulette_log_det(g, x, generator=torch.Generator().manual_seed(seed))[1]

    assert not torch.equal(drawn(0), drawn(1))
    assert torch.equal(drawn(0), drawn(0))
    with torch.random.fork_rng():
        torch.manual_seed(5)
        first = roulette_log_det(g, x)[1]
        torch.manual_seed(5)
        assert torch.equal(roulette_log_det(g, x)[1], first)


def test_half_precision_is_left() -> None:
    g = branch().float()
    with torch.autocast("cpu", torch.bfloat16):
        assert g(points().float()).dtype == torch.bfloat16
        y, value = power_series_log_det(g, points().bfloat16(), 3)
    assert y.dtype == value.dtype == torch.float32


def test_bounds_are_held() -> None:
    with pytest.raises(ValueError, match="terms is 0"):
        power_series_log_det(branch(), points(), 0)
    with pytest.raises(ValueError, match=r"go_on 1\.0"):
        roulette_log_det(branch(), points(), go_on=1.0)
