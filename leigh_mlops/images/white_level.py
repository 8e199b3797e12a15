"""Raw intensity that counts as white where transforms expect intensities between 0 and 1."""

import numpy as np
import numpy.typing as npt

from leigh_mlops.images.cache import PixelCache

__all__ = ["white_levels"]

MAX_FIELDS = 64
PERCENTILE = 99.99
HEADROOM = 2.0


def white_levels(cache: PixelCache, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Return twice the brightest intensity of some fields in each channel, shape (C,), raw intensities as acquired.

    The brightest is percentile 99.99 over at most 64 fields, evenly spaced among the given ones, so that a hot pixel
    does not decide. A camera's full scale would be a poor unit: many plates use a few percent of it.

    Args:
        cache: The pixel cache.
        rows: Training rows, at least one.
    """
    chosen = rows[np.unique(np.linspace(0, len(rows) - 1, MAX_FIELDS).astype(int))]
    counts = np.moveaxis(cache.pixels[chosen], 1, 0).reshape(cache.pixels.shape[1], -1)
    brightest = np.percentile(counts, PERCENTILE, axis=1) * cache.unit
    levels: npt.NDArray[np.float32] = np.maximum(HEADROOM * brightest, cache.unit).astype(np.float32)
    return levels
