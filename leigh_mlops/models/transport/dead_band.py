"""Changes too small to be meant, which are left out."""

import numpy as np
import numpy.typing as npt

__all__ = ["DEAD_BAND_COUNTS", "drop_small_changes"]

DEAD_BAND_COUNTS = 0.1
"""Changes below it are dropped, in 255ths of the full scale; a linear judge is fooled by hundredths of them."""

Floats = npt.NDArray[np.float32]


def drop_small_changes(raw: Floats, changed: Floats, full_scale: int, counts: float = DEAD_BAND_COUNTS) -> Floats:
    """Changed images in which pixels that hardly change are as they were.

    Args:
        raw: Images in raw intensities, any shape.
        changed: The same after a change.
        full_scale: Largest raw intensity of the file type.
        counts: Least change that stays, in 255ths of the full scale.

    Example:
        >>> drop_small_changes(np.float32([5, 5]), np.float32([5.05, 7]), 255).tolist()
        [5.0, 7.0]
    """
    least = np.float32(counts * full_scale / 255)
    return np.where(np.abs(changed - raw) < least, raw, changed)
