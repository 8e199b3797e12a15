"""Drawn fluorescence images of neural cultures: nuclei (DAPI) and mitochondria (TMRM)."""

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["PHENOTYPES", "Phenotype", "draw_field"]

Floats = npt.NDArray[np.float64]

FULL_SCALE = 4095  # 12 bits, in a file of 16
OFFSET_COUNTS = 110.0
READ_NOISE_COUNTS = 5.0
COUNTS_PER_PHOTON = 2.5


@dataclass(frozen=True)
class Phenotype:
    """What sets a class apart.

    Attributes:
        tmrm: Brightness of the mitochondria, relative to healthy cells.
        filament: Length of a mitochondrion, relative to healthy cells.
        haze: Share of TMRM that lies diffuse in the cell instead of in mitochondria.
    """

    tmrm: float
    filament: float
    haze: float

    def to_json(self) -> dict[str, float]:
        """The attributes by name."""
        return asdict(self)


PHENOTYPES = {
    "WT": Phenotype(tmrm=1.0, filament=1.0, haze=0.10),
    "DS": Phenotype(tmrm=0.65, filament=0.3, haze=0.15),
    "TT": Phenotype(tmrm=0.18, filament=0.5, haze=0.60),
}


def draw_field(
    rng: np.random.Generator, phenotype: Phenotype, *, size_px: int, density: float = 1.0, stain: float = 1.0
) -> npt.NDArray[np.uint16]:
    """Draw one field of a culture as a camera sees it.

    Args:
        rng: Source of all chance.
        phenotype: Class of the cells.
        size_px: Side of the image; a larger image shows the same cells in finer steps.
        density: Cells, relative to a usual well.
        stain: Uptake of TMRM, relative to a usual well.

    Returns:
        Counts from 0 to 4095, shape (2, size_px, size_px), channels DAPI and TMRM.
    """
    cells = _cells(rng, density, size_px)
    # Cells that detach and die keep a small bright nucleus and lose their potential.
    alive = rng.random(len(cells)) > 0.12
    nuclei, bodies = _nuclei(rng, cells, alive, size_px)
    tracks = [_neurites(rng, cell, size_px) for cell in cells[alive]]
    # No mitochondria lie inside a nucleus, only above and below it.
    mitochondria = (1 - 0.6 * np.clip(nuclei, 0, 1)) * _mitochondria(
        rng, cells[alive], tracks, phenotype.filament, size_px
    )
    body = _blur(bodies, 0.015 * size_px)
    glow = (1 - phenotype.haze) * mitochondria + phenotype.haze * 0.6 * body
    tmrm = 900 * phenotype.tmrm * stain * rng.lognormal(0, 0.12) * glow
    dapi = 1100 * rng.lognormal(0, 0.10) * nuclei + 60 * body
    light = np.stack([dapi, tmrm + 0.015 * dapi + 30 * body])
    light = 0.8 * light + 0.2 * np.stack([_blur(plane, 0.05 * size_px) for plane in light])
    return _camera(rng, light, size_px)


def _cells(rng: np.random.Generator, density: float, size_px: int) -> Floats:
    """Centres (y, x) of cells that crowd in clusters, shape (N, 2), px."""
    clusters = rng.uniform(0.05, 0.95, size=(rng.integers(3, 6), 2))
    count = max(4, rng.poisson(20 * density))
    spread = rng.uniform(0.05, 0.12, size=(count, 1))
    crowded = clusters[rng.integers(len(clusters), size=count)] + spread * rng.normal(size=(count, 2))
    lone = rng.random((count, 1)) < 0.25
    return np.where(lone, rng.random((count, 2)), crowded) * size_px


