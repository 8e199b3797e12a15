"""Maps of how a counterfactual's change acts on the prediction."""

import torch
from torch import Tensor, nn

from leigh_mlops.explanations.capabilities import require_capabilities
from leigh_mlops.explanations.counterfactuals.boundary import head_margin
from leigh_mlops.explanations.eval_mode import evaluating

__all__ = ["change_map"]

POINTS = (0.5, 0.887298334620741689, 0.112701665379258311)
"""Points on [0, 1] of Gauss's rule of degree 5."""
MORE_POINTS = (0.717121874673401279, 0.282878125326598721, 0.980245634354010142, 0.019754365645989858)
"""Points that make it Kronrod's rule of degree 11."""
GAUSS = (4 / 9, 5 / 18, 5 / 18)
KRONROD = (
    0.225458269329237071,
    *(0.134244044934166721,) * 2,
    *(0.200698707387981111,) * 2,
    *(0.052328113013233633,) * 2,
)
"""Weights of both rules, in the order of the points."""

IMAGES_PER_PASS = 8
"""Gradients of more images at once would only take memory."""


def change_map(
    model: nn.Module,
    images: Tensor,
    counterfactuals: Tensor,
    target: Tensor,
    *,
    gain: Tensor | None = None,
    tolerance: float = 0.05,
) -> Tensor:
    """Amount by which each pixel's change raises or lowers the target's log-odds.

    Integrated gradients (Sundararajan et al. 2017, eq. 1) from the image to its counterfactual
    instead of from black: the change of each pixel times the mean gradient on the straight line
    between both, summed over the channels. A map sums to the change of the
    log-odds, up to the error of the mean, and exactly for a linear model. The mean is taken by Gauss's rule with
    3 points, each of which costs a forward and a backward pass; a map whose sum is off by more than the tolerance gets
    the 4 more points of Kronrod's rule (Kronrod 1965), whatever its sum is then: where the line crosses many kinks of
    ReLUs, 7 points may be off by more, too.

    Args:
        model: A model that can classify.
        images: Scaled, on the model's device, shape (N, C, H, W).
        counterfactuals: The same shape and scale.
        target: Target class of each, shape (N,).
        gain: Change of the log-odds from each image to its counterfactual, in nats, shape (N,); ``None`` to compute it.
        tolerance: Error of the sum, relative to the change of the log-odds (or to 0.001 nats where that is less), above
            which a map gets more points.

    Returns:
        Shape (N, H, W), in nats: positive where the change supports the target.

    Raises:
        LeighError: The model cannot classify.
    """
    require_capabilities(model, ("classify",), "a change map")
    goal = target.to(images.device)
    with evaluating(model):
        if gain is None:
            gain = _log_odds(model, counterfactuals, goal) - _log_odds(model, images, goal)
        inputs = (images, counterfactuals, goal, gain.to(images))
        passes = zip(*(torch.split(each, IMAGES_PER_PASS) for each in inputs), strict=True)
        return torch.cat([
            _integrate(model, some, changed, goals, gains, tolerance) for some, changed, goals, gains in passes
        ])  # fmt: skip


def _log_odds(model: nn.Module, images: Tensor, target: Tensor) -> Tensor:
    """Log-odds of the target class, shape (N,)."""
    passes = zip(torch.split(images, IMAGES_PER_PASS), torch.split(target, IMAGES_PER_PASS), strict=True)
    return torch.cat([head_margin(model(some), goals, 0.5) for some, goals in passes])


def _integrate(
    model: nn.Module, images: Tensor, counterfactuals: Tensor, target: Tensor, gain: Tensor, tolerance: float
) -> Tensor:
    """Maps (N, H, W) by 3 points, and by 7 where their sum is not the gain (N,)."""
    change, few, many = counterfactuals - images, torch.zeros_like(images), torch.zeros_like(images)
    for share, gauss, kronrod in zip(POINTS, GAUSS, KRONROD, strict=False):
        gradient = _gradient(model, images + share * change, target)
        few.add_(gradient, alpha=gauss)
        many.add_(gradient, alpha=kronrod)
    maps = (change * few).sum(dim=1)
    missed = (maps.sum(dim=(1, 2)) - gain).abs() > tolerance * gain.abs().clamp(min=1e-3)
    if bool(missed.any()):
        images, change, target, many = images[missed], change[missed], target[missed], many[missed]
        for share, kronrod in zip(MORE_POINTS, KRONROD[len(POINTS) :], strict=True):
            many.add_(_gradient(model, images + share * change, target), alpha=kronrod)
        maps[missed] = (change * many).sum(dim=1)
    return maps


def _gradient(model: nn.Module, images: Tensor, target: Tensor) -> Tensor:
    """Gradient (N, C, H, W) of the target's log-odds."""
    with torch.enable_grad():
        point = images.requires_grad_()
        (gradient,) = torch.autograd.grad(head_margin(model(point), target, 0.5).sum(), point)
    return gradient
