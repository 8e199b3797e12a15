"""Probe of a transform: whether it keeps what intensities mean, found on a synthetic field."""

import warnings
from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["find_refusal"]

Floats = npt.NDArray[np.float32]

SIDE_PX = 64
DRAWS = 8
BACKGROUND, BRIGHTEST = 0.02, 0.5
MAX_ROUND_SHARE = 0.9
MAX_CLIPPED_SHARE = 0.3
MAX_CLIPPED_DRAWS = 0.25
MIN_RANGE, MAX_RANGE = -0.25, 1.25
MIN_LEVEL, MAX_LEVEL = 0.1, 10.0
MIN_STEP = 1.05
MAX_MIXED_SHARE = 0.05


def find_refusal(apply: Callable[[Floats, int], Floats], channels: int, *, may_blank: bool = False) -> str:
    """Return why a transform breaks intensities; empty if it does not.

    It is applied, with several seeds, to a field of bright bodies on a dim background and to the same field
    at half the intensity. Refused are transforms that

    - fail on this number of channels, or return another shape or type,
    - return 8-bit levels,
    - leave the range of intensities, or change the mean more than tenfold,
    - clip more than 30 % of the pixels to black or white in more than a quarter of the draws,
    - make the field at half the intensity as bright as the other one: they invert, or adapt to each field's range,
    - change the mean of other channels by more than 5 % where the first channel has half the intensity.

    Args:
        apply: From an image (S, S, C) float32 in [0, 1] and a seed to the varied image.
        channels: Number of channels C.
        may_blank: Whether blanking parts of an image is the transform's purpose.
    """
    field = _synthetic_field(channels)
    dim, tinted = field * np.float32(0.5), field.copy()
    tinted[..., 0] *= 0.5
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # what does not fit an image is only warned of
            varied = [[apply(each.copy(), seed) for each in (field, dim, tinted)] for seed in range(DRAWS)]
    except Exception as error:
        reason = " ".join(str(error).split())[:150].rstrip(".")
        return f"it fails on {channels} channels of floating-point intensities ({type(error).__name__}: {reason})"
    for each in (image for images in varied for image in images):
        if not isinstance(each, np.ndarray) or each.shape != field.shape or each.dtype != np.float32:
            return "it returns images of another size or type"
    bright, half, other = (np.stack(images) for images in zip(*varied, strict=True))
    reason = _find_broken_intensities(field, bright, half, may_blank)
    return reason or ("it mixes or exchanges the stains" if _mixes_channels(bright, other) else "")


def _find_broken_intensities(field: Floats, bright: Floats, half: Floats, may_blank: bool) -> str:
    if not np.isfinite(bright).all() or bright.min() < MIN_RANGE or bright.max() > MAX_RANGE:
        return "it returns values outside the range of intensities"
    inside = (bright > 0) & (bright < 1)
    eighth = 255 * bright[inside]
    if eighth.size and np.mean(np.abs(eighth - np.round(eighth)) < 1e-3) > MAX_ROUND_SHARE:
        return "it works on 8 bits, and rounds all intensities to 256 levels"
    clipped = 1 - inside.mean(axis=(1, 2, 3))
    if not may_blank and np.mean(clipped > MAX_CLIPPED_SHARE) > MAX_CLIPPED_DRAWS:
        return "it clips too many pixels to black or white"
    levels = bright.mean(axis=(1, 2, 3)) / field.mean()
    if not MIN_LEVEL <= np.median(levels) <= MAX_LEVEL:
        return f"it changes the mean intensity {np.median(levels):.2g}-fold"
    steps = bright.mean(axis=(1, 2, 3)) / half.mean(axis=(1, 2, 3)).clip(min=1e-6)
    if np.median(steps) < MIN_STEP:
        return "it inverts intensities, or rescales each field by its own range"
    return ""


def _mixes_channels(bright: Floats, tinted: Floats) -> bool:
    """Return whether channels other than the first one follow its intensity, in any draw."""
    before, after = bright[..., 1:].mean(axis=(1, 2)), tinted[..., 1:].mean(axis=(1, 2))
    return bool((np.abs(after - before) > MAX_MIXED_SHARE * np.maximum(before, BACKGROUND)).any())


def _synthetic_field(channels: int) -> Floats:
    """A field of smooth bodies on a dim background, shape (S, S, C), all values different."""
    rng = np.random.default_rng(0)
    bodies = cv2.GaussianBlur(rng.random((SIDE_PX, SIDE_PX, channels)).astype(np.float32), (0, 0), 4)
    bodies = bodies.reshape(SIDE_PX, SIDE_PX, channels)
    lowest, highest = bodies.min(axis=(0, 1)), bodies.max(axis=(0, 1))
    shape = np.clip(2 * (bodies - lowest) / (highest - lowest) - 1, 0, 1)
    grain = 1 + 0.1 * rng.random((SIDE_PX, SIDE_PX, channels))
    field: Floats = ((BACKGROUND + (BRIGHTEST - BACKGROUND) * shape) * grain / 1.1).astype(np.float32)
    return field
