"""The log-determinant of a residual block, estimated without its Jacobian."""

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

__all__ = ["power_series_log_det", "random_signs", "roulette_log_det"]

Branch = Callable[[Tensor], Tensor]


def random_signs(x: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Noise of the shape of x whose entries are 1 or -1."""
    return torch.empty_like(x, requires_grad=False).bernoulli_(0.5, generator=generator) * 2 - 1


def power_series_log_det(
    branch: Branch,
    x: Tensor,
    terms: int,
    *,
    generator: torch.Generator | None = None,
    draw_signs: Callable[[Tensor], Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """g(x) and log det(I + J_g(x)) by the first terms of its power series (Behrmann et al. 2019, equation 4).

    The trace of each power of J is Hutchinson's estimate, one product of noise,
    J and noise for each term. The rest of the series is left out: with L = Lip(g) and D
    dimensions, that is a bias of up to D L^(terms + 1) / ((terms + 1) (1 - L)).

    Gradients are those of the truncated series in expectation, by its Neumann
    series (Chen et al. 2019, section 3.2): only the last product is kept for the
    backward pass, so that memory does not grow with the terms.

    Args:
        branch: g, with Lip(g) < 1 and no coupling between samples; differentiable twice.
        x: Shape (N, ...); half precision is taken to float32.
        terms: Terms of the series, at least 1.
        generator: Generator of the noise; ``None`` for the global random state.
        draw_signs: Source of the noise, by default :func:`random_signs`.

    Returns:
        g(x), of the shape of x, and the estimates in nats, shape (N,). Both have
        gradients where gradients are switched on.

    Raises:
        ValueError: There is no term.
    """
    if terms < 1:
        raise ValueError(f"terms is {terms}; a series has at least 1")
    return _estimate_series(branch, x, [1.0] * terms, draw_signs or partial(random_signs, generator=generator))


def roulette_log_det(
    branch: Branch,
    x: Tensor,
    *,
    exact_terms: int = 2,
    go_on: float = 0.6,
    generator: torch.Generator | None = None,
    draw_signs: Callable[[Tensor], Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """g(x) and an unbiased estimate of log det(I + J_g(x)) (Chen et al. 2019, theorem 1 and section 3.2).

    After ``exact_terms`` of the series, a random draw decides before each further term
    whether it is taken, and a term is divided by the probability of reaching it.
    The whole batch shares the number of terms. Gradients are unbiased, too, and
    need the memory of one product, as in :func:`power_series_log_det`.

    Args:
        branch: g, with Lip(g) < 1 and no coupling between samples; differentiable twice.
        x: Shape (N, ...); half precision is taken to float32.
        exact_terms: Terms that are always taken, at least 1.
        go_on: Probability of one more term, above 0 and below 1. The variance is
            bounded where it is above Lip(g)^2.
        generator: Generator of all draws; ``None`` for the global random state. It lives on the device of x.
        draw_signs: Source of the noise, by default :func:`random_signs`.

    Returns:
        As :func:`power_series_log_det`.

    Raises:
        ValueError: ``exact_terms`` or ``go_on`` is out of bounds.
    """
    if exact_terms < 1 or not 0 < go_on < 1:
        raise ValueError(
            f"exact_terms is {exact_terms} and go_on {go_on}; they must be at least 1, and between 0 and 1"
        )
    further = _draw_term_count(x, go_on, generator)
    weights = [1.0] * exact_terms + [go_on**-number for number in range(1, further + 1)]
    return _estimate_series(branch, x, weights, draw_signs or partial(random_signs, generator=generator))


def _draw_term_count(x: Tensor, go_on: float, generator: torch.Generator | None) -> int:
    """Number of successive draws that continue the series."""
    uniform = torch.rand((), device=None if generator is None else x.device, dtype=torch.float64, generator=generator)
    return int(math.log(max(1 - float(uniform), 1e-300)) / math.log(go_on))


def _estimate_series(
    branch: Branch, x: Tensor, weights: Sequence[float], draw_signs: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """g(x) and the weighted series of -(-1)^k / k v J^k v."""
    keeps_graph = torch.is_grad_enabled()
    # Half precision would add up its rounding errors over all terms and blocks.
    with torch.enable_grad(), torch.autocast(x.device.type, enabled=False):
        x = x.float() if x.itemsize < 4 else x
        x = x if keeps_graph and x.requires_grad else x.detach().requires_grad_()
        y = branch(x)
        noise = draw_signs(x)
        value, cotangent = _series(x, y, noise, weights)
        if not keeps_graph:
            return y.detach(), value
        (product,) = torch.autograd.grad(y, x, cotangent, create_graph=True)
        slope = _dot(product, noise)
    return y, value + (slope - slope.detach())


def _series(x: Tensor, y: Tensor, noise: Tensor, weights: Sequence[float]) -> tuple[Tensor, Tensor]:
    """The value, and the vector v (I - J + J^2 ...) whose product with dJ v is the gradient (weighted alike)."""
    power, neumann = noise, torch.zeros_like(noise)
    value = noise.new_zeros(len(noise))
    for number, weight in enumerate(weights, start=1):
        sign = weight if number % 2 else -weight
        neumann = neumann + sign * power
        (power,) = torch.autograd.grad(y, x, power, retain_graph=True)
        value = value + sign / number * _dot(power, noise)
    return value, neumann


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).flatten(1).sum(1)
