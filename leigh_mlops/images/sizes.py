"""Fields resized to one image size by area averaging, in lossless integer counts."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from leigh_mlops.errors import LeighError, escape_unprintable
from leigh_mlops.images.field_files import ChannelFiles, FieldFiles
from leigh_mlops.images.illumination import read_illumination
from leigh_mlops.images.source import Pixels
from leigh_mlops.images.squares import cut_square

__all__ = ["check_image_size", "counts_at_size", "raw_at_size", "intensity_per_count"]

Counts = npt.NDArray[np.uint16]
Floats = npt.NDArray[np.float32]


def check_image_size(image_size: int) -> int:
    """Return a size that every family supports.

    Raises:
        LeighError: The size is no positive multiple of 32.
    """
    if image_size < 32 or image_size % 32:
        near = max(32, round(image_size / 32) * 32)
        raise LeighError(f"The image size {image_size} is not a multiple of 32 pixels; the nearest is {near}.")
    return image_size


def raw_at_size(image: Pixels, image_size: int, files: FieldFiles) -> npt.NDArray[np.float32]:
    """Raw intensities of one field, identical to those of a cache.

    Args:
        image: Shape (C, H, W), as returned by :func:`~leigh_mlops.images.read.read_field`.
        image_size: Side S in pixels.
        files: Files of the same field, including the illumination images.

    Returns:
        Shape (C, S, S), in the units of the file, divided by illumination.

    Raises:
        LeighError: An illumination image does not fit.
    """
    unit = intensity_per_count(image.dtype)
    return np.stack(counts_at_size(image, image_size, files)).astype(np.float32) * np.float32(unit)


def counts_at_size(planes: Sequence[Pixels] | Pixels, image_size: int, files: FieldFiles) -> list[Counts]:
    """Channels of one field at one size, each (S, S) uint16, in counts of :func:`intensity_per_count`.

    Of a rectangular field the square is taken that its files name, the centre one by default, and of this the centre
    of the width that they name.

    Raises:
        LeighError: An illumination image does not fit, a square field should be cut into several squares, or it is
            narrower than the width.
    """
    return [_plane_counts(plane, image_size, channel) for plane, channel in zip(planes, files, strict=True)]


def intensity_per_count(dtype: np.dtype[Any]) -> float:
    """Raw intensity per count: 8-bit files get eight more bits, so that averaging loses no precision."""
    return 1 / 256 if dtype.itemsize == 1 else 1.0


def _plane_counts(plane: Pixels, image_size: int, channel: ChannelFiles) -> Counts:
    square = cut_square(_divide_by_illumination(plane, channel), channel.planes[0].tile, channel.planes[0].width)
    raw = _resize_plane(square, image_size)
    counts: Counts = np.rint(np.clip(raw * np.float32(1 / intensity_per_count(plane.dtype)), 0, 65535)).astype(
        np.uint16
    )
    return counts


def _divide_by_illumination(plane: Pixels, channel: ChannelFiles) -> npt.NDArray[Any]:
    if channel.illumination is None:
        return plane
    light = read_illumination(channel.illumination)
    if light.shape != plane.shape:
        raise LeighError(
            f"{escape_unprintable(channel.illumination)} has {light.shape[1]} x {light.shape[0]} pixels where "
            f"{escape_unprintable(channel.planes[0].path)} has {plane.shape[1]} x {plane.shape[0]}; "
            "give one of the same size."
        )
    divided: Floats = np.divide(plane, light, dtype=np.float32)
    return divided


def _resize_plane(plane: npt.NDArray[Any], image_size: int) -> Floats:
    """Resize (H, H) to (S, S) by area averaging; enlarging is linear."""
    side = len(plane)
    if side >= 2 * image_size:
        return _average_areas(plane, image_size)
    exact = plane.astype(np.float32)
    if side == image_size:
        return exact
    method = cv2.INTER_AREA if side > image_size else cv2.INTER_LINEAR
    return cv2.resize(exact, (image_size, image_size), interpolation=method)  # type: ignore[return-value]


def _average_areas(plane: npt.NDArray[Any], image_size: int) -> Floats:
    """Average areas, rows first, five times as fast as OpenCV's own area interpolation.

    Whole rows of a band are summed; rows that two bands share are divided in proportion.
    """
    side = len(plane)
    edges = np.arange(image_size + 1) * side / image_size
    first, end = np.ceil(edges[:-1]).astype(int), np.floor(edges[1:]).astype(int)
    bands = np.empty((image_size, 1, side), np.float32)
    for band, begin, stop in zip(bands, first.tolist(), end.tolist(), strict=True):
        cv2.reduce(plane[begin:stop], 0, cv2.REDUCE_SUM, band, cv2.CV_32F)
    rows = bands[:, 0]
    rows += (first - edges[:-1]).astype(np.float32)[:, None] * plane[np.maximum(first - 1, 0)]
    rows += (edges[1:] - end).astype(np.float32)[:, None] * plane[np.minimum(end, side - 1)]
    averaged = cv2.resize(rows, (image_size, image_size), interpolation=cv2.INTER_AREA)
    return averaged * np.float32(image_size / side)
