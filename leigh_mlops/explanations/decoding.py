"""Decoding many latents, with what is known of how well it went."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from leigh_mlops.explanations.capabilities import require

__all__ = ["Decoded", "decode_all"]

AT_ONCE = 32
"""Latents that are decoded in one pass; more would only take memory."""


class Decoded(NamedTuple):
    """Images of N latents.

    Attributes:
        images: Scaled, unclipped, shape (N, C, H, W).
        padding_energy: Share of the sum of squares that was in padding channels and is dropped,
            0 to 1, shape (N,); NaN for a model that does not say.
        residual: Largest last step of an iterative inverse, relative to its output, shape (N,);
            NaN for a model that does not say.
    """

    images: Tensor
    padding_energy: Tensor
    residual: Tensor


def decode_all(model: nn.Module, latents: Tensor) -> Decoded:
    """Decode latents (N, ...), at most 32 in one pass; whoever calls holds the model in evaluation mode.

    Raises:
        LeighError: The model cannot decode.
        InverseError: An inverse did not converge.
    """
    parts = [_decoded(model, some) for some in torch.split(latents, AT_ONCE)]
    return Decoded(*(torch.cat(each) for each in zip(*parts, strict=True)))


def _decoded(model: nn.Module, latents: Tensor) -> Decoded:
    network = require(model, ("decode",), "a counterfactual")
    unknown = torch.full((len(latents),), torch.nan, device=latents.device)
    invert = getattr(model, "invert", None)
    if invert is None:
        return Decoded(network.decode(latents), unknown, unknown)
    found = invert(latents)
    return Decoded(found.images[:, : model.spec.channels], found.padding_energy, found.residual)  # type: ignore[union-attr]
