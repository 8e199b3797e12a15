"""Simulated microscope: illumination, exposure, focus and camera, and their flaws."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from leigh_mlops.plates.demo.cell_changes import change_cells
from leigh_mlops.plates.demo.culture import draw_culture
from leigh_mlops.plates.demo.optics import Plane, defocus, enlarge, uneven_illumination
from leigh_mlops.plates.demo.phenotype import Phenotype
from leigh_mlops.plates.demo.stage import Stage

__all__ = ["FLAWS", "ILLUMINATION", "FieldParameters", "draw_classes", "draw_field"]

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.uint16]

FLAWS = ("saturated", "out_of_focus", "empty", "debris")
ILLUMINATION = 0.35
FULL_SCALE = 4095  # 12 bits, in a file of 16
OFFSET_COUNTS = 110.0
READ_NOISE_COUNTS = 5.0
COUNTS_PER_PHOTON = 2.5
_DEBRIS_GRID = 128
_SCALE_BAR = 0.94, 0.955, 0.84, 0.97  # top, bottom, left and right, as shares of the side
_SCALE_BAR_COUNTS = 1200


@dataclass(frozen=True)
class FieldParameters:
    """Parameters of one drawn field, besides chance and class.

    Attributes:
        density: Cells, relative to a usual well.
        nucleus: Size of the nuclei, relative to usual cells.
        stain: Uptake of TMRM, relative to a usual well.
        exposure: Of DAPI and TMRM, relative to usual exposures.
        background: Light in counts that lies over the usual background.
        illumination: Share of the light that is lacking in a corner, 0 to 0.8.
        blur: Radius of the disc over which defocus spreads each point, as a share of the side.
        flaw: One of ``FLAWS``, or empty.
        stamp: Whether a scale bar is burnt into a corner.
    """

    density: float = 1.0
    nucleus: float = 1.0
    stain: float = 1.0
    exposure: tuple[float, float] = (1.0, 1.0)
    background: float = 0.0
    illumination: float = ILLUMINATION
    blur: float = 0.0
    flaw: str = ""
    stamp: bool = False


@dataclass(frozen=True)
class _RandomEffects:
    """Random effects on one image before its noise: the same for every class."""

    background: Floats  # (2, 1, 1), counts
    slopes: Floats  # (2,), of the background along y and x
    radius: float  # of the defocus, share of the side
    gain: float
    debris: Plane | None  # (2, S, S), counts
    seed: int  # of the noise


def draw_field(
    rng: np.random.Generator, phenotype: Phenotype, *, size_px: int, density: float = 1.0, stain: float = 1.0
) -> Counts:
    """Draw one field of a culture as a camera sees it.

    Args:
        rng: Random generator; how much is drawn from it does not depend on the phenotype, so
            that the same seed shows the same cells in another class.
        phenotype: Class of the cells.
        size_px: Side of the image; a larger image shows the same cells in finer steps.
        density: Cells, relative to a usual well.
        stain: Uptake of TMRM, relative to a usual well.

    Returns:
        Counts from 0 to 4095, shape (2, size_px, size_px), channels DAPI and TMRM.
    """
    return draw_classes(rng, {"": phenotype}, FieldParameters(density=density, stain=stain), size_px=size_px)[""]


def draw_classes(
    rng: np.random.Generator, phenotypes: Mapping[str, Phenotype], field: FieldParameters, *, size_px: int
) -> dict[str, Counts]:
    """Draw one field as it looks in each of some classes: the same cells, light and noise.

    Classes that lose cells show some of them.

    Args:
        rng: Random generator.
        phenotypes: Classes by name.
        field: Parameters of the field.
        size_px: Side of the image.

    Returns:
        For each name counts from 0 to 4095, shape (2, size_px, size_px), channels DAPI and TMRM.
    """
    density = 0.0 if field.flaw == "empty" else field.density
    culture = draw_culture(rng, density=density, nucleus=field.nucleus)
    view = _draw_random_effects(rng, field.flaw, size_px)
    traits = {seen.cells for seen in phenotypes.values()}
    stages = {each: Stage(change_cells(culture, each), size_px) for each in traits}
    return {
        name: _photograph(stages[seen.cells].light(seen, field.stain), field, view) for name, seen in phenotypes.items()
    }


def _draw_random_effects(rng: np.random.Generator, flaw: str, size_px: int) -> _RandomEffects:
    return _RandomEffects(
        background=rng.uniform(15, 90, size=(2, 1, 1)),
        slopes=rng.uniform(-0.4, 0.4, size=2),
        radius=rng.uniform(0.025, 0.05) if flaw == "out_of_focus" else 0.0,
        gain=rng.uniform(10, 16) if flaw == "saturated" else 1.0,
        debris=_debris(rng, size_px) if flaw == "debris" else None,
        seed=int(rng.integers(2**63)),
    )


def _photograph(light: Plane, field: FieldParameters, view: _RandomEffects) -> Counts:
    """Apply all effects between the cells' light and the camera's counts, and clip to 12 bits."""
    if view.debris is not None:
        light = light + view.debris
    light = np.stack([defocus(plane, max(view.radius, field.blur)) for plane in light])
    place = (np.arange(light.shape[1]) + 0.5) / light.shape[1] - 0.5
    slope = (1 + view.slopes[0] * place[:, None] + view.slopes[1] * place).astype(np.float32)
    light += (view.background + field.background).astype(np.float32) * slope
    exposure = view.gain * np.asarray(field.exposure, dtype=np.float32)[:, None, None]
    light *= uneven_illumination(light.shape[1], field.illumination) * exposure
    counts = _camera(light, np.random.default_rng(view.seed))
    if field.stamp:
        _burn_scale_bar(counts)
    return counts


def _burn_scale_bar(counts: Counts) -> None:
    """Set the pixels of a bar in the lower right corner of counts (2, S, S) to one value, as a viewer does."""
    side = counts.shape[1]
    top, bottom, left, right = (round(side * share) for share in _SCALE_BAR)
    counts[:, top : max(bottom, top + 1), left:right] = _SCALE_BAR_COUNTS


def _camera(light: Plane, rng: np.random.Generator) -> Counts:
    """Add photon noise and read noise, and clip to 12 bits."""
    photons = light / COUNTS_PER_PHOTON
    chance = rng.standard_normal(light.shape, dtype=np.float32)
    # (sqrt(m) + z/2)^2 - 1/4 has the mean m and the variance m + 1/8 of photons, and takes one
    # draw per pixel whatever m is: a twin has the same noise.
    photons = (np.sqrt(photons) + chance / 2) ** 2 - 0.25
    read = READ_NOISE_COUNTS * rng.standard_normal(light.shape, dtype=np.float32)
    counts = OFFSET_COUNTS + COUNTS_PER_PHOTON * photons + read
    return np.asarray(np.clip(np.round(counts), 0, FULL_SCALE), dtype=np.uint16)


def _debris(rng: np.random.Generator, size_px: int) -> Plane:
    """Lumps of dead cells and a fibre that shine in both channels, shape (2, size_px, size_px), counts."""
    grid, place = np.zeros((_DEBRIS_GRID, _DEBRIS_GRID), dtype=np.float32), np.arange(_DEBRIS_GRID) + 0.5
    for centre in rng.uniform(0.1, 0.9, size=(rng.integers(1, 4), 2)):
        for _ in range(rng.integers(4, 9)):
            y, x = _DEBRIS_GRID * (centre + rng.normal(0, 0.025, size=2))
            distance = np.hypot(place[:, None] - y, place - x) / (_DEBRIS_GRID * rng.uniform(0.015, 0.04))
            grid = np.maximum(grid, rng.uniform(2, 5) / (1 + np.exp(np.clip(5 * (distance - 1), -50, 50))))
    turns = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.04, size=300))
    path = rng.uniform(0.2, 0.8, size=2) + 0.004 * np.cumsum(np.stack([np.sin(turns), np.cos(turns)], 1), axis=0)
    spots = (path[np.all((path > 0) & (path < 1), axis=1)] * _DEBRIS_GRID).astype(int)
    grid[spots[:, 0], spots[:, 1]] += rng.uniform(2, 5)
    lumps = np.maximum(enlarge(grid, size_px, 0.007), 0)
    return 1100 * np.stack([lumps, rng.uniform(0.5, 0.9) * lumps])
