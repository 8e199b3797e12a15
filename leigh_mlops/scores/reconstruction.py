"""How near a reconstruction comes to its image."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["mae", "mse"]


def mse(images: ArrayLike, reconstructions: ArrayLike) -> NDArray[np.float64]:
    """Mean squared error of each image.

    Args:
        images: Any unit, shape (N, C, H, W).
        reconstructions: The same unit and shape.

    Returns:
        Errors in that unit squared, shape (N,).

    Raises:
        ValueError: The shapes differ.

    Example:
        >>> mse(np.zeros((2, 1, 1, 2)), [[[[1.0, 3.0]]], [[[0.0, 2.0]]]]).tolist()
        [5.0, 2.0]
    """
    return _per_image_mean(_residuals(images, reconstructions) ** 2)


def mae(images: ArrayLike, reconstructions: ArrayLike) -> NDArray[np.float64]:
    """Mean absolute error of each image.

    Args:
        images: Any unit, shape (N, C, H, W).
        reconstructions: The same unit and shape.

    Returns:
        Errors in that unit, shape (N,).

    Raises:
        ValueError: The shapes differ.

    Example:
        >>> mae(np.zeros((2, 1, 1, 2)), [[[[1.0, -3.0]]], [[[0.0, 2.0]]]]).tolist()
        [2.0, 1.0]
    """
    return _per_image_mean(np.abs(_residuals(images, reconstructions)))


def _residuals(images: ArrayLike, reconstructions: ArrayLike) -> NDArray[np.float64]:
    first, second = np.asarray(images, dtype=np.float64), np.asarray(reconstructions, dtype=np.float64)
    if first.shape != second.shape or first.ndim != 4:
        raise ValueError(f"the shapes {first.shape} and {second.shape} do not fit; give (N, C, H, W) twice")
    return second - first


def _per_image_mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    means: NDArray[np.float64] = values.mean(axis=(1, 2, 3))
    return means
