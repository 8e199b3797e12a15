"""Reconstruction errors of a model, beside those of principal components of the same size."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from leigh_mlops.images import IntensityScale
from leigh_mlops.models import PCABaseline

__all__ = ["channel_errors", "reconstruction_columns"]

Floats = npt.NDArray[np.float32]


def channel_errors(raw: Floats, reconstructed: Floats) -> npt.NDArray[np.float64]:
    """Root mean square error of each channel, in the unit of the images.

    Args:
        raw: Images, shape (N, C, H, W).
        reconstructed: A model's reconstructions of them, the same shape.

    Returns:
        Shape (N, C).

    Example:
        >>> channel_errors(np.zeros((1, 2, 1, 2)), np.array([[[[3, 3]], [[0, 2]]]])).round(3).tolist()
        [[3.0, 1.414]]
    """
    difference = np.asarray(reconstructed, np.float64) - np.asarray(raw, np.float64)
    errors: npt.NDArray[np.float64] = np.sqrt(np.square(difference).mean(axis=(2, 3)))
    return errors


def reconstruction_columns(
    raw: Floats,
    reconstructed: Floats,
    channels: Sequence[str],
    scale: IntensityScale,
    arrays: Mapping[str, npt.NDArray[Any]],
) -> list[dict[str, float]]:
    """Columns of each reconstruction in a table of fields.

    Args:
        raw: Raw intensities (N, C, H, W), as the model was given them.
        reconstructed: Raw intensities of its reconstructions, the same shape.
        channels: Names, length C.
        scale: Intensity scale of the model.
        arrays: Arrays of the model's package; its components are fitted on the same fields, as many
            as the latent has numbers, or one fewer than there are fields.

    Returns:
        For each of N: ``reconstruction_error_<channel>``, root mean square in raw intensity, and
        where the package has components ``reconstruction_pca_error_<channel>``, the same of theirs.
    """
    errors = {"reconstruction_error": channel_errors(raw, reconstructed)}
    own = {name.removeprefix("pca/"): array for name, array in arrays.items() if name.startswith("pca/")}
    if own:
        given = PCABaseline.from_arrays(own).reconstruct(scale.apply(raw))
        errors["reconstruction_pca_error"] = channel_errors(raw, scale.invert(given))
    return [
        {f"{kind}_{name}": float(each[row, c]) for kind, each in errors.items() for c, name in enumerate(channels)}
        for row in range(len(raw))
    ]
