"""Metrics of counterfactuals, and their status by fixed limits."""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "QUALITY_RULE",
    "QualityStatus",
    "RatedStatus",
    "is_confidence_reached",
    "background_noise",
    "changed_share",
    "clipped_share",
    "quality_status",
    "mean_change",
    "rate_counterfactual",
    "reencoding_error",
]

Array = NDArray[np.float64]
QualityStatus = Literal["green", "amber", "red"]

HALF_COUNT = 0.5
"""Values up to this far outside the range are rounded into it as whole counts."""

AMBER_LIMITS = {"reencoding_error": 0.1, "padding_energy": 0.01, "clipped": 0.01, "distance": 1.5}
"""Limits above which a counterfactual is amber."""

MAX_DOUBT_RATIO = 1.2
"""Largest ratio of 1 - probability to 1 - requested probability at which the request counts as reached."""

BOUNDARY_TOLERANCE = 0.05
"""Tolerance at the boundary, around half of the probability of the target and the largest other class."""


class RatedStatus(NamedTuple):
    """Status of a counterfactual that claims to be the target class, and the reasons why it is not green.

    Attributes:
        status: Green, amber or red.
        reasons: Some of ``own network``, ``oracles``, ``not judged``, ``realism``, ``no cells`` and ``measures``.
    """

    status: QualityStatus
    reasons: tuple[str, ...]


QUALITY_RULE = (
    "Red: the saved file, read again, is not the target to the model; at the boundary, where two classes are to be "
    f"equal, the target has less than {0.5 - BOUNDARY_TOLERANCE} of the probability that both have. Amber: not red, "
    f"but at the boundary it has more than {0.5 + BOUNDARY_TOLERANCE}, or elsewhere the doubt in the target (1 less "
    f"its probability) is more than {MAX_DOUBT_RATIO} times that asked for, "
    f"its re-encoding error above {AMBER_LIMITS['reencoding_error']}, "
    f"its padding energy above {AMBER_LIMITS['padding_energy']}, "
    f"its share of values outside the intensity range above {AMBER_LIMITS['clipped']}, "
    f"or its distance from the target class above {AMBER_LIMITS['distance']} "
    "times that of the class's own images. Green: none of these. An image that claims to be the target (typical, "
    "confident, alpha_1) is red, too, if most independent classifiers deny it, and amber if only half of them agree, "
    "if none evaluated it, if its texture is farther from real fields of the class than 99 % of them are, or if the "
    "field holds no cells. The column of reasons names what is missing."
)
"""Rule of `quality_status` in words, for display."""


def clipped_share(image: ArrayLike, full_scale: float) -> float:
    """Share of values that whole counts of the camera would clip, 0 to 1.

    Args:
        image: Raw intensities, unclipped, shape (C, H, W).
        full_scale: Largest raw intensity, such as 255 or 65535; a value counts if it lies more
            than half a count outside the range.

    Example:
        >>> clipped_share([[[-0.6, -0.4, 255.4, 255.6]]], 255)
        0.5
    """
    values = np.asarray(image, dtype=np.float64)
    return float(((values < -HALF_COUNT) | (values > full_scale + HALF_COUNT)).mean())


def changed_share(image: ArrayLike, counterfactual: ArrayLike, noise: ArrayLike) -> float:
    """Share of pixels that change by more than the noise in some channel, 0 to 1.

    Args:
        image: Raw intensities, shape (C, H, W).
        counterfactual: Raw intensities as saved, unclipped, the same shape.
        noise: Largest change to ignore, raw intensity: a number, or one per channel (C,).

    Example:
        >>> changed_share([[[1.0, 1.0]], [[5.0, 5.0]]], [[[1.5, 1.0]], [[9.0, 7.0]]], noise=[0.5, 3.0])
        0.5
    """
    change = np.abs(_change(image, counterfactual))
    return float((change > np.broadcast_to(noise, len(change))[:, None, None]).any(axis=0).mean())


