"""How the maps of a job are drawn, and what is full colour in them."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from leigh_mlops.explanations import FieldExplanation, unit_of
from leigh_mlops.report.files import write_png
from leigh_mlops.report.pictures import colour_bar

__all__ = ["full_colour", "full_colour_of", "readable", "write_colour_bars"]

Floats = npt.NDArray[np.float32]

_PERCENTILE = 99.5
_SMOOTH = ("occlusion", "grad_cam", "prediction_difference")
_SIGMA = 1 / 56
"""Of the side of an image; 4 pixels at 224."""

_OF_COUNTERFACTUALS = "counterfactual_"


def readable(name: str, heat: Floats) -> Floats:
    """A map (H, W) as it is drawn; its sum stays.

    Gradients of neighbouring pixels cancel each other, which an eye sees as a lattice and not as a sum; so
    maps whose unit is the pixel are averaged over their surroundings by a Gaussian of a 56th of the side.
    """
    if name.startswith(_SMOOTH):
        return heat
    smoothed: Floats = gaussian_filter(heat, _SIGMA * max(heat.shape), mode="reflect")
    return smoothed


def full_colour(found: Iterable[FieldExplanation]) -> dict[str, float]:
    """The 99.5th percentile of the sizes of each kind of map, as drawn, over some fields; 1 for one that is 0."""
    maps: dict[str, list[Floats]] = {}
    for explanation in found:
        for name, heat in explanation.maps.items():
            maps.setdefault(name, []).append(np.abs(readable(name, heat)).ravel())
    limits = {name: float(np.percentile(np.concatenate(each), _PERCENTILE)) for name, each in maps.items()}
    return {name: limit if limit > 0 else 1.0 for name, limit in limits.items()}


def full_colour_of(name: str, limits: Mapping[str, float]) -> float:
    """Full colour of a map; a kind of counterfactual that no sampled field has borrows that of another, else 1.

    Args:
        name: Of the map.
        limits: From `full_colour`.
    """
    if name in limits:
        return limits[name]
    others = [limit for key, limit in limits.items() if key.startswith(_OF_COUNTERFACTUALS)]
    return others[0] if others and name.startswith(_OF_COUNTERFACTUALS) else 1.0


def write_colour_bars(out: Path, limits: Mapping[str, float]) -> None:
    """Draw the scale of each kind of map as ``OUT/scales/<map>.png``."""
    for name, limit in limits.items():
        smoothed = "" if name.startswith(_SMOOTH) else ", smoothed"
        write_png(out / "scales" / f"{name}.png", colour_bar(limit, unit_of(name) + smoothed))
