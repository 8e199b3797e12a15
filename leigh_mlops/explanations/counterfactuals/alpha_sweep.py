"""Alpha sweeps: images along one direction in latent space."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from leigh_mlops.errors import LeighError
from leigh_mlops.explanations.capabilities import require_capabilities
from leigh_mlops.explanations.counterfactuals.latent_steps import add_step
from leigh_mlops.explanations.counterfactuals.verification import VerifiedCounterfactual
from leigh_mlops.explanations.eval_mode import evaluating
from leigh_mlops.images import IntensityScale
from leigh_mlops.models import ModelPackage

__all__ = ["OVERSHOOT", "decode_sweep", "sweep_alphas", "counterfactual_sweep"]

OVERSHOOT = 1.25
"""Length of a sweep in lengths of its step, so that the images past the counterfactual are shown, too."""


def sweep_alphas(longest: Tensor, steps: int) -> Tensor:
    """Lengths from 0, the original, to 1.25 times each image's step, evenly spaced.

    Args:
        longest: Length of the step of each image, shape (N,).
        steps: Number of lengths S, at least 2.

    Returns:
        Shape (S, N).

    Raises:
        LeighError: There are fewer than 2 steps.

    Example:
        >>> sweep_alphas(torch.tensor([0.8, 1.6]), 3).tolist()
        [[0.0, 0.0], [0.5, 1.0], [1.0, 2.0]]
    """
    if steps < 2:
        raise LeighError(f"A sweep of {steps} steps is too short; give at least 2, or 0 for none.")
    return torch.linspace(0, OVERSHOOT, steps, dtype=longest.dtype, device=longest.device)[:, None] * longest


def decode_sweep(model: nn.Module, z: Tensor, delta: Tensor, alphas: Tensor, *, images_per_pass: int = 8) -> Tensor:
    """Decode z + alpha * delta for each alpha.

    Args:
        model: A model that can decode.
        z: Latents, on the model's device, shape (N, ...).
        delta: Direction of each, the same shape.
        alphas: Lengths, shape (S,) for all latents or (S, N) for each; alpha 0 is the original.
        images_per_pass: Number of images decoded at once, which bounds the shifted latents in memory.

    Returns:
        Scaled images, unclipped, shape (S, N, C, H, W).

    Raises:
        LeighError: The model cannot decode.
        ValueError: The shapes do not fit.
    """
    network = require_capabilities(model, ("decode",), "a sweep")
    if z.shape != delta.shape or alphas.shape[1:] not in ((), z.shape[:1]) or not alphas.numel():
        raise ValueError(f"latents {tuple(z.shape)}, {tuple(delta.shape)} and alphas {tuple(alphas.shape)} do not fit")
    lengths = alphas.to(z).reshape(len(alphas), -1).expand(-1, len(z))
    with evaluating(model):
        images = torch.cat(
            [
                network.decode(add_step(z[places % len(z)], delta[places % len(z)], lengths.flatten()[places]))
                for places in torch.split(torch.arange(lengths.numel(), device=z.device), images_per_pass)
            ]
        )
    return images.view(*lengths.shape, *images.shape[1:])


def counterfactual_sweep(
    package: ModelPackage, made: VerifiedCounterfactual, steps: int
) -> tuple[npt.NDArray[np.float32], list[float]]:
    """Images from the original through its counterfactual and past it.

    Args:
        package: The model.
        made: The counterfactual, whose step has a length.
        steps: Number of images S, at least 2.

    Returns:
        Raw intensities, shape (S, C, H, W), and the length of the step to each.

    Raises:
        InverseError: A latent past the counterfactual cannot be inverted.
        LeighError: The model cannot decode, or there are fewer than 2 steps.
    """
    alphas = sweep_alphas(torch.tensor([made.alpha]), steps)
    way = (made.shifted - made.latent) / made.alpha
    frames = decode_sweep(package.model, made.latent[None], way[None], alphas)[:, 0]
    return IntensityScale.from_json(package.scale).invert(frames.float().cpu().numpy()), alphas[:, 0].tolist()
