"""Direction and step lengths from one class to another in latent space, as published for ECINN."""

from typing import NamedTuple

import torch
from torch import Tensor

from leigh_mlops.errors import LeighError
from leigh_mlops.explanations.counterfactuals.class_means import Means

__all__ = ["EcinnStep", "ecinn"]


class EcinnStep(NamedTuple):
    """Steps of N latents from their class to another, z' = z + alpha * delta.

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
        """Return whether a step of ``alpha`` (N,) does not go past the hyperplane, shape (N,).

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
        target: Requested class q, shape (N,), another than p.
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
