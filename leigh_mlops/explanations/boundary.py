"""How far a latent has to go until the classifier's own head says another class."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from leigh_mlops.explanations.latent_steps import along, norms

__all__ = ["LONGEST", "Crossing", "head_margin", "reach"]

LONGEST = 4.0
"""How far is looked, along the line and then along the gradient, in lengths of ``delta``."""

SCAN_STEPS = 64
BISECTIONS = 40
SHORTEST = 2.0**-10
"""A walk gives up where this share of its first step still leads downhill."""

Head = Callable[[Tensor], Tensor]


class Crossing(NamedTuple):
    """Where N latents reach what was asked of the head, or come nearest to it.

    Attributes:
        shifted: z', shape (N, ...).
        alpha: norm(z' - z) / norm(delta), float64, shape (N,).
        reached: Whether z' is what was asked for, shape (N,).
        by_gradient: Whether z' was found beside the line, shape (N,).
    """

    shifted: Tensor
    alpha: Tensor
    reached: Tensor
    by_gradient: Tensor


def head_margin(logits: Tensor, target: Tensor, confidence: float | None = None) -> Tensor:
    """How far above (at least 0) or below what is asked a head's answer is.

    Args:
        logits: Shape (N, K).
        target: Class asked for, shape (N,).
        confidence: Probability asked for, above 0 and below 1. None asks that no other
            class is more probable.

    Returns:
        In nats, float64, shape (N,): the target's logit less the largest other, or its
        log-odds less those of ``confidence``, which are 0 at 0.5.

    Example:
        >>> head_margin(torch.tensor([[1.0, 3.0]]), torch.tensor([1]), 0.5).tolist()
        [2.0]
    """
    logits = logits.double()
    own = logits.gather(1, target[:, None])[:, 0]
    others = logits.scatter(1, target[:, None], -math.inf)
    if confidence is None:
        return own - others.amax(dim=1)
    return own - others.logsumexp(dim=1) - math.log(confidence / (1 - confidence))


def reach(head: Head, z: Tensor, delta: Tensor, target: Tensor, confidence: float | None = None) -> Crossing:
    """The first point z' = z + alpha * delta, alpha from 0 to `LONGEST`, that is what was asked for.

    The line is scanned in 64 steps and the first one that arrives is bisected, so that z' lies
    on the far side of the boundary and within rounding of it. Only the head is evaluated, one
    alpha after the other. Where the line does not arrive, the way goes on from its best point
    along the gradient of the margin, in the same steps and as far again, and its last segment
    is bisected.

    Args:
        head: From latents (N, ...) to logits (N, K), each row by itself.
        z: Latents, shape (N, ...).
        delta: Direction of each, the same shape.
        target: Class asked for, shape (N,), another than that of ``z``.
        confidence: Probability asked for; None asks that no other class is more probable.

    Returns:
        One point per latent; where nothing arrives, the best that was seen.
    """

    def goal(latents: Tensor, rows: Tensor) -> Tensor:
        return head_margin(head(latents), target[rows], confidence)

    rows = torch.arange(len(z), device=z.device)
    with torch.no_grad():
        low, high, best = _scan(lambda alpha: goal(along(z, delta, alpha), rows), len(z), z.device)
        reached = high.isfinite()
        alpha = torch.where(reached, _bisect(lambda a: goal(along(z, delta, a), rows), low, high), best)
        shifted = along(z, delta, alpha)
    lost = rows[~reached]
    if not len(lost):
        return Crossing(shifted, alpha, reached, ~reached)
    unit = norms(delta[lost])
    found, arrived = _walk(lambda latents: goal(latents, lost), shifted[lost], unit * LONGEST / SCAN_STEPS)
    by_gradient = torch.zeros_like(reached)
    by_gradient[lost] = (found != shifted[lost]).flatten(1).any(dim=1)
    shifted[lost], reached[lost] = found, arrived
    alpha[lost] = norms(found - z[lost]) / unit.clamp(min=torch.finfo(torch.float64).tiny)
    return Crossing(shifted, alpha, reached, by_gradient)


def _scan(margin: Callable[[Tensor], Tensor], n: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """The ends of the first step that arrives, the second NaN where none does, and the best length seen; each (N,)."""
    low, best = (torch.zeros(n, dtype=torch.float64, device=device) for _ in range(2))
    high, highest = torch.full_like(low, torch.nan), margin(low)
    for step in range(1, SCAN_STEPS + 1):
        alpha = torch.full_like(low, step * LONGEST / SCAN_STEPS)
        value, open_ = margin(alpha), high.isnan()
        high = torch.where(open_ & (value >= 0), alpha, high)
        low = torch.where(high.isnan(), alpha, low)
        best, highest = torch.where(value > highest, alpha, best), torch.fmax(value, highest)
        if high.isfinite().all():
            break
    return low, high, best


def _bisect(margin: Callable[[Tensor], Tensor], low: Tensor, high: Tensor) -> Tensor:
    """The end on the far side of a margin's zero between ``low`` and ``high`` (N,)."""
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        arrived = margin(middle) >= 0
        low, high = torch.where(arrived, low, middle), torch.where(arrived, middle, high)
    return high


def _walk(margin: Callable[[Tensor], Tensor], start: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
    """Uphill from ``start`` (N, ...) in steps of ``length`` (N,), halved where they overshoot.

    Returns:
        Where it ended, and whether it arrived, shape (N,).
    """
    here, ahead, shortest = start, start, length * SHORTEST
    value = margin(here).detach()
    arrived = value >= 0
    for _ in range(SCAN_STEPS):
        tried = along(here, _uphill(margin, here), length)
        with torch.no_grad():
            after = margin(tried)
        # One that gave up stays where it is, so that it does not matter how long its neighbours walk.
        uphill = (after > value) & ~arrived & (length >= shortest)
        ahead = _where(uphill, tried, ahead)
        arrived = arrived | (uphill & (after >= 0))
        # A latent that has arrived stays at the near end of its last segment, which is bisected below.
        here, value = _where(uphill & ~arrived, tried, here), torch.where(uphill & ~arrived, after, value)
        length = torch.where(uphill | arrived, length, length / 2)
        if (arrived | (length < shortest)).all():
            break
    way = _where(arrived, ahead - here, torch.zeros_like(here))
    with torch.no_grad():
        share = _bisect(lambda share: margin(along(here, way, share)), torch.zeros_like(value), torch.ones_like(value))
    return along(here, way, share), arrived


def _uphill(margin: Callable[[Tensor], Tensor], here: Tensor) -> Tensor:
    """Unit vectors along the gradient of the margin, 0 where it is flat."""
    with torch.enable_grad():
        point = here.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(margin(point).sum(), point)
    return along(torch.zeros_like(here), gradient, 1 / norms(gradient).clamp(min=torch.finfo(here.dtype).tiny))


def _where(chosen: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return torch.where(chosen.view(-1, *[1] * (a.dim() - 1)), a, b)
