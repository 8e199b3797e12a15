"""Maps of how a counterfactual's change acts on the prediction."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from leigh_mlops.explanations.capabilities import ExplainedModel, require_capabilities
from leigh_mlops.explanations.counterfactuals.boundary import head_margin
from leigh_mlops.explanations.eval_mode import evaluating

__all__ = ["change_map"]

POINTS = (0.5,)
MORE_POINTS = (0.112701665379258311, 0.5, 0.887298334620741689)
"""Points on [0, 1] of Gauss's rule of degree 5."""

HEAD_POINTS = 32
"""Points on [0, 1] at which the head is differentiated, which costs little beside the rest of the network."""

IMAGES_PER_PASS = 8
"""Gradients of more images at once would only take memory."""


def change_map(
    model: nn.Module,
    images: Tensor,
    counterfactuals: Tensor,
    target: Tensor,
    *,
    latents: tuple[Tensor, Tensor] | None = None,
    tolerance: float = 0.05,
) -> Tensor:
    """Amount by which each pixel's change raises or lowers the target's log-odds.

    Integrated gradients (Sundararajan et al. 2017, eq. 1) from the image to its counterfactual
    instead of from black: the change of each pixel times the mean gradient on the straight line
    between both, summed over the channels. A map sums to the change of the
    log-odds, up to the error of the mean, and exactly for a linear model.

    Most kinks on the line are those of the head, which is cheap. So the head is differentiated at 32 points, at latents
    that are interpolated between those of both images and of the middle of the line; the mean of these gradients goes
    back through the rest of the network in the middle alone, in one forward and one backward pass. A map whose sum is
    off by more than the tolerance is made at the 3 points of Gauss's rule instead (a product rule of quadrature:
    Lagrange's polynomials of these points divide the gradients of the head among them), whatever its sum is then.

    Args:
        model: A model that can encode and classify.
        images: Scaled, on the model's device, shape (N, C, H, W).
        counterfactuals: The same shape and scale.
        target: Target class of each, shape (N,).
        latents: Latents of the images and of the counterfactuals, each (N, ...); ``None`` to compute them.
        tolerance: Error of the sum, relative to the change of the log-odds (or to 0.001 nats where that is less), above
            which a map gets more points.

    Returns:
        Shape (N, H, W), in nats: positive where the change supports the target.

    Raises:
        LeighError: The model cannot encode or classify.
    """
    network = require_capabilities(model, ("encode", "classify"), "a change map")
    maps = []
    with evaluating(model):
        for rows in torch.split(torch.arange(len(images), device=images.device), IMAGES_PER_PASS):
            some, changed, goals = images[rows], counterfactuals[rows], target.to(images.device)[rows]
            if latents is None:
                ends = (network.encode(some), network.encode(changed))
            else:
                ends = (latents[0][rows], latents[1][rows])
            maps.append(_integrate(network, some, changed - some, ends, goals, tolerance))
    return torch.cat(maps)


def _integrate(
    network: ExplainedModel,
    images: Tensor,
    change: Tensor,
    ends: tuple[Tensor, Tensor],
    target: Tensor,
    tolerance: float,
) -> Tensor:
    """Maps (N, H, W) by one point, and by three where their sum is not the change of the log-odds."""
    before, after = (head_margin(network.classify(each), target, 0.5) for each in ends)
    gain, maps = after - before, _map_by_points(network, images, change, ends, target, POINTS)
    missed = (maps.sum(dim=(1, 2)) - gain).abs() > tolerance * gain.abs().clamp(min=1e-3)
    for rows in torch.split(missed.nonzero().flatten(), max(1, IMAGES_PER_PASS // len(MORE_POINTS))):
        if len(rows):
            both = ends[0][rows], ends[1][rows]
            maps[rows] = _map_by_points(network, images[rows], change[rows], both, target[rows], MORE_POINTS)
    return maps


def _map_by_points(
    network: ExplainedModel,
    images: Tensor,
    change: Tensor,
    ends: tuple[Tensor, Tensor],
    target: Tensor,
    points: Sequence[float],
) -> Tensor:
    """Maps (N, H, W) by gradients of the latents at P points of the line, all in one pass."""
    with torch.enable_grad():
        steps = torch.cat([images + share * change for share in points]).requires_grad_()
        encoded = network.encode(steps)
    known = ends[0], *encoded.detach().chunk(len(points)), ends[1]
    directions = _head_gradients(network, known, target, points)
    (gradient,) = torch.autograd.grad(encoded, steps, directions.flatten(0, 1))
    return (change * gradient.view(len(points), *images.shape).sum(dim=0)).sum(dim=1)


def _head_gradients(
    network: ExplainedModel, known: Sequence[Tensor], target: Tensor, points: Sequence[float]
) -> Tensor:
    """Integral of each point's Lagrange polynomial times the head's gradient, shape (P, N, ...).

    Args:
        network: The model.
        known: Latents at 0, the points, and 1, each (N, ...), between which they are interpolated.
        target: Target class of each, shape (N,).
        points: P points on (0, 1).
    """
    found = torch.zeros_like(torch.stack(list(known[1:-1])))
    for number in range(HEAD_POINTS):
        share = (number + 0.5) / HEAD_POINTS
        weights = _lagrange((0, *points, 1), share)
        latents = torch.zeros_like(known[0])
        for latent, weight in zip(known, weights, strict=True):
            latents.add_(latent, alpha=weight)
        gradient = _gradient(network, latents, target)
        for total, weight in zip(found, _lagrange(points, share), strict=True):
            total.add_(gradient, alpha=weight / HEAD_POINTS)
    return found


def _lagrange(points: Sequence[float], place: float) -> list[float]:
    """Lagrange's polynomials of some points, each 1 at its point and 0 at the others, at a place."""
    return [math.prod((place - other) / (own - other) for other in points if other != own) for own in points]


def _gradient(network: ExplainedModel, latents: Tensor, target: Tensor) -> Tensor:
    """Gradient of the target's log-odds to the latents, shape (N, ...)."""
    with torch.enable_grad():
        point = latents.requires_grad_()
        (gradient,) = torch.autograd.grad(head_margin(network.classify(point), target, 0.5).sum(), point)
    return gradient
