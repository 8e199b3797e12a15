"""Movement of wells away from a plate's controls: along the axis from one control to the other, and anywhere else."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["ControlCloud", "Movement", "PlateFeatures", "control_clouds", "movement", "off_axis_lengths"]

MIN_DEGREES_OF_FREEDOM = 4
"""Fewest differences between control wells from which their spread is estimated."""

_LEAST_SHARE = 1e-9  # of a feature's size: less spread is rounding

Array = NDArray[np.float64]


@dataclass(frozen=True)
class PlateFeatures:
    """Features of the wells of one plate.

    Attributes:
        wells: Features of all wells, shape (W, P); NaN where a well has none.
        source: Places of the controls that are 0 % on the axis, shape (S,).
        target: Places of those that are 100 %, shape (T,).
    """

    wells: Array
    source: NDArray[np.int64]
    target: NDArray[np.int64]


@dataclass(frozen=True)
class ControlCloud:
    """Movement of a plate's wells from its source controls, in standard deviations of control wells.

    Attributes:
        profiles: Movement of each well, shape (W, P'). P' counts the features that vary between controls.
            That of a control is from the others, as that of any other well.
        axis: Unit vector towards the target controls, shape (P',).
        noise: Variance of a well off the axis, summed over the features, as that of the source controls; above 0.
        controls: Number of source controls.
    """

    profiles: Array
    axis: Array
    noise: float
    controls: int


@dataclass(frozen=True)
class Movement:
    """Movement of some wells together, in standard deviations of control wells.

    Attributes:
        along: Way along the axis, above 0 towards the target controls.
        elsewhere: Length of the way orthogonal to it, less the part that noise explains, at least 0.
    """

    along: float
    elsewhere: float


def control_clouds(plates: Sequence[PlateFeatures]) -> list[ControlCloud | None]:
    """Measure how wells move from the source controls of their plate, features scaled by the spread of all controls.

    After the projection onto, and the rejection from, the axis between disease and health of Heiser et al. (2020,
    bioRxiv 2020.04.21.054387), here with a diagonal scale instead of a full covariance, which few controls
    would overfit. Each control is left out of the mean and the spread with which it is compared, so that
    controls look no nearer than other wells without an effect.

    Args:
        plates: Features of each plate, the same P for all.

    Returns:
        One cloud for each plate; None for a plate without two controls of each kind, and for all plates where
        too few controls, or fewer than two features that vary, are left.
    """
    usable = [min(len(each.source), len(each.target)) > 1 for each in plates]
    groups = [
        each.wells[places]
        for each, is_usable in zip(plates, usable, strict=True)
        if is_usable
        for places in (each.source, each.target)
    ]
    freedom = sum(len(group) - 1 for group in groups)
    if freedom < MIN_DEGREES_OF_FREEDOM:
        return [None] * len(plates)
    squares = np.sum([np.square(group - group.mean(axis=0)).sum(axis=0) for group in groups], axis=0)
    size = np.abs(np.concatenate(groups)).max(axis=0)
    kept = np.isfinite(squares) & (squares > freedom * np.square(_LEAST_SHARE * size))
    if kept.sum() < 2:
        return [None] * len(plates)
    return [
        _cloud(each, squares[kept], freedom, kept) if is_usable else None
        for each, is_usable in zip(plates, usable, strict=True)
    ]


def movement(cloud: ControlCloud, places: NDArray[np.int64]) -> Movement:
    """Movement of the mean of some wells of a plate.

    Args:
        cloud: The plate.
        places: Places of the wells, at least one, shape (n,).

    Example:
        >>> cloud = ControlCloud(np.array([[3.0, 5.0]]), np.array([1.0, 0.0]), noise=8.0, controls=8)
        >>> movement(cloud, np.array([0]))
        Movement(along=3.0, elsewhere=4.0)
    """
    mean = cloud.profiles[places].mean(axis=0)
    along = float(mean @ cloud.axis)
    off = float(np.square(mean - along * cloud.axis).sum())
    # The mean of n wells varies as noise / n, that of the controls from which it is measured as noise / controls.
    return Movement(along, float(np.sqrt(max(0.0, off - cloud.noise * (1 / len(places) + 1 / cloud.controls)))))


def off_axis_lengths(cloud: ControlCloud) -> Array:
    """Length of each well's movement orthogonal to the axis, shape (W,)."""
    off = cloud.profiles - np.outer(cloud.profiles @ cloud.axis, cloud.axis)
    lengths: Array = np.sqrt(np.square(off).sum(axis=1))
    return lengths


def _cloud(plate: PlateFeatures, squares: Array, freedom: int, kept: NDArray[np.bool_]) -> ControlCloud:
    wells = plate.wells[:, kept]
    means = [wells[places].mean(axis=0) for places in (plate.source, plate.target)]
    spread = np.sqrt(squares / freedom)
    profiles = (wells - means[0]) / spread
    for group, mean in zip((plate.source, plate.target), means, strict=True):
        for place in group:
            # Without the well, its group's mean moves by 1 / (n - 1) of its distance, and its squares leave the sum.
            n, distance = len(group), wells[place] - mean
            left = np.maximum(squares - n / (n - 1) * np.square(distance), _LEAST_SHARE * squares)
            start = means[0] - distance / (n - 1) if group is plate.source else means[0]
            profiles[place] = (wells[place] - start) / np.sqrt(left / (freedom - 1))
    way = (means[1] - means[0]) / spread
    length = float(np.linalg.norm(way))
    axis = way / length if length else way
    # A missing feature counts as unmoved, a well without any has no profile.
    profiles = np.nan_to_num(profiles)
    profiles[np.asarray(np.isnan(wells).all(axis=1))] = np.nan
    count = len(plate.source)
    off = off_axis_lengths(ControlCloud(profiles, axis, 1.0, count))[plate.source]
    # A control is compared with the mean of the others, which adds 1 / (count - 1) of the variance.
    noise = float(np.square(off).mean()) * (count - 1) / count
    return ControlCloud(profiles, axis, max(noise, np.finfo(float).tiny), count)
