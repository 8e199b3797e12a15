"""What can be said of a counterfactual from numbers alone."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from leigh_mlops.scores.log_probs import as_labels, as_log_probs

__all__ = ["Certificate", "certificate", "reencoding_error"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Certificate:
    """The measures of N counterfactuals; failed ones are counted, not skipped.

    Attributes:
        predicted: Class of the saved file, shape (N,).
        valid: Whether that is the target, shape (N,).
        probability: The target's probability for the saved file, 0 to 1, shape (N,).
        reencoding_error: norm(f(c) - z') / norm(z' - z), at least 0, shape (N,);
            NaN where the latent was not moved.
        clipped: Share of values outside the range before saving, 0 to 1, shape (N,).
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
        noise: Change that counts as none, raw intensity: a number, or one per
            channel of shape (C,).

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
    beyond = np.abs(change) > np.broadcast_to(noise, before.shape[1:2])[:, None, None]
    predicted = log_p.argmax(axis=1)
    return Certificate(
        predicted=predicted,
        valid=predicted == wanted,
        probability=np.exp(np.take_along_axis(log_p, wanted[:, None], axis=1)[:, 0]),
        reencoding_error=errors,
        clipped=((after < 0) | (after > full_scale)).mean(axis=(1, 2, 3)),
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


def _distances(a: ArrayLike, b: ArrayLike) -> Array:
    difference = np.asarray(b, dtype=np.float64) - np.asarray(a, dtype=np.float64)
    distances: Array = np.linalg.norm(difference.reshape(len(difference), -1), axis=1)
    return distances
