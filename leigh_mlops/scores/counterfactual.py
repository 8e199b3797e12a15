"""What can be said of a counterfactual from numbers alone."""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "LIGHT_RULE",
    "Light",
    "arrived",
    "background_noise",
    "changed_share",
    "clipped_share",
    "light",
    "mean_change",
    "reencoding_error",
]

Array = NDArray[np.float64]
Light = Literal["green", "amber", "red"]

ROUNDED_COUNT = 0.5
"""A value that far outside the range is inside as a whole count."""

LIMITS = {"reencoding_error": 0.1, "padding_energy": 0.01, "clipped": 0.01, "distance": 1.5}
"""Above these a counterfactual is amber."""

DOUBT = 1.2
"""A probability has arrived if 1 less itself is at most so many times 1 less the one asked for."""

BESIDE_BOUNDARY = 0.05
"""At the boundary the target has half of what it and the largest other class have, give or take so much."""

LIGHT_RULE = (
    "Red: the saved file, read again, is not the target to the model; at the boundary, where two classes are to be "
    f"equal, the target has less than {0.5 - BESIDE_BOUNDARY} of the probability that both have. Amber: not red, but "
    f"at the boundary it has more than {0.5 + BESIDE_BOUNDARY}, or elsewhere the doubt in the target (1 less its "
    f"probability) is more than {DOUBT} times that asked for, its re-encoding error above "
    f"{LIMITS['reencoding_error']}, its padding energy above {LIMITS['padding_energy']}, its share of values outside "
    f"the intensity range above {LIMITS['clipped']}, or its distance from the target class above {LIMITS['distance']} "
    "times that of the class's own images. Green: none of these."
)
"""The rule of `light` in words, to stand beside it."""


def clipped_share(image: ArrayLike, full_scale: float) -> float:
    """Share of values that whole counts of the camera would cut, 0 to 1.

    Args:
        image: Raw intensities, unclipped, shape (C, H, W).
        full_scale: Largest raw intensity, such as 255 or 65535; a value counts where it lies more
            than half a count outside the range.

    Example:
        >>> clipped_share([[[-0.6, -0.4, 255.4, 255.6]]], 255)
        0.5
    """
    values = np.asarray(image, dtype=np.float64)
    return float(((values < -ROUNDED_COUNT) | (values > full_scale + ROUNDED_COUNT)).mean())


def changed_share(image: ArrayLike, counterfactual: ArrayLike, noise: ArrayLike) -> float:
    """Share of pixels that change by more than the noise in some channel, 0 to 1.

    Args:
        image: Raw intensities, shape (C, H, W).
        counterfactual: Raw intensities as saved, unclipped, the same shape.
        noise: Change that counts as none, raw intensity: a number, or one per channel (C,).

    Example:
        >>> changed_share([[[1.0, 1.0]], [[5.0, 5.0]]], [[[1.5, 1.0]], [[9.0, 7.0]]], noise=[0.5, 3.0])
        0.5
    """
    change = np.abs(_change(image, counterfactual))
    return float((change > np.broadcast_to(noise, len(change))[:, None, None]).any(axis=0).mean())


def mean_change(image: ArrayLike, counterfactual: ArrayLike) -> Array:
    """Mean change of each channel, raw intensity, shape (C,); 0 where there is none.

    Args:
        image: Raw intensities, shape (C, H, W).
        counterfactual: Raw intensities as saved, unclipped, the same shape.

    Example:
        >>> mean_change([[[1.0, 2.0]]], [[[4.0, -1.0]]]).tolist()
        [0.0]
    """
    change: Array = _change(image, counterfactual).mean(axis=(1, 2))
    return change


def reencoding_error(latent: ArrayLike, shifted: ArrayLike, reencoded: ArrayLike) -> Array:
    """How far a counterfactual's own latent lies from where it was meant to be.

    Args:
        latent: z of the images, shape (N, ...).
        shifted: z' that was decoded, the same shape.
        reencoded: f(c) of the counterfactual, the same shape.

    Returns:
        norm(f(c) - z') / norm(z' - z), shape (N,): 0 is perfect, 1 as far off as
        the step was long; NaN where the latent was not moved.

    Example:
        >>> reencoding_error([[0.0, 0.0]], [[3.0, 4.0]], [[3.0, 5.0]]).tolist()
        [0.2]
    """
    missed, moved = _distances(shifted, reencoded), _distances(latent, shifted)
    return np.divide(missed, moved, out=np.full_like(moved, np.nan), where=moved > 0)


def background_noise(image: ArrayLike) -> Array:
    """How much the background of one image varies by itself, per channel.

    From the darkest quarter of the pixels, which cells do not reach and a few dead pixels do not
    move: the distance between their upper end and the 2.5th percentile, over what it is for
    normally distributed values of unit spread. At least half a count. Where cells
    cover half of a field or more, it comes out up to half too large, and fewer pixels
    count as changed.

    Args:
        image: Raw intensities, shape (C, H, W).

    Returns:
        Raw intensity, shape (C,).
    """
    pixels = np.asarray(image, dtype=np.float64)
    low, high = np.percentile(pixels.reshape(len(pixels), -1), [2.5, 25], axis=1)
    noise: Array = np.maximum((high - low) / 1.2855, ROUNDED_COUNT)
    return noise


def light(
    *,
    valid: bool,
    probability: float,
    asked: float | None,
    half: float | None,
    reencoding_error: float,
    padding_energy: float,
    clipped: float,
    distance: float,
) -> Light:
    """How far a counterfactual can be trusted, by `LIGHT_RULE`; what is not known (NaN) speaks for neither.

    Args:
        valid: Whether the saved file, read again, is the target.
        probability: The target's, for the saved file, 0 to 1.
        asked: The probability asked for; None where none was.
        half: Of a picture at the boundary, the target's share of the probability that it and the
            largest other class have, 0 to 1; None elsewhere.
        reencoding_error: From `reencoding_error`.
        padding_energy: Share of the energy that padding channels held, 0 to 1.
        clipped: Share of values outside the range, 0 to 1.
        distance: Of the saved file's latent from the mean of the target class, in units of that
            class's own root mean square distance.

    Example:
        >>> light(valid=True, probability=0.96, asked=0.95, half=None, reencoding_error=0.01,
        ...       padding_energy=0.0, clipped=0.0, distance=1.0)
        'green'
    """
    if not valid if half is None else half < 0.5 - BESIDE_BOUNDARY:
        return "red"
    measured = {
        "reencoding_error": reencoding_error, "padding_energy": padding_energy,
        "clipped": clipped, "distance": distance,
    }  # fmt: skip
    beyond = any(measured[name] > limit for name, limit in LIMITS.items())
    past = half is not None and half > 0.5 + BESIDE_BOUNDARY
    return "amber" if beyond or past or not arrived(probability, asked) else "green"


def arrived(probability: float, asked: float | None) -> bool:
    """Whether a probability is that asked for, or leaves at most 1.2 times its doubt.

    Example:
        >>> arrived(0.945, 0.95), arrived(0.98, 0.999), arrived(0.51, None)
        (True, False, True)
    """
    return asked is None or 1 - probability <= DOUBT * (1 - asked)


def _change(image: ArrayLike, counterfactual: ArrayLike) -> Array:
    return np.asarray(counterfactual, dtype=np.float64) - np.asarray(image, dtype=np.float64)


def _distances(a: ArrayLike, b: ArrayLike) -> Array:
    difference = np.asarray(b, dtype=np.float64) - np.asarray(a, dtype=np.float64)
    distances: Array = np.linalg.norm(difference.reshape(len(difference), -1), axis=1)
    return distances
