"""Smoothing and colour limits of the maps of a job."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from leigh_mlops.explanations import FieldExplanation, map_unit
from leigh_mlops.job_columns import COUNTERFACTUAL
from leigh_mlops.report.image_files import write_png
from leigh_mlops.report.rendering import colour_bar

__all__ = [
    "colour_bar_files",
    "colour_limits",
    "map_colour_limit",
    "select_colour_limit",
    "smooth_map",
    "write_colour_bars",
]

Floats = npt.NDArray[np.float32]

_PERCENTILE = 99.5
_SMOOTH_METHODS = ("occlusion", "grad_cam", "prediction_difference")
_SIGMA = 1 / 56
"""Sigma as a share of the side of an image; 4 pixels at 224."""


def smooth_map(name: str, heat: Floats) -> Floats:
    """Smooth a map (H, W) as it is drawn; its sum is preserved.

    Gradients of neighbouring pixels cancel each other, which looks like a lattice; so maps at the scale of
    single pixels are smoothed by a Gaussian with a sigma of a 56th of the side. Other maps are left as they are.
    """
    if name.startswith(_SMOOTH_METHODS):
        return heat
    smoothed: Floats = gaussian_filter(heat, _SIGMA * max(heat.shape), mode="reflect")
    return smoothed


def colour_limits(found: Iterable[FieldExplanation]) -> dict[str, float]:
    """Compute the 99.5th percentile of the absolute values of each kind of map, as drawn; 1 if that is 0."""
    maps: dict[str, list[Floats]] = {}
    for explanation in found:
        for name, heat in explanation.maps.items():
            maps.setdefault(name, []).append(smooth_map(name, heat))
    return {name: map_colour_limit(each) for name, each in maps.items()}


def map_colour_limit(maps: Sequence[Floats]) -> float:
    """Compute the value at full colour of maps as drawn: the 99.5th percentile of absolute values, 1 if it is 0."""
    limit = float(np.percentile(np.concatenate([np.abs(heat).ravel() for heat in maps]), _PERCENTILE))
    return limit if limit > 0 else 1.0


def select_colour_limit(name: str, limits: Mapping[str, float]) -> float:
    """Select the colour limit of a map; a kind of counterfactual without one takes that of another kind, else 1.

    Args:
        name: Name of the map.
        limits: Limits from `colour_limits`.
    """
    if name in limits:
        return limits[name]
    others = [limit for key, limit in limits.items() if key in COUNTERFACTUAL]
    return others[0] if others and name in COUNTERFACTUAL else 1.0


def write_colour_bars(out: Path, limits: Mapping[str, float]) -> None:
    """Draw the colour bar of each kind of map as ``OUT/scales/<map>.png``."""
    for (name, limit), file in zip(limits.items(), colour_bar_files(out, limits), strict=True):
        smoothed = "" if name.startswith(_SMOOTH_METHODS) else ", smoothed"
        write_png(file, colour_bar(limit, map_unit(name) + smoothed))


def colour_bar_files(out: Path, limits: Mapping[str, float]) -> list[Path]:
    """Files of the colour bars of a job, one for each kind of map."""
    return [out / "scales" / f"{name}.png" for name in limits]
