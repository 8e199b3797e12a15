"""Decoding of many latents, with measures of its quality."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from leigh_mlops.explanations.capabilities import require_capabilities
from leigh_mlops.images import IntensityScale
from leigh_mlops.models import InverseError

__all__ = ["LATENTS_PER_PASS", "DecodedImages", "decode_all", "raw_images"]

LATENTS_PER_PASS = 32
"""Number of latents that are decoded in one pass; more would only take memory."""

Floats = npt.NDArray[np.float32]


class DecodedImages(NamedTuple):
    """Images of N latents; all numbers of one that could not be inverted are NaN.

    Attributes:
        images: Scaled, unclipped, shape (N, C, H, W).
        padding_energy: Share of the sum of squares that was in padding channels and is dropped,
            0 to 1, shape (N,); NaN for a model that does not report it.
        residual: Largest last step of an iterative inverse, relative to its output, shape (N,);
            NaN for a model that does not report it.
        failures: Reason why each could not be inverted, length N; empty text where it could.
    """

    images: Tensor
    padding_energy: Tensor
    residual: Tensor
    failures: tuple[str, ...]

    def chunks(self, size: int) -> list["DecodedImages"]:
        """Return parts of N' images each, of which N is a multiple."""
        return [
            DecodedImages(
                self.images[rows], self.padding_energy[rows], self.residual[rows], self.failures[rows.start : rows.stop]
            )
            for rows in (slice(start, start + size) for start in range(0, len(self.failures), size))
        ]


def decode_all(model: nn.Module, latents: Tensor) -> DecodedImages:
    """Decode latents (N, ...), at most 32 in one pass; the caller keeps the model in evaluation mode.

    A latent that cannot be inverted fails alone: the others are decoded without it.

    Raises:
        LeighError: The model cannot decode.
    """
    return _concatenate([_decode_with_failures(model, some) for some in torch.split(latents, LATENTS_PER_PASS)])


def raw_images(images: Tensor, failures: Sequence[str], scale: IntensityScale) -> tuple[Floats, tuple[str, ...]]:
    """Raw intensities of decoded images, unclipped, and the reason where there are none.

    Args:
        images: Scaled, shape (N, C, H, W).
        failures: Reason why each could not be inverted, length N; empty text where it could.
        scale: From the model's units to raw intensities.

    Returns:
        Shape (N, C, H, W), and the failures, to which are added images whose intensities exceed
        float32, which the log scale may cause.
    """
    raw = scale.invert(images.float().cpu().numpy())
    return raw, tuple(
        why or ("" if np.isfinite(image).all() else "its intensities are too large for any file")
        for why, image in zip(failures, raw, strict=True)
    )


def _decode_with_failures(model: nn.Module, latents: Tensor) -> DecodedImages:
    try:
        return _decode(model, latents)
    except InverseError as error:
        if len(latents) > 1:
            return _concatenate([_decode_with_failures(model, half) for half in latents.chunk(2)])
        spec = model.spec
        unknown = torch.full((1,), torch.nan, device=latents.device)
        nothing = latents.new_full((1, spec.channels, spec.image_size, spec.image_size), torch.nan)  # type: ignore[union-attr,arg-type]
        return DecodedImages(nothing, unknown, unknown, (str(error),))


def _concatenate(parts: list[DecodedImages]) -> DecodedImages:
    images, padding_energy, residual, failures = zip(*parts, strict=True)
    return DecodedImages(torch.cat(images), torch.cat(padding_energy), torch.cat(residual), sum(failures, ()))


def _decode(model: nn.Module, latents: Tensor) -> DecodedImages:
    network, fine = require_capabilities(model, ("decode",), "decoding"), ("",) * len(latents)
    unknown = torch.full((len(latents),), torch.nan, device=latents.device)
    invert = getattr(model, "invert", None)
    if invert is None:
        return DecodedImages(network.decode(latents), unknown, unknown, fine)
    found = invert(latents)
    return DecodedImages(found.images[:, : model.spec.channels], found.padding_energy, found.residual, fine)  # type: ignore[union-attr]