def _nuclei(
    rng: np.random.Generator, cells: Floats, alive: npt.NDArray[np.bool_], size_px: int
) -> tuple[Floats, Floats]:
    """Nuclei and cell bodies as soft ellipses, both (size_px, size_px) and around 1."""
    y, x = np.mgrid[:size_px, :size_px].astype(float)
    nuclei, bodies = np.zeros((2, size_px, size_px))
    for (cy, cx), lives in zip(cells, alive, strict=True):
        radius = size_px * (rng.uniform(0.024, 0.034) if lives else rng.uniform(0.010, 0.016))
        angle, stretch = rng.uniform(0, np.pi), rng.uniform(1.0, 1.5)
        along = (x - cx) * np.cos(angle) + (y - cy) * np.sin(angle)
        across = (y - cy) * np.cos(angle) - (x - cx) * np.sin(angle)
        distance = np.hypot(along / stretch, across * stretch**0.5) / radius
        brightness = rng.lognormal(0, 0.25) * (1.0 if lives else 1.7)
        edge = np.clip(6 * (distance - 1), -50, 50)
        nuclei = np.maximum(nuclei, brightness / (1 + np.exp(edge)))
        if lives:
            bodies = np.maximum(bodies, np.exp(-((distance / 2.2) ** 2)))
    chromatin = _blur(rng.normal(size=nuclei.shape), 0.007 * size_px)
    return nuclei * np.clip(1 + 0.22 * chromatin / chromatin.std(), 0.3, None), bodies


def _neurites(rng: np.random.Generator, cell: Floats, size_px: int) -> list[Floats]:
    """Paths (y, x) that leave a cell, each of shape (steps, 2), half a pixel of a 128 px image per step."""
    count, step = rng.integers(1, 4), size_px / 256
    lengths = rng.integers(40, 160, size=count).tolist()
    return [_walk(rng, cell, rng.uniform(0, 2 * np.pi), steps=length, step_px=step, bend=0.06) for length in lengths]


def _walk(
    rng: np.random.Generator, start: Floats, heading: float, *, steps: int, step_px: float, bend: float
) -> Floats:
    turns = heading + np.cumsum(rng.normal(0, bend, size=steps))
    return start + step_px * np.cumsum(np.stack([np.sin(turns), np.cos(turns)], axis=1), axis=0)


def _mitochondria(
    rng: np.random.Generator, cells: Floats, tracks: list[list[Floats]], length: float, size_px: int
) -> Floats:
    """Mitochondria as blurred random walks around nuclei and as dashes along neurites."""
    canvas, step = np.zeros((size_px, size_px)), size_px / 256
    steps = max(2, round(26 * length))
    for cell, paths in zip(cells, tracks, strict=True):
        vigour = rng.lognormal(0, 0.3)
        # Shorter mitochondria are more in number: their total length stays the same.
        for _ in range(round(rng.integers(14, 22) * 26 / steps)):
            angle = rng.uniform(0, 2 * np.pi)
            away = size_px * rng.normal(0.042, 0.012)
            start = cell + away * np.array([np.sin(angle), np.cos(angle)])
            walk = _walk(rng, start, angle + np.pi / 2 + rng.normal(0, 0.6), steps=steps, step_px=step, bend=0.35)
            _mark(canvas, walk, vigour * rng.lognormal(0, 0.3))
        for path in paths:
            dashes = np.repeat(rng.random(len(path) // steps + 1) < 0.5, steps)[: len(path)]
            _mark(canvas, path[dashes], vigour)
    sharp = _blur(canvas, 0.006 * size_px) * (size_px / 128)
    return 2 * np.tanh(0.22 * sharp)  # crowded mitochondria overlap in depth and do not add up for ever


def _mark(canvas: Floats, points: Floats, weight: float) -> None:
    places = np.round(points).astype(int)
    inside = np.all((places >= 0) & (places < len(canvas)), axis=1)
    np.add.at(canvas, tuple(places[inside].T), weight)


def _blur(plane: Floats, sigma_px: float) -> Floats:
    from scipy.ndimage import gaussian_filter

    return np.asarray(gaussian_filter(plane, sigma_px, truncate=3.0), dtype=float)


def _camera(rng: np.random.Generator, light: Floats, size_px: int) -> npt.NDArray[np.uint16]:
    """Add uneven illumination, background, photon noise and read noise; cut to 12 bits."""
    y, x = np.mgrid[:size_px, :size_px] / size_px - 0.5
    flat = 1 - 0.7 * ((x + 0.06) ** 2 + (y - 0.04) ** 2)
    background = rng.uniform(15, 90, size=(2, 1, 1)) * (1 + rng.uniform(-0.4, 0.4) * x + rng.uniform(-0.4, 0.4) * y)
    photons = rng.poisson(flat * (light + background) / COUNTS_PER_PHOTON)
    counts: Floats = OFFSET_COUNTS + COUNTS_PER_PHOTON * photons + rng.normal(0, READ_NOISE_COUNTS, size=light.shape)
    return np.clip(np.round(counts), 0, FULL_SCALE).astype(np.uint16)
