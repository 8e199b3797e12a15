"""Features of a field by region: intensity, texture and area of nuclei, mitochondria and other stains."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_laplace

from leigh_mlops.images.cache import PixelCache
from leigh_mlops.images.scale import group_by_adjustment, histogram

__all__ = ["combined_members", "fit_thresholds", "image_thresholds", "otsu", "region_features"]

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

# Exact names, unlike those of `find_nuclear_channel`: they name columns, also of stored packages.
_REGIONS = {"DAPI": "nuclei", "TMRM": "mitochondria"}
_TEXTURE_PX = 1.0  # the finest structure that an image at this size can hold


def region_features(
    raw: Floats, channels: Sequence[str], thresholds: Sequence[float], *, cells: Floats | None = None
) -> dict[str, float]:
    """Measure one field.

    A region is where a channel is above its threshold: ``nuclei`` of DAPI, ``mitochondria`` of
    TMRM, and under the channel's own name of any other. A channel that only joins others
    (``DAPI+TMRM`` beside both) is redundant and is left out.

    Texture is the standard deviation of the Laplacian of Gaussian (sigma 1 px) over the field,
    divided by the field's mean, which makes it invariant to a gain. It is not divided by the field's
    own spread, which is noise in an image without structure.

    Args:
        raw: Raw intensities, shape (C, H, W).
        channels: Their C names.
        thresholds: Raw intensity above which a channel is foreground, C of them.
        cells: The original of a counterfactual, shape (C, H, W): intensities are taken in its
            regions, so that the same cells are compared. Areas are always those of ``raw``.

    Returns:
        For each channel ``intensity_<ch>`` and ``texture_<ch>`` (of the whole field),
        ``nuclei_area``, ``mitochondria_area`` or ``area_<ch>`` (share of the field, 0 to 1), and for
        each region and channel ``nuclei_intensity_<ch>``, ``mitochondria_intensity_<ch>`` or
        ``<region>_intensity_<ch>``. Intensities are means, raw. NaN where a region is empty, or a
        field's mean is not above 0.
    """
    places = [place for place, name in enumerate(channels) if not combined_members(name, channels)]
    features = {}
    for place in places:
        name, plane = channels[place], raw[place]
        features[f"intensity_{name}"] = float(plane.mean())
        features[f"texture_{name}"] = _texture(plane)
        area = f"{_REGIONS[name]}_area" if name in _REGIONS else f"area_{name}"
        features[area] = float((plane > thresholds[place]).mean())
    within = raw if cells is None else cells
    for place in places:
        region, mask = _REGIONS.get(channels[place], channels[place]), within[place] > thresholds[place]
        for other in places:
            features[f"{region}_intensity_{channels[other]}"] = _masked_mean(raw[other], mask)
    return features


def fit_thresholds(cache: PixelCache, rows: npt.NDArray[np.int64]) -> list[float]:
    """Thresholds of foreground by Otsu's method over all pixels of some fields, one per channel.

    Args:
        cache: The pixel cache.
        rows: Row numbers of the training fields, shape (n,), n at least 1.

    Returns:
        C raw intensities in the units of `PixelCache.raw`, adjusted where the cache is.
    """
    parts = [(raw, histogram(cache.pixels, some)) for some, raw in group_by_adjustment(cache, rows)]
    values, counts = (np.concatenate(each, axis=1) for each in zip(*parts, strict=True))
    return [otsu(*channel) for channel in zip(values, counts, strict=True)]


def image_thresholds(raw: Floats) -> list[float]:
    """Thresholds of foreground by Otsu's method in one image, for when none were fitted.

    A field without cells is divided as well, into darker and brighter noise.

    Args:
        raw: Raw intensities, shape (C, H, W).

    Returns:
        C raw intensities.
    """
    return [otsu(*np.unique(plane, return_counts=True)) for plane in raw]


def otsu(values: npt.NDArray[np.floating], counts: npt.NDArray[np.integer]) -> float:
    """Threshold that divides pixels into two groups whose means lie furthest apart (Otsu 1979).

    It lies halfway between the values on its two sides, so that rounding a pixel moves it to the
    other side only where whole values do.

    Args:
        values: Intensities, shape (V,).
        counts: How many pixels have each, shape (V,), some above 0.

    Returns:
        The threshold; the value itself where all pixels have one.

    Example:
        >>> otsu(np.array([1.0, 2.0, 8.0, 9.0]), np.array([5, 5, 1, 1]))
        5.0
    """
    order = np.flatnonzero(counts)[np.argsort(values[counts > 0], kind="stable")]
    value, number = values[order].astype(np.float64), counts[order].astype(np.float64)
    if len(value) == 1:
        return float(value[0])
    below, sums = np.cumsum(number), np.cumsum(number * value)
    share, mean = below / below[-1], sums[-1] / below[-1]
    between = (mean * below - sums)[:-1] ** 2 / (share * (1 - share))[:-1]
    cut = int(between.argmax())
    return float((value[cut] + value[cut + 1]) / 2)


def combined_members(name: str, channels: Sequence[str]) -> tuple[str, ...]:
    """Names of the channels that a channel combines; none for a channel of its own.

    Example:
        >>> combined_members("DAPI+TMRM", ["DAPI", "TMRM", "DAPI+TMRM"]), combined_members("DAPI", ["DAPI"])
        (('DAPI', 'TMRM'), ())
    """
    members = tuple(name.split("+"))
    return members if len(members) > 1 and set(members) <= set(channels) else ()


def _texture(plane: Floats) -> float:
    mean = float(plane.mean())
    return float(gaussian_laplace(plane, _TEXTURE_PX).std()) / mean if mean > 0 else float("nan")


def _masked_mean(plane: Floats, mask: Mask) -> float:
    return float(plane[mask].mean()) if mask.any() else float("nan")
