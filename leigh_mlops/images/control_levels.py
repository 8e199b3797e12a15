"""Adjusting the intensities of plates to one level by their negative controls."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from leigh_mlops.errors import LeighError
from leigh_mlops.images.cache import PixelCache
from leigh_mlops.images.scale import ControlReference, histogram, moments

__all__ = [
    "FEWEST_CONTROLS",
    "MOST_CONTROLS",
    "ControlLevel",
    "adjust_cache",
    "apply_adjustment",
    "adjustment",
    "control_levels",
    "fit_control_reference",
    "invert_adjustment",
    "measure_level",
    "spread_rows",
]

Floats = npt.NDArray[np.float32]

FEWEST_CONTROLS, MOST_CONTROLS = 4, 32
"""Fields of negative controls by which a network is adapted to a plate."""


@dataclass(frozen=True)
class ControlLevel:
    """Raw intensities, as acquired, of one plate's negative controls.

    Attributes:
        mean: Mean of all pixels per channel.
        std: Their standard deviation per channel.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]


def spread_rows(rows: npt.NDArray[np.int64], most: int = MOST_CONTROLS) -> npt.NDArray[np.int64]:
    """Select at most so many of some rows, spread evenly over them."""
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), most)).astype(np.int64))]


def control_levels(cache: PixelCache, rows_by_plate: Mapping[str, npt.NDArray[np.int64]]) -> dict[str, ControlLevel]:
    """Measure the controls of each plate as acquired, regardless of the cache's adjustment.

    Args:
        cache: The pixel cache.
        rows_by_plate: Rows of each plate's readable control fields; a plate without any gets no level.
    """
    return {plate: measure_level(cache.pixels, rows, cache.unit) for plate, rows in rows_by_plate.items() if len(rows)}


def measure_level(pixels: npt.NDArray[np.uint16], rows: npt.NDArray[np.int64], unit: float) -> ControlLevel:
    """Measure the level of some fields.

    Args:
        pixels: Counts, shape (N, C, S, S).
        rows: Rows of the fields, shape (n,), n at least 1.
        unit: Raw intensity per count.
    """
    raw = np.tile(np.arange(65536.0) * unit, (pixels.shape[1], 1))
    mean, std = moments(histogram(pixels, rows), raw)
    return ControlLevel(tuple(mean.tolist()), tuple(std.tolist()))


def fit_control_reference(levels: Mapping[str, ControlLevel]) -> ControlReference:
    """The level of the training data: the mean over plates, so that each counts alike.

    Raises:
        LeighError: There is no level.
    """
    if not levels:
        raise LeighError("No plate has negative control wells; add pert_type=negcon to a plate map.")
    means = np.mean([level.mean for level in levels.values()], axis=0)
    stds = np.mean([level.std for level in levels.values()], axis=0)
    return ControlReference(tuple(means.tolist()), tuple(stds.tolist()))


def adjustment(reference: ControlReference, level: ControlLevel) -> Floats:
    """Offset and gain by which a plate's controls get the reference's mean and standard deviation.

    The gain is 1 for a channel whose controls do not vary on the plate or in the
    reference; only the offset then matches the mean.

    Returns:
        Shape (C, 2); the adjusted intensity is offset + gain * raw.
    """
    wanted, found = np.asarray(reference.std), np.asarray(level.std)
    gain = np.ones_like(wanted)
    np.divide(wanted, found, out=gain, where=(wanted > 0) & (found > 0))
    return np.stack([np.asarray(reference.mean) - gain * np.asarray(level.mean), gain], axis=1).astype(np.float32)


def adjust_cache(
    cache: PixelCache, plates: Sequence[str], levels: Mapping[str, ControlLevel], reference: ControlReference
) -> PixelCache:
    """Return the cache with raw intensities adjusted to the reference, plate by plate.

    Args:
        cache: The pixel cache.
        plates: Plate of every row, length N.
        levels: Control level of each of these plates.
        reference: Control level of the training data.

    Raises:
        LeighError: A plate has no level.
    """
    names = sorted(set(plates))
    absent = [name for name in names if name not in levels]
    if absent:
        phrase = f"plate {absent[0]} has" if len(absent) == 1 else f"plates {', '.join(absent)} have"
        whose = "its plate map" if len(absent) == 1 else "their plate maps"
        raise LeighError(
            f"{phrase} no negative control wells; add pert_type=negcon to {whose} or scale by training wells."
        )
    by_plate = {name: adjustment(reference, levels[name]) for name in names}
    return replace(cache, adjust=np.stack([by_plate[plate] for plate in plates]))


def apply_adjustment(raw: Floats, adjustment: Floats) -> Floats:
    """Adjust acquired intensities to the reference.

    Args:
        raw: Intensities as acquired (..., C, H, W).
        adjustment: Offset and gain, shape (C, 2).
    """
    offset, gain = np.moveaxis(adjustment[:, :, None, None], 1, 0)
    level: Floats = offset + gain * raw
    return level


def invert_adjustment(raw: Floats, adjustment: Floats) -> Floats:
    """Convert adjusted intensities back to the units in which they were acquired.

    Args:
        raw: Adjusted intensities (..., C, H, W).
        adjustment: Offset and gain, shape (C, 2).
    """
    offset, gain = np.moveaxis(adjustment[:, :, None, None], 1, 0)
    acquired: Floats = (raw - offset) / gain
    return acquired
