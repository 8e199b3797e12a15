"""Intensity features of a field."""

import numpy as np
import numpy.typing as npt

__all__ = ["INTENSITY_NAMES", "intensity_features"]

_PERCENTILES = (1, 10, 25, 50, 75, 99)
INTENSITY_NAMES = ("mean", "standard deviation", *(f"percentile {each}" for each in _PERCENTILES), "maximum")
"""Features of one channel, in the order of :func:`intensity_features`."""


def intensity_features(raw: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Nine features per channel: mean, standard deviation, percentiles 1, 10, 25, 50, 75, 99, maximum.

    Args:
        raw: Raw intensities, shape (N, C, H, W).

    Returns:
        Shape (N, 9 C), all features of the first channel first; 27 for three channels.

    Example:
        >>> intensity_features(np.zeros((2, 3, 4, 4), np.float32)).shape
        (2, 27)
    """
    values = raw.reshape(*raw.shape[:2], raw.shape[2] * raw.shape[3])
    mean, std = values.mean(axis=2, dtype=np.float64), values.std(axis=2, dtype=np.float64)
    features = np.stack([mean, std, *np.percentile(values, _PERCENTILES, axis=2), values.max(axis=2)], axis=2)
    return features.astype(np.float64).reshape(len(raw), features.shape[1] * features.shape[2])
