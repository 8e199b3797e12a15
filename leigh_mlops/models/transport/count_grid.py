"""Steps in which the intensities of a file lie, so that changed images are offered in the same ones."""

import numpy as np
import numpy.typing as npt

__all__ = ["COUNT_STEPS", "round_to_steps"]

COUNT_STEPS = (1.0, 1 / 256)
"""Steps of raw intensities: whole counts, and those of 8-bit fields that were resized."""

Floats = npt.NDArray[np.float32]


def round_to_steps(raw: Floats, changed: Floats) -> Floats:
    """Changed images, each in the largest of `COUNT_STEPS` in which all intensities of its original lie.

    A file holds few exact values, by which any other one would be known as made. Where the original
    lies in no such step, as after an adjustment, the image stays as it is.

    Args:
        raw: Images in raw intensities, shape (N, C, H, W).
        changed: The same after a change.

    Example:
        >>> whole = np.ones((1, 1, 1, 2), np.float32)
        >>> round_to_steps(whole, whole + np.float32([0.3, 1.6])).tolist()
        [[[[1.0, 3.0]]]]
    """
    rounded = changed.copy()
    for step in sorted(COUNT_STEPS):
        lies = [bool((each / step == np.rint(each / step)).all()) for each in raw]
        rounded[lies] = np.rint(changed[lies] / step) * step
    return rounded
