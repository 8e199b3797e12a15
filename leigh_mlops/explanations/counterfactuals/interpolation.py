"""Images on the straight line between two latents."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from leigh_mlops.errors import LeighError
from leigh_mlops.explanations.capabilities import class_names, require_capabilities
from leigh_mlops.explanations.counterfactuals.class_means import Means, require_means
from leigh_mlops.explanations.eval_mode import evaluating
from leigh_mlops.explanations.targets import Target, choose_reachable_target
from leigh_mlops.models import has_capability

__all__ = ["NO_TARGET_CLASS", "Interpolation", "interpolate_to_image", "interpolate", "interpolate_to_class_mean"]

NO_TARGET_CLASS = -1
"""Used in place of a class where an interpolation ends at an image."""


def interpolate(model: nn.Module, z_from: Tensor, z_to: Tensor, steps: int) -> Tensor:
    """Decode z_i = z_from (1 - i/n) + z_to (i/n) for i = 0 to n.

    This is eq. 3.1 of the thesis on ECINN, less a misprint in its shares.

    Args:
        model: A model that can decode.
        z_from: Latents at the beginning, on the model's device, shape (N, ...).
        z_to: Latents at the end, the same shape.
        steps: The n, at least 1.

    Returns:
        Scaled images, unclipped, shape (steps + 1, N, C, H, W); the first and
        the last are the reconstructions of both ends.

    Raises:
        LeighError: The model cannot decode, or there is no step.
        ValueError: The shapes differ.
    """
    network = require_capabilities(model, ("decode",), "interpolation")
    if steps < 1:
        raise LeighError(f"An interpolation of {steps} steps is too short; give at least 1.")
    if z_from.shape != z_to.shape:
        raise ValueError(f"the latents' shapes {tuple(z_from.shape)} and {tuple(z_to.shape)} differ")
    with evaluating(model):
        return torch.stack([network.decode(_latents_at_step(z_from, z_to, i, steps)) for i in range(steps + 1)])


class Interpolation(NamedTuple):
    """Frames from N images to their end points.

    Attributes:
        frames: Scaled, unclipped, shape (steps + 1, N, C, H, W).
        target: Class that each one ends at, shape (N,); -1 where the end is an image.
        start: Latents at the beginning, shape (N, ...).
        end: Latents at the end, the same shape.
    """

    frames: Tensor
    target: Tensor
    start: Tensor
    end: Tensor

    def latent(self, step: int) -> Tensor:
        """Latents (N, ...) that were decoded to a frame."""
        return _latents_at_step(self.start, self.end, step, len(self.frames) - 1)


def interpolate_to_image(model: nn.Module, start: Tensor, end: Tensor, steps: int) -> Interpolation:
    """Interpolate from each image to another one of the user's choice.

    Args:
        model: A model that can decode.
        start: Latents of the images, on the model's device, shape (N, ...).
        end: Latents at the end, the same shape, or (1, ...) for one end that all share.
        steps: Number of steps, at least 1.

    Raises:
        LeighError: The model cannot decode, or there is no step.
        ValueError: The shapes differ.
    """
    if len(end) == 1:
        end = end.expand_as(start)
    target = torch.full((len(start),), NO_TARGET_CLASS, device=start.device)
    return Interpolation(interpolate(model, start, end, steps), target, start, end)


def _latents_at_step(z_from: Tensor, z_to: Tensor, step: int, steps: int) -> Tensor:
    share = step / steps
    return z_from * (1 - share) + z_to * share


def interpolate_to_class_mean(
    model: nn.Module,
    latent: Tensor,
    target: Target,
    means: Means | None,
    steps: int,
    *,
    labels: Tensor | None = None,
) -> Interpolation:
    """Interpolate from each image to the mean latent of a class.

    Args:
        model: A model that can encode and decode.
        latent: Latents of the images, on the model's device, shape (N, ...).
        target: Class for each image (N,), or one for all by name or index. None
            is the second most probable class that has a mean; for a model that
            does not classify, the class whose mean latent is second nearest.
        means: From `class_means` over the training images; those by true class are used.
        steps: Number of steps, at least 1.
        labels: Known class of each image (N,), -1 where it has none; without a
            target it counts as the nearest, so that another class is chosen.

    Raises:
        LeighError: The model lacks a capability or class means, a class is unknown or
            has no training image, or there is no step.
    """
    network = require_capabilities(model, ("encode", "decode"), "interpolation")
    classes = class_names(model)
    if not classes:
        raise LeighError("The model knows no class that an interpolation could lead to; give another field as its end.")
    known = require_means(means, ("true",), (), classes)
    with evaluating(model):
        scores = network.classify(latent) if has_capability(model, "classify") else _negative_distances(latent, known)
        if labels is not None:
            own = torch.nn.functional.one_hot(labels.to(scores.device).clamp(min=0), len(classes)).bool()
            scores = scores.masked_fill(own & (labels.to(scores.device) >= 0)[:, None], torch.inf)
        goal = choose_reachable_target(target, scores, known, ("true",), classes)
    require_means(means, ("true",), set(goal.tolist()), classes)
    end = known["true"].to(latent)[goal]
    return Interpolation(interpolate(model, latent, end, steps), goal, latent, end)


def _negative_distances(latent: Tensor, means: Means) -> Tensor:
    z, centers = (x.to(latent.device, torch.float64).flatten(1) for x in (latent, means["true"]))
    distances = torch.stack([(z - center).norm(dim=1) for center in centers], dim=1)
    if "true_counts" in means:
        distances[:, means["true_counts"].to(z.device) == 0] = torch.inf
    return -distances
