"""Quality of one field by its pixels: exposure, focus, signal and debris."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from leigh_mlops.images.source import Pixels

__all__ = ["QUALITY_NUMBERS", "measure_field", "measure_plane"]

QUALITY_NUMBERS = (
    "mean",
    "max",
    "bits",
    "at_max",
    "focus",
    "foreground",
    "background",
    "background_spread",
    "debris",
)
"""Quality measures of every channel."""

_LATTICE = 270  # samples along a side: fractions of 1 in 70,000 pixels are detected
_TILES, _TILE_PX = 6, 64  # 36 tiles hold 3 % of a 2160 x 2160 image
_WINDOW_PX = 5  # of half-resolution pixels: structure finer than 10 px counts as sharp
_SIGNAL_SPREADS = 4.0  # one background pixel in 30,000 lies above
_DEBRIS_FACTOR = 12.0
_ROUNDING_SPREAD = 12**-0.5  # standard deviation of rounding to integers
_NOISE_SPREADS = 5.0
_DEPTHS = (8, 10, 12, 14, 16)

Floats = npt.NDArray[np.float32]


def measure_field(image: Pixels | Sequence[Pixels], channels: Iterable[str]) -> dict[str, float]:
    """Measure every channel of a field.

    Args:
        image: Shape (C, H, W), as acquired.
        channels: Their C names.

    Returns:
        ``mean_<c>``, ``max_<c>`` and so on for each of :data:`QUALITY_NUMBERS` and each channel.
    """
    return {
        f"{name}_{channel}": value
        for channel, plane in zip(channels, image, strict=True)
        for name, value in measure_plane(plane).items()
    }


def measure_plane(plane: Pixels) -> Mapping[str, float]:
    """Measure one channel of a field.

    Args:
        plane: Shape (H, W), as acquired.

    Returns:
        ``mean``, ``max``, ``background`` and ``background_spread`` in the units
        of the file; ``bits``, the bitwise or of the values; the shares
        ``at_max``, ``foreground`` and ``debris`` from 0 to 1, and ``focus`` from
        0 (no detail) to 1, NaN where there is nothing to focus on.
        Large planes are sampled in two rows of every few, 540 in all.
    """
    step = min(plane.shape) // _LATTICE // 2 * 2
    rows = _sample_rows(plane, step)
    top = int(rows.max())
    samples = _sample_lattice(rows, step)
    background, spread = _background(samples)
    signal = samples[np.searchsorted(samples, background + _SIGNAL_SPREADS * spread, side="right") :]
    return {
        "mean": cv2.mean(rows)[0],
        "max": top,
        "bits": int(np.bitwise_or.reduce(np.bitwise_or.reduce(rows, axis=0))),
        "at_max": _fraction_of_value(rows, top) if _is_saturation_value(top, 8 * plane.dtype.itemsize) else 0.0,
        "focus": _focus(plane),
        "foreground": len(signal) / len(samples),
        "background": background,
        "background_spread": spread,
        "debris": _count_debris(signal, background) / len(samples),
    }


def _sample_rows(plane: Pixels, step: int) -> Pixels:
    """Pairs of adjacent rows, one pair in every ``step`` rows; all rows of a small plane."""
    if step < 2:
        return plane
    height, width = plane.shape[0] // step, plane.shape[1] // step * step
    rows: Pixels = plane[: height * step, :width].reshape(height, step, width)[:, :2].reshape(2 * height, width)
    return rows


def _fraction_of_value(plane: Pixels, value: int) -> float:
    return cv2.countNonZero(cv2.inRange(plane, value, value)) / plane.size


def _is_saturation_value(value: int, file_bits: int) -> bool:
    """Return whether a value is the maximum of a detector of 8 to 16 bits, its values shifted left or not."""
    return any(
        value == (2**bits - 1) << shift
        for bits in _DEPTHS
        for shift in range(file_bits - bits + 1)
        if bits <= file_bits and value
    )


def _sample_lattice(rows: Pixels, step: int) -> Floats:
    """Means of 2 x 2 pixels on a lattice over the whole plane, sorted; single pixels where it is small."""
    if step < 2:
        return _sort_values(rows)
    if rows.dtype == np.uint8:
        return _sort_values(_halve_resolution(rows.astype(np.uint16) << np.uint16(8))[:, :: step // 2]) * np.float32(
            1 / 256
        )
    return _sort_values(_halve_resolution(rows)[:, :: step // 2])


def _sort_values(values: npt.NDArray[Any]) -> Floats:
    """Sort values in their integer type, which is faster, and convert them to float32."""
    return np.sort(values, axis=None).astype(np.float32)


def _halve_resolution(rows: Pixels) -> npt.NDArray[Any]:
    size = (rows.shape[1] // 2, rows.shape[0] // 2)
    return cv2.resize(rows, size, interpolation=cv2.INTER_AREA)


def _background(samples: Floats) -> tuple[float, float]:
    """Mode and spread of the pixels without signal.

    The mode is the middle of the shortest range that holds a quarter of the
    samples, looked for in their lower three quarters; the spread is 1.4826
    times the median distance of what lies below it, which signal can't widen.
    """
    count = len(samples)
    quarter, lower = count // 4, 3 * count // 4
    if quarter < 1:
        return float(samples[0]), 0.0
    widths = samples[quarter:lower] - samples[: lower - quarter]
    # Where many ranges are equally short, as in 8-bit files, the middle one of them stands for the mode.
    shortest = np.flatnonzero(widths == widths.min())
    mode = float(samples[shortest[len(shortest) // 2] + quarter // 2])
    below = samples[: np.searchsorted(samples, mode, side="right")]
    return mode, max(1.4826 * (mode - float(below[len(below) // 2])), _ROUNDING_SPREAD)


def _count_debris(signal: Floats, background: float) -> int:
    """Count samples of signal far above the median of the signal, which no living cell reaches."""
    if not len(signal):
        return 0
    usual = float(signal[len(signal) // 2]) - background
    return len(signal) - int(np.searchsorted(signal, background + _DEBRIS_FACTOR * usual, side="right"))


def _focus(plane: Pixels) -> float:
    """Share of fine structure in the structure of tiles all over the plane.

    Each 2 x 2 pixels give two images, one per diagonal. They show the same scene
    with independent noise, so that covariances between them hold structure
    alone, whatever the exposure. The focus is NaN where no structure stands out of the noise.
    """
    if min(plane.shape) < 4 * _WINDOW_PX:
        return float("nan")
    first, second = _diagonals(plane)
    whole, norm = _covariance(_centre_tiles(first), _centre_tiles(second))
    if whole <= norm * _NOISE_SPREADS:
        return float("nan")
    fine, _ = _covariance(_fine_structure(first), _fine_structure(second))
    return float(np.clip(fine / whole, 0, 1))


def _diagonals(plane: Pixels) -> tuple[Floats, Floats]:
    """Two half-resolution images of the tiles side by side, (tiles, pixels, tiles, pixels)."""
    tiles = max(1, min(_TILES, min(plane.shape) // _TILE_PX))
    height, width = (length // tiles // 2 * 2 for length in plane.shape)
    high, wide = min(height, _TILE_PX), min(width, _TILE_PX)
    cut = plane[: height * tiles, : width * tiles].reshape(tiles, height, tiles, width)[:, :high, :, :wide]
    pixels = np.ascontiguousarray(cut).astype(np.float32)
    first = pixels[:, 0::2, :, 0::2] + pixels[:, 1::2, :, 1::2]
    return first, pixels[:, 0::2, :, 1::2] + pixels[:, 1::2, :, 0::2]


def _centre_tiles(tiles: Floats) -> Floats:
    centred: Floats = tiles - tiles.mean(axis=(1, 3), keepdims=True)
    return centred


def _fine_structure(tiles: Floats) -> Floats:
    rows, high, columns, wide = tiles.shape
    blurred = cv2.blur(tiles.reshape(rows * high, columns * wide), (_WINDOW_PX, _WINDOW_PX))
    fine: Floats = tiles - blurred.reshape(tiles.shape)
    return fine


def _covariance(first: Floats, second: Floats) -> tuple[float, float]:
    """Sum of products within the tiles, and its spread if the two had nothing in common."""
    edge = _WINDOW_PX // 2  # blurred with the neighbouring tile
    first, second = (np.ascontiguousarray(one[:, edge:-edge, :, edge:-edge]).ravel() for one in (first, second))
    spread = math.sqrt(float(first @ first) * float(second @ second) / max(1, len(first)))
    return float(first @ second), spread
