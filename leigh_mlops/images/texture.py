"""Features of a field by which real and generated fields are told apart: intensity, texture, correlation."""

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt

from leigh_mlops.images.intensity import INTENSITY_NAMES, intensity_features
from leigh_mlops.images.scale import transform_intensities

__all__ = ["texture_features", "texture_names"]

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

_DISTANCES_PX = (1, 2, 4, 8, 16)
_CHUNK_NUMBERS = 2**20
_LEAST_NORM = 1e-6


def texture_features(raw: Floats, full_scale: int) -> Doubles:
    """Intensities, differences at five distances, and correlations of the channels of each field.

    Differences and correlations are of log intensities, log(1 + 255 raw / full scale). Differences are taken
    down and across at 1, 2, 4, 8 and 16 px: their mean absolute value is the contrast at that distance, their standard
    deviation weighs the few large ones.

    Args:
        raw: Raw intensities, shape (N, C, H, W), both sides above 16 px.
        full_scale: Largest raw intensity of the file type: 255 or 65535.

    Returns:
        Shape (N, 29 C + C (C - 1) / 2), in the order of :func:`texture_names`: intensities in 255ths of the full scale
        (nine per channel), differences of logs, correlations from -1 to 1 (0 for an empty channel).

    Raises:
        ValueError: A side is at most 16 px.

    Example:
        >>> texture_features(np.zeros((2, 3, 32, 32), np.float32), 255).shape
        (2, 90)
    """
    if min(raw.shape[2:]) <= _DISTANCES_PX[-1]:
        raise ValueError(f"images are of shape {raw.shape}; give sides above {_DISTANCES_PX[-1]} px")
    step = max(_CHUNK_NUMBERS // int(np.prod(raw.shape[1:])), 1)
    chunks = [raw[start : start + step] for start in range(0, max(len(raw), 1), step)]
    return np.concatenate([_chunk_features(chunk, full_scale) for chunk in chunks])


def texture_names(channels: Sequence[str]) -> tuple[str, ...]:
    """Names of the features of :func:`texture_features`, given the names of the C channels.

    Example:
        >>> names = texture_names(["DAPI", "TMRM"])
        >>> len(names), names[0], names[18], names[-1]
        (59, 'DAPI mean', 'DAPI mean difference down at 1 px', 'correlation of DAPI and TMRM')
    """
    names = [f"{channel} {name}" for channel in channels for name in INTENSITY_NAMES]
    for distance in _DISTANCES_PX:
        for kind in ("mean difference", "spread of differences"):
            for way in ("down", "across"):
                names += [f"{channel} {kind} {way} at {distance} px" for channel in channels]
    return (*names, *(f"correlation of {one} and {other}" for one, other in combinations(channels, 2)))


def _chunk_features(raw: Floats, full_scale: int) -> Doubles:
    counts = raw * np.float32(255 / full_scale)
    logs = transform_intensities(raw, "log", full_scale)
    return np.concatenate([intensity_features(counts), *_difference_features(logs), _correlations(logs)], axis=1)


def _difference_features(logs: Floats) -> Iterator[Doubles]:
    """Mean absolute differences and their standard deviations, each (N, C) and down before across."""
    for distance in _DISTANCES_PX:
        ways = (
            logs[..., distance:, :] - logs[..., :-distance, :],
            logs[..., distance:] - logs[..., :-distance],
        )
        means = [way.mean(axis=(2, 3), dtype=np.float64) for way in ways]
        squares = [
            np.einsum("nchw,nchw->nc", way, way, dtype=np.float64) / (way.shape[2] * way.shape[3]) for way in ways
        ]
        yield from (np.abs(way, out=way).mean(axis=(2, 3), dtype=np.float64) for way in ways)
        yield from (np.sqrt(np.maximum(s - m**2, 0)) for s, m in zip(squares, means, strict=True))


def _correlations(logs: Floats) -> Doubles:
    """Pearson's correlation of each pair of channels, shape (N, C (C - 1) / 2)."""
    flat = logs.reshape(*logs.shape[:2], logs.shape[2] * logs.shape[3]).astype(np.float64)
    flat -= flat.mean(axis=2, keepdims=True)
    flat /= np.maximum(np.linalg.norm(flat, axis=2, keepdims=True), _LEAST_NORM)
    first, second = np.triu_indices(logs.shape[1], 1)
    correlations: Doubles = np.einsum("npi,nqi->npq", flat, flat)[:, first, second]
    return correlations
