"""Counterfactuals: how this image would look in another class."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from leigh_mlops.errors import LeighError
from leigh_mlops.explanations.capabilities import class_names, require
from leigh_mlops.explanations.evaluation import evaluating
from leigh_mlops.explanations.means import Means, require_means
from leigh_mlops.explanations.targets import Target, choose_target

__all__ = ["Counterfactual", "EcinnStep", "counterfactual", "ecinn"]

NEEDS = ("encode", "decode", "classify")


class EcinnStep(NamedTuple):
    """The way of N latents from their class to another, z' = z + alpha * delta.

    Attributes:
        alpha_0: Step that ends on the hyperplane between both classes, float64, shape (N,).
        alpha_1: The convincing step, float64, shape (N,).
        delta: Direction, in the unit of the latents, shape (N, ...).
        slope: w^T delta, float64, shape (N,); above 0 wherever a longer step goes
            further to the target's side, which is the case for any model that has learned.
    """

    alpha_0: Tensor
    alpha_1: Tensor
    delta: Tensor
    slope: Tensor

    def falls_short(self, alpha: Tensor) -> Tensor:
        """Whether a step of ``alpha`` (N,) does not go past the hyperplane, shape (N,).

        ``alpha_0`` never does, as it ends on it; ``alpha_1`` does while ``alpha_0`` is below 1.6.
        """
        return (alpha - self.alpha_0) * self.slope <= 0


def ecinn(z: Tensor, source: Tensor, target: Tensor, means: Means) -> EcinnStep:
    """Direction and length of a counterfactual's step (ECINN, Hvilshoj et al. 2021).

    Delta is the difference of the means by predicted class; the hyperplane
    w^T z + b = 0 stands upright halfway between the means by true class:
    alpha_0 = -(w^T z + b) / (w^T Delta) and alpha_1 = 4/5 + alpha_0 / 2, a sum as
    in the published code; the thesis prints a product. Computed in float64.

    The hyperplane is that of Gaussian classes of unit covariance. A network's
    own boundary is another, so the result has to be classified again.

    Args:
        z: Latents, shape (N, ...).
        source: Predicted class p, shape (N,).
        target: Class q asked for, shape (N,), another than p.
        means: ``true`` and ``predicted``, each of shape (K, ...).

    Returns:
        The step of each latent.

    Raises:
        LeighError: The means of p and q give no direction.
    """
    true, predicted = (means[kind].to(z.device, torch.float64).flatten(1) for kind in ("true", "predicted"))
    w = true[target] - true[source]
    halfway = (true[target] + true[source]) / 2
    delta = predicted[target] - predicted[source]
    slope = (w * delta).sum(dim=1)
    if (slope == 0).any():
        raise LeighError(
            "The mean latents of two classes give no direction from one to the other;"
            " train the model for longer or on more images."
        )
    # w^T (z - halfway) is w^T z + b without the cancellation of two large numbers.
    alpha_0 = -(w * (z.double().flatten(1) - halfway)).sum(dim=1) / slope
    return EcinnStep(alpha_0, 4 / 5 + alpha_0 / 2, delta.view_as(z).to(z.dtype), slope)


@dataclass(frozen=True)
class Counterfactual:
    """Counterfactuals of N images and how they came about.

    Attributes:
        images: Scaled, unclipped, shape (N, C, H, W).
        source: Class predicted for the original, shape (N,).
        target: Class asked for, shape (N,).
        alpha: Length of the step taken, float64, shape (N,).
        alpha_0: Length that ends on the hyperplane, float64, shape (N,).
        falls_short: Whether the step does not go past the hyperplane, shape (N,).
        latent: z of the original, shape (N, ...).
        shifted: z' that was decoded, shape (N, ...).
    """

    images: Tensor
    source: Tensor
    target: Tensor
    alpha: Tensor
    alpha_0: Tensor
    falls_short: Tensor
    latent: Tensor
    shifted: Tensor


def counterfactual(
    model: nn.Module,
    images: Tensor,
    target: Target,
    means: Means | None,
    *,
    which: str | float = "alpha_1",
) -> Counterfactual:
    """How each image would look in another class (ECINN, see `ecinn`).

    Args:
        model: A model that can encode, decode and classify.
        images: Scaled, on the model's device, shape (N, C, H, W).
        target: Class for each image (N,), or one for all by name or index; None
            is the second most probable class, for two classes the other one.
        means: From `class_means` over the training images.
        which: ``alpha_1``, ``alpha_0``, or a length of the user's own.

    Returns:
        The counterfactuals, also those that fall short or that the model does not believe.

    Raises:
        LeighError: The model cannot, has no means, a class is unknown or was
            never seen, or an image already has its target.
    """
    network = require(model, NEEDS, "counterfactual")
    classes = class_names(model)
    with evaluating(model):
        latent = network.encode(images)
        logits = network.classify(latent)
        source, goal = logits.argmax(dim=1), choose_target(target, logits, classes)
        _refuse_standing_still(source, goal, classes)
        used = {*source.tolist(), *goal.tolist()}
        step = ecinn(latent, source, goal, require_means(means, ("true", "predicted"), used, classes))
        alpha = _length(step, which)
        shifted = latent + alpha.view(-1, *[1] * (latent.dim() - 1)).to(latent.dtype) * step.delta
        decoded = network.decode(shifted)
    return Counterfactual(decoded, source, goal, alpha, step.alpha_0, step.falls_short(alpha), latent, shifted)


def _refuse_standing_still(source: Tensor, target: Tensor, classes: tuple[str, ...]) -> None:
    same = (source == target).nonzero().flatten().tolist()
    if same:
        raise LeighError(
            f"Image {same[0]} is already classified as {classes[int(source[same[0]])]}, as are {len(same)} of"
            f" {len(source)}; leave them out or choose another target."
        )


def _length(step: EcinnStep, which: str | float) -> Tensor:
    if not isinstance(which, str):
        return torch.full_like(step.alpha_0, which)
    lengths = {"alpha_1": step.alpha_1, "alpha_0": step.alpha_0}
    if which not in lengths:
        raise LeighError(f"Unknown step {which!r}; give {' or '.join(lengths)} or a number.")
    return lengths[which]
