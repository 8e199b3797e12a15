"""Decoding many latents, with what is known of how well it went."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from leigh_mlops.explanations.capabilities import require
from leigh_mlops.images import IntensityScale
from leigh_mlops.models import InverseError

__all__ = ["AT_ONCE", "Decoded", "decode_all", "raw_images"]

AT_ONCE = 32
"""Latents that are decoded in one pass; more would only take memory."""

Floats = npt.NDArray[np.float32]


class Decoded(NamedTuple):
    """Images of N latents; all numbers of one that could not be inverted are NaN.

    Attributes:
        images: Scaled, unclipped, shape (N, C, H, W).
        padding_energy: Share of the sum of squares that was in padding channels and is dropped,
            0 to 1, shape (N,); NaN for a model that does not say.
        residual: Largest last step of an iterative inverse, relative to its output, shape (N,);
            NaN for a model that does not say.
        failures: Why each could not be inverted, length N; empty text where it could.
    """

    images: Tensor
    padding_energy: Tensor
    residual: Tensor
    failures: tuple[str, ...]


def decode_all(model: nn.Module, latents: Tensor) -> Decoded:
    """Decode latents (N, ...), at most 32 in one pass; whoever calls holds the model in evaluation mode.

    A latent that cannot be inverted fails alone: the others are decoded without it.

    Raises:
        LeighError: The model cannot decode.
    """
    return _joined([_decoded_or_why(model, some) for some in torch.split(latents, AT_ONCE)])


def raw_images(images: Tensor, failures: Sequence[str], scale: IntensityScale) -> tuple[Floats, tuple[str, ...]]:
    """Raw intensities of decoded images, unclipped, and why there are none.

    Args:
        images: Scaled, shape (N, C, H, W).
        failures: Why each could not be inverted, length N; empty text where it could.
        scale: From the model's units to raw intensities.

    Returns:
        Shape (N, C, H, W), and the failures with those images whose intensities are larger than
        float32 holds, as the log scale may make them.
    """
    raw = scale.invert(images.float().cpu().numpy())
    return raw, tuple(
        why or ("" if np.isfinite(image).all() else "its intensities are too large for any file")
        for why, image in zip(failures, raw, strict=True)
    )


def _decoded_or_why(model: nn.Module, latents: Tensor) -> Decoded:
    try:
        return _decoded(model, latents)
    except InverseError as error:
        if len(latents) > 1:
            return _joined([_decoded_or_why(model, half) for half in latents.chunk(2)])
        spec = model.spec
        unknown = torch.full((1,), torch.nan, device=latents.device)
        nothing = latents.new_full((1, spec.channels, spec.image_size, spec.image_size), torch.nan)  # type: ignore[union-attr,arg-type]
        return Decoded(nothing, unknown, unknown, (str(error),))


def _joined(parts: list[Decoded]) -> Decoded:
    images, padding_energy, residual, failures = zip(*parts, strict=True)
    return Decoded(torch.cat(images), torch.cat(padding_energy), torch.cat(residual), sum(failures, ()))


def _decoded(model: nn.Module, latents: Tensor) -> Decoded:
    network, fine = require(model, ("decode",), "decoding"), ("",) * len(latents)
    unknown = torch.full((len(latents),), torch.nan, device=latents.device)
    invert = getattr(model, "invert", None)
    if invert is None:
        return Decoded(network.decode(latents), unknown, unknown, fine)
    found = invert(latents)
    return Decoded(found.images[:, : model.spec.channels], found.padding_energy, found.residual, fine)  # type: ignore[union-attr]
