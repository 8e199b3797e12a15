"""False discovery rate of multiple tests."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import false_discovery_control

__all__ = ["false_discovery_rate"]


def false_discovery_rate(p: ArrayLike) -> NDArray[np.float64]:
    """Adjust p-values of one family of tests (Benjamini & Hochberg 1995).

    Args:
        p: p-values, 0 to 1, shape (F,); NaN for tests that could not be made, which
            do not count.

    Returns:
        Smallest false discovery rate at which each test is rejected, shape (F,); NaN stays NaN.

    Example:
        >>> false_discovery_rate([0.01, float("nan"), 0.04]).round(3).tolist()
        [0.02, nan, 0.04]
    """
    adjusted = np.array(p, dtype=np.float64)
    made = ~np.isnan(adjusted)
    if made.any():
        adjusted[made] = false_discovery_control(adjusted[made], method="bh")
    return adjusted
