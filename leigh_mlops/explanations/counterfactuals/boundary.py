"""Search for the nearest point of a latent's path that the classifier's own head assigns to another class."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from leigh_mlops.explanations.counterfactuals.latent_steps import add_step, latent_norms

__all__ = ["MAX_STEP", "Crossing", "head_margin", "find_boundary"]

MAX_STEP = 4.0
"""Longest distance searched, along the line and then along the gradient, in lengths of ``delta``."""

SCAN_STEPS = 64
BISECTIONS = 40
MIN_STEP_SHARE = 2.0**-10
"""A gradient ascent stops where this share of its first step still lowers the margin."""

Head = Callable[[Tensor], Tensor]


class Crossing(NamedTuple):
    """Points where N latents reach the requested prediction of the head, or come nearest to it.

    Attributes:
        shifted: z', shape (N, ...).
        alpha: norm(z' - z) / norm(delta), float64, shape (N,).
        reached: Whether z' has the requested prediction, shape (N,).
        by_gradient: Whether z' was found off the line, by the gradient, shape (N,).
    """

    shifted: Tensor
    alpha: Tensor
    reached: Tensor
    by_gradient: Tensor


def head_margin(logits: Tensor, target: Tensor, confidence: Tensor | float | None = None) -> Tensor:
    """Margin by which a head's prediction is above (at least 0) or below the requested one.

    Args:
        logits: Shape (N, K).
        target: Requested class, shape (N,).
        confidence: Requested probability, above 0 and below 1, one for all or of each, shape (N,).
            None requests that no other class is more probable.

    Returns:
        In nats, float64, shape (N,): the target's logit less the largest other, or its
        log-odds less those of ``confidence``, which are 0 at 0.5.

    Example:
        >>> head_margin(torch.tensor([[1.0, 3.0]]), torch.tensor([1]), 0.5).tolist()
        [2.0]
    """
    logits = logits.double()
    own = logits.gather(1, target[:, None])[:, 0]
    others = logits.scatter(1, target[:, None], -torch.inf)
    if confidence is None:
        return own - others.amax(dim=1)
    return own - others.logsumexp(dim=1) - torch.as_tensor(confidence, dtype=logits.dtype, device=logits.device).logit()


def find_boundary(
    head: Head,
    z: Tensor,
    delta: Tensor,
    target: Tensor,
    confidence: Tensor | float | None = None,
    *,
    max_step: float = MAX_STEP,
    climbs: bool = True,
) -> Crossing:
    """Find the first point z' = z + alpha * delta, alpha from 0 to ``max_step``, with the requested prediction.

    The line is scanned in 64 steps and the first one that reaches the goal is bisected, so that z' lies
    on the far side of the boundary and within rounding of it. Only the head is evaluated, one
    alpha after the other. Where the line does not reach the goal and ``climbs`` allows it, the search
    continues from its best point along the gradient of the margin, in the same steps and as far again,
    and its last segment is bisected.

    Args:
        head: From latents (N, ...) to logits (N, K), each row by itself.
        z: Latents, shape (N, ...).
        delta: Direction of each, the same shape.
        target: Requested class, shape (N,), another than that of ``z``.
        confidence: Requested probability, one for all or of each, shape (N,); None requests that no other
            class is more probable.
        max_step: Longest alpha on the line.
        climbs: Whether the search leaves the line where it does not reach the goal.

    Returns:
        One point per latent; where none reaches the goal, the one with the largest margin.
    """

    def goal(latents: Tensor, rows: Tensor) -> Tensor:
        required = confidence[rows] if isinstance(confidence, Tensor) and confidence.dim() else confidence
        return head_margin(head(latents), target[rows], required)

    rows = torch.arange(len(z), device=z.device)
    with torch.no_grad():
        low, high, best = _scan(lambda alpha: goal(add_step(z, delta, alpha), rows), len(z), z.device, max_step)
        reached = high.isfinite()
        # The type of the latents tells no finer steps apart.
        resolution = torch.finfo(z.dtype).eps / 2
        far = _bisect(lambda a: goal(add_step(z, delta, a), rows), low, high, resolution)
        alpha = torch.where(reached, far, best)
        shifted = add_step(z, delta, alpha)
    lost = rows[~reached]
    if not (climbs and len(lost)):
        return Crossing(shifted, alpha, reached, torch.zeros_like(reached))
    unit = latent_norms(delta[lost])
    found, arrived = _climb_gradient(lambda latents: goal(latents, lost), shifted[lost], unit * max_step / SCAN_STEPS)
    by_gradient = torch.zeros_like(reached)
    by_gradient[lost] = (found != shifted[lost]).flatten(1).any(dim=1)
    shifted[lost], reached[lost] = found, arrived
    alpha[lost] = latent_norms(found - z[lost]) / unit.clamp(min=torch.finfo(torch.float64).tiny)
    return Crossing(shifted, alpha, reached, by_gradient)


def _scan(
    margin: Callable[[Tensor], Tensor], n: int, device: torch.device, max_step: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Ends of the first step that reaches the goal, the second NaN where none does, and the best length; each (N,)."""
    low, best = (torch.zeros(n, dtype=torch.float64, device=device) for _ in range(2))
    high, highest = torch.full_like(low, torch.nan), margin(low)
    for step in range(1, SCAN_STEPS + 1):
        alpha = torch.full_like(low, step * max_step / SCAN_STEPS)
        value, open_ = margin(alpha), high.isnan()
        high = torch.where(open_ & (value >= 0), alpha, high)
        low = torch.where(high.isnan(), alpha, low)
        best, highest = torch.where(value > highest, alpha, best), torch.fmax(value, highest)
        if high.isfinite().all():
            break
    return low, high, best


def _bisect(margin: Callable[[Tensor], Tensor], low: Tensor, high: Tensor, resolution: float) -> Tensor:
    """Return the end on the far side of a margin's zero between ``low`` and ``high`` (N,), to a relative resolution."""
    for _ in range(BISECTIONS):
        open_ = high - low > resolution * high
        if not open_.any():
            break
        middle = (low + high) / 2
        arrived = margin(middle) >= 0
        low, high = torch.where(open_ & ~arrived, middle, low), torch.where(open_ & arrived, middle, high)
    return high


def _climb_gradient(margin: Callable[[Tensor], Tensor], start: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
    """Climb the margin from ``start`` (N, ...) in steps of ``length`` (N,), halved where they overshoot.

    Returns:
        The end points, and whether they reach the goal, shape (N,).
    """
    here, ahead, shortest = start, start, length * MIN_STEP_SHARE
    value = margin(here).detach()
    arrived = value >= 0
    for _ in range(SCAN_STEPS):
        tried = add_step(here, _gradient_direction(margin, here), length)
        with torch.no_grad():
            after = margin(tried)
        # A latent that has stopped stays where it is, so that the number of steps of the others does not matter.
        uphill = (after > value) & ~arrived & (length >= shortest)
        ahead = _select_rows(uphill, tried, ahead)
        arrived = arrived | (uphill & (after >= 0))
        # A latent that has reached the goal stays at the near end of its last segment, which is bisected below.
        here, value = _select_rows(uphill & ~arrived, tried, here), torch.where(uphill & ~arrived, after, value)
        length = torch.where(uphill | arrived, length, length / 2)
        if (arrived | (length < shortest)).all():
            break
    way = _select_rows(arrived, ahead - here, torch.zeros_like(here))
    with torch.no_grad():
        share = _bisect(
            lambda share: margin(add_step(here, way, share)),
            torch.zeros_like(value),
            torch.ones_like(value),
            torch.finfo(here.dtype).eps / 2,
        )
    return add_step(here, way, share), arrived


def _gradient_direction(margin: Callable[[Tensor], Tensor], here: Tensor) -> Tensor:
    """Unit vectors along the gradient of the margin, 0 where it is flat."""
    with torch.enable_grad():
        point = here.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(margin(point).sum(), point)
    return add_step(
        torch.zeros_like(here), gradient, 1 / latent_norms(gradient).clamp(min=torch.finfo(here.dtype).tiny)
    )


def _select_rows(chosen: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return torch.where(chosen.view(-1, *[1] * (a.dim() - 1)), a, b)
