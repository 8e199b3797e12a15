"""What can be said of a counterfactual from numbers alone."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from leigh_mlops.scores.log_probs import as_labels, as_log_probs

__all__ = [
    "LIGHT_RULE",
    "Certificate",
    "Light",
    "arrived",
    "background_noise",
    "certificate",
    "light",
    "reencoding_error",
]

Array = NDArray[np.float64]
Light = Literal["green", "amber", "red"]

ROUNDED_COUNT = 0.5
"""A value that far outside the range is inside as a whole count."""

LIMITS = {"reencoding_error": 0.1, "padding_energy": 0.01, "clipped": 0.01, "distance": 1.5}
"""Above these a counterfactual is amber."""

MISSED = 0.01
"""A probability that far below the one asked for has still arrived."""

LIGHT_RULE = (
    "Red: the saved file, read again, is not the target to the model. Amber: it is, but its probability is more than "
    f"{MISSED} below that asked for, its re-encoding error above {LIMITS['reencoding_error']}, its padding energy "
    f"above {LIMITS['padding_energy']}, its share of values outside the intensity range above {LIMITS['clipped']}, or "
    f"its distance from the target class above {LIMITS['distance']} times that of the class's own images. Green: none "
    "of these."
)
"""The rule of `light` in words, to stand beside it."""


@dataclass(frozen=True)
class Certificate:
    """The measures of N counterfactuals; failed ones are counted, not skipped.

    Attributes:
        predicted: Class of the saved file, shape (N,).
        valid: Whether that is the target, shape (N,).
        probability: The target's probability for the saved file, 0 to 1, shape (N,).
        reencoding_error: norm(f(c) - z') / norm(z' - z), at least 0, shape (N,);
            NaN where the latent was not moved.
        clipped: Share of values that whole counts of the camera would cut, as they lie more than
            half a count outside the range, 0 to 1, shape (N,).
        change_absolute: Mean absolute change per channel, raw intensity, shape (N, C).
        change_signed: Mean change per channel, raw intensity, shape (N, C).
        changed: Share of pixels that change by more than the noise in some
            channel, 0 to 1, shape (N,).
    """

    predicted: NDArray[np.int64]
    valid: NDArray[np.bool_]
    probability: Array
    reencoding_error: Array
    clipped: Array
    change_absolute: Array
    change_signed: Array
    changed: Array


def certificate(
    images: ArrayLike,
    counterfactuals: ArrayLike,
    log_probs: ArrayLike,
    target: ArrayLike,
    reencoding_errors: ArrayLike,
    *,
    full_scale: float,
    noise: ArrayLike,
) -> Certificate:
    """Measures of a set of counterfactuals (after Hvilshoj et al. 2021).

    Changes are those of the saved files, so counterfactuals are clipped to the
    range before they are compared.

    Args:
        images: Raw intensities from 0 to ``full_scale``, shape (N, C, H, W).
        counterfactuals: Raw intensities, not yet clipped, shape (N, C, H, W).
        log_probs: The model's natural log-probabilities for the images as they
            were saved and read again, shape (N, K).
        target: Class asked for, shape (N,), integers from 0 to K - 1.
        reencoding_errors: From `reencoding_error`, shape (N,).
        full_scale: Largest raw intensity, such as 255 or 65535.
        noise: Change that counts as none, raw intensity: a number, one per channel of
            shape (C,), or one per image and channel of shape (N, C).

    Returns:
        The measures, one row per counterfactual.

    Raises:
        ValueError: The shapes do not fit.
    """
    before, after = np.asarray(images, dtype=np.float64), np.asarray(counterfactuals, dtype=np.float64)
    log_p = as_log_probs(log_probs)
    wanted = as_labels(target, log_p)
    errors = np.asarray(reencoding_errors, dtype=np.float64)
    if before.shape != after.shape or before.ndim != 4 or not len(before) == len(log_p) == len(errors):
        raise ValueError(
            f"{before.shape} images, {after.shape} counterfactuals, {log_p.shape} log_probs and"
            f" {errors.shape} errors do not fit; give N of each"
        )
    change = np.clip(after, 0, full_scale) - before
    beyond = np.abs(change) > np.broadcast_to(noise, before.shape[:2])[..., None, None]
    predicted = log_p.argmax(axis=1)
    return Certificate(
        predicted=predicted,
        valid=predicted == wanted,
        probability=np.exp(np.take_along_axis(log_p, wanted[:, None], axis=1)[:, 0]),
        reencoding_error=errors,
        clipped=((after < -ROUNDED_COUNT) | (after > full_scale + ROUNDED_COUNT)).mean(axis=(1, 2, 3)),
        change_absolute=np.abs(change).mean(axis=(2, 3)),
        change_signed=change.mean(axis=(2, 3)),
        changed=beyond.any(axis=1).mean(axis=(1, 2)),
    )


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
    normally distributed values of unit spread. At least half a count.

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
        reencoding_error: From `reencoding_error`.
        padding_energy: Share of the energy that padding channels held, 0 to 1.
        clipped: Share of values outside the range, 0 to 1.
        distance: Of the saved file's latent from the mean of the target class, in units of that
            class's own root mean square distance.

    Example:
        >>> light(valid=True, probability=0.96, asked=0.95, reencoding_error=0.01,
        ...       padding_energy=0.0, clipped=0.0, distance=1.0)
        'green'
    """
    if not valid:
        return "red"
    measured = {
        "reencoding_error": reencoding_error, "padding_energy": padding_energy,
        "clipped": clipped, "distance": distance,
    }  # fmt: skip
    beyond = any(measured[name] > limit for name, limit in LIMITS.items())
    return "amber" if beyond or not arrived(probability, asked) else "green"


def arrived(probability: float, asked: float | None) -> bool:
    """Whether a probability is that asked for, or at most 0.01 below it."""
    return asked is None or probability >= asked - MISSED


def _distances(a: ArrayLike, b: ArrayLike) -> Array:
    difference = np.asarray(b, dtype=np.float64) - np.asarray(a, dtype=np.float64)
    distances: Array = np.linalg.norm(difference.reshape(len(difference), -1), axis=1)
    return distances
