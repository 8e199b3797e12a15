"""Steps in latent space and their lengths."""

import torch
from torch import Tensor

__all__ = ["add_step", "latent_norms"]


def add_step(z: Tensor, delta: Tensor, alpha: Tensor) -> Tensor:
    """Latents z + alpha * delta, in the type of ``z``, shape (N, ...).

    Args:
        z: Latents, shape (N, ...).
        delta: Direction of each, the same shape.
        alpha: Length of each step, in lengths of ``delta``, shape (N,).

    Example:
        >>> add_step(torch.zeros(2, 1), torch.ones(2, 1), torch.tensor([0.5, 2.0])).tolist()
        [[0.5], [2.0]]
    """
    return z + alpha.to(z.dtype).view(-1, *[1] * (z.dim() - 1)) * delta


def latent_norms(latents: Tensor) -> Tensor:
    """Euclidean length of each of N latents (N, ...), float64, shape (N,)."""
    # One after the other: a float64 copy of a batch of latents would take much memory.
    return torch.stack([latent.double().norm() for latent in latents])