def mean_change(image: ArrayLike, counterfactual: ArrayLike) -> Array:
    """Mean change of each channel, raw intensity, shape (C,).

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
    """Distance of a counterfactual's own latent from the intended one, relative to the step.

    Args:
        latent: Latents z of the images, shape (N, ...).
        shifted: Decoded latents z', the same shape.
        reencoded: Latents f(c) of the counterfactuals, the same shape.

    Returns:
        norm(f(c) - z') / norm(z' - z), shape (N,): 0 is perfect, 1 an error as
        large as the step; NaN where the latent was not moved.

    Example:
        >>> reencoding_error([[0.0, 0.0]], [[3.0, 4.0]], [[3.0, 5.0]]).tolist()
        [0.2]
    """
    missed, moved = _distances(shifted, reencoded), _distances(latent, shifted)
    return np.divide(missed, moved, out=np.full_like(moved, np.nan), where=moved > 0)


def background_noise(image: ArrayLike) -> Array:
    """Estimate the noise of the background of one image, per channel.

    The estimate uses the darkest quarter of the pixels, which cells do not reach and a few dead pixels do
    not affect: the distance between their upper end and the 2.5th percentile, over that distance for
    normally distributed values of unit spread. It is at least half a count. If cells
    cover half of a field or more, it is up to half too large, and fewer pixels
    count as changed.

    Args:
        image: Raw intensities, shape (C, H, W).

    Returns:
        Noise in raw intensity, shape (C,).
    """
    pixels = np.asarray(image, dtype=np.float64)
    low, high = np.percentile(pixels.reshape(len(pixels), -1), [2.5, 25], axis=1)
    noise: Array = np.maximum((high - low) / 1.2855, HALF_COUNT)
    return noise


def quality_status(
    *,
    valid: bool,
    probability: float,
    confidence: float | None,
    half: float | None,
    reencoding_error: float,
    padding_energy: float,
    clipped: float,
    distance: float,
) -> QualityStatus:
    """Rate the quality of a counterfactual by `QUALITY_RULE`; unknown measures (NaN) are ignored.

    Args:
        valid: Whether the saved file, read again, is the target.
        probability: The target's probability for the saved file, 0 to 1.
        confidence: The requested probability; None if none was requested.
        half: At the boundary, the target's share of the probability of itself and the
            largest other class, 0 to 1; None elsewhere.
        reencoding_error: Error from `reencoding_error`.
        padding_energy: Share of the energy in padding channels, 0 to 1.
        clipped: Share of values outside the range, 0 to 1.
        distance: Distance of the saved file's latent from the mean of the target class, in units of
            that class's own root mean square distance.

    Example:
        >>> quality_status(valid=True, probability=0.96, confidence=0.95, half=None, reencoding_error=0.01,
        ...       padding_energy=0.0, clipped=0.0, distance=1.0)
        'green'
    """
    if not valid if half is None else half < 0.5 - BOUNDARY_TOLERANCE:
        return "red"
    measured = {
        "reencoding_error": reencoding_error, "padding_energy": padding_energy,
        "clipped": clipped, "distance": distance,
    }  # fmt: skip
    beyond = any(measured[name] > limit for name, limit in AMBER_LIMITS.items())
    past = half is not None and half > 0.5 + BOUNDARY_TOLERANCE
    return "amber" if beyond or past or not is_confidence_reached(probability, confidence) else "green"


def rate_counterfactual(
    quality: QualityStatus, *, agreeing: int, asked: int, realism: float, empty: bool
) -> RatedStatus:
    """Rate a counterfactual that claims to be the target class.

    Red if its own network, or most of the independent classifiers, do not predict the target. Green if most of them
    do, the measures are within their limits, the field holds cells, and the image is as realistic as real fields.
    Amber otherwise.

    Args:
        quality: Status by `quality_status`: by its own network and the measures of the saved file.
        agreeing: Number of independent classifiers that predict the target.
        asked: Number of independent classifiers.
        realism: Distance from real fields of the target class, at most 1 within what 99 % of them have; NaN where it
            is not known.
        empty: Whether the field holds no cells.

    Example:
        >>> rate_counterfactual("green", agreeing=3, asked=3, realism=0.8, empty=False)
        RatedStatus(status='green', reasons=())
        >>> rate_counterfactual("green", agreeing=1, asked=3, realism=0.8, empty=False)
        RatedStatus(status='red', reasons=('oracles',))
    """
    found = {
        "own network": quality == "red",
        "oracles": asked > 0 and 2 * agreeing <= asked,
        "not judged": not asked,
        "realism": realism > 1,
        "no cells": empty,
        "measures": quality == "amber",
    }
    reasons = tuple(name for name, holds in found.items() if holds)
    if quality == "red" or 2 * agreeing < asked:
        return RatedStatus("red", reasons)
    return RatedStatus("amber" if reasons else "green", reasons)


def is_confidence_reached(probability: float, confidence: float | None) -> bool:
    """Return whether a probability reaches the requested one, with at most 1.2 times its doubt (1 - probability).

    Example:
        >>> is_confidence_reached(0.945, 0.95), is_confidence_reached(0.98, 0.999), is_confidence_reached(0.51, None)
        (True, False, True)
    """
    return confidence is None or 1 - probability <= MAX_DOUBT_RATIO * (1 - confidence)


def _change(image: ArrayLike, counterfactual: ArrayLike) -> Array:
    return np.asarray(counterfactual, dtype=np.float64) - np.asarray(image, dtype=np.float64)


def _distances(a: ArrayLike, b: ArrayLike) -> Array:
    difference = np.asarray(b, dtype=np.float64) - np.asarray(a, dtype=np.float64)
    distances: Array = np.linalg.norm(difference.reshape(len(difference), -1), axis=1)
    return distances
