"""Optics: blur of square images, with every length a share of the image's side."""

import numpy as np
import numpy.typing as npt

__all__ = ["Plane", "blur", "defocus", "enlarge", "uneven_illumination"]

Plane = npt.NDArray[np.float32]

_NARROW_PX = 4.0


def blur(plane: Plane, sigma: float) -> Plane:
    """Blur with a Gaussian; light that would leave is mirrored at the edges.

    Args:
        plane: Shape (S, S).
        sigma: Standard deviation as a share of the side.

    Returns:
        Shape (S, S).
    """
    if sigma * len(plane) < _NARROW_PX:
        from scipy.ndimage import gaussian_filter

        return np.asarray(gaussian_filter(plane, sigma * len(plane), truncate=3.0), dtype=np.float32)
    # The cosine transform mirrors at the edges, too, and costs the same however wide the blur is.
    return _from_waves(_waves(plane) * _gaussian(len(plane), sigma))


def enlarge(plane: Plane, size_px: int, sigma: float) -> Plane:
    """Blur an image and resample it to another size by its cosine series.

    Args:
        plane: Shape (S, S).
        size_px: Side of the result; may be smaller, too.
        sigma: Standard deviation of the blur as a share of the side, at least half a pixel of
            ``plane``, so that edges do not ring.

    Returns:
        Shape (size_px, size_px).
    """
    kept = min(size_px, len(plane))
    waves = np.zeros((size_px, size_px), dtype=np.float32)
    waves[:kept, :kept] = (_waves(plane) * _gaussian(len(plane), sigma))[:kept, :kept] * (size_px / len(plane))
    return _from_waves(waves)


def defocus(plane: Plane, radius: float) -> Plane:
    """Spread each point over a disc, as a lens does that is focused above or below the cells.

    Args:
        plane: Shape (S, S).
        radius: Of the disc, as a share of the side; 0 is in focus.

    Returns:
        Shape (S, S).
    """
    from scipy.special import j1

    if radius == 0:
        return plane
    k = np.arange(len(plane), dtype=np.float32)
    phase = np.maximum(np.pi * radius * np.hypot(k[:, None], k), 1e-6)
    # A lens is no perfect pinhole: the rim of the disc is soft.
    spread = 2 * j1(phase) / phase * _gaussian(len(plane), radius / 4)
    return np.maximum(_from_waves(_waves(plane) * spread.astype(np.float32)), 0)


def uneven_illumination(size_px: int, strength: float) -> Plane:
    """Share of the lamp's light at each pixel: brightest near the middle, dim in the corners.

    Args:
        size_px: Side of the image.
        strength: Share of the light that is lacking in a corner, 0 to 0.8.

    Returns:
        Shape (size_px, size_px), at most 1 and above 0.
    """
    place = _places(size_px)
    bowl = np.add.outer((place - 0.04) ** 2, (place + 0.06) ** 2)
    return np.asarray(1 - 2 * strength * bowl, dtype=np.float32)


def _places(size_px: int) -> Plane:
    return ((np.arange(size_px) + 0.5) / size_px - 0.5).astype(np.float32)


def _waves(plane: Plane) -> Plane:
    from scipy.fft import dctn

    return np.asarray(dctn(plane.astype(np.float32, copy=False), norm="ortho"))


def _from_waves(waves: Plane) -> Plane:
    from scipy.fft import idctn

    return np.asarray(idctn(waves, norm="ortho"))


def _gaussian(size_px: int, sigma: float) -> Plane:
    """Transfer of a Gaussian for each wave, shape (size_px, size_px)."""
    fall = np.exp(-((np.pi * sigma * np.arange(size_px)) ** 2) / 2).astype(np.float32)
    return np.multiply.outer(fall, fall)
