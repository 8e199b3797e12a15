"""Light of a simulated culture, in any class."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from leigh_mlops.plates.demo.culture import WALK_STEPS, Culture
from leigh_mlops.plates.demo.optics import Plane, blur, enlarge
from leigh_mlops.plates.demo.phenotype import PHENOTYPES, Phenotype

__all__ = ["Stage"]

Floats = npt.NDArray[np.float64]

_BODY_GRID = 64
_DRIFT = 0.02  # of a fragment, as a share of the side
_THICKNESS = 0.006  # of a healthy mitochondrion, the same


class Stage:
    """Culture on the pixels of an image; what all classes with the same cells share is drawn once.

    Args:
        culture: The cells, with the traits of the class.
        size_px: Side of the image; a larger image shows the same cells in finer steps.
    """

    def __init__(self, culture: Culture, size_px: int) -> None:
        self.culture, self.size_px = culture, size_px
        self._nuclei = _nuclei(culture, size_px)
        self._body = _bodies(culture, size_px)
        self._healthy = float(self._mitochondria(PHENOTYPES["WT"]).sum())

    def light(self, phenotype: Phenotype, stain: float = 1.0) -> Plane:
        """Light that leaves the culture.

        Args:
            phenotype: Class of the mitochondria.
            stain: Uptake of TMRM, relative to a usual well.

        Returns:
            Counts of a usual exposure, shape (2, size_px, size_px), channels DAPI and TMRM.
        """
        mitochondria = self._mitochondria(phenotype)
        if self._healthy:
            # Overlap in depth swallows light: the shape alone would change the total.
            mitochondria *= self._healthy / float(mitochondria.sum())
        glow = (1 - phenotype.haze) * mitochondria + phenotype.haze * 0.6 * self._body
        dapi = 1100 * self.culture.dapi * self._nuclei + 60 * self._body
        tmrm = 900 * phenotype.tmrm * stain * self.culture.tmrm * glow + 0.015 * dapi + 30 * self._body
        return np.stack([0.8 * plane + 0.2 * blur(plane, 0.05) for plane in (dapi, tmrm)])

    def _mitochondria(self, phenotype: Phenotype) -> Plane:
        steps = max(2, round(WALK_STEPS * phenotype.filament))
        canvas = np.zeros((self.size_px, self.size_px), dtype=np.float32)
        _mark(canvas, *_around_nuclei(self.culture, steps, phenotype))
        _mark(canvas, *_along_neurites(self.culture, steps, phenotype.neurites))
        sharp = np.maximum(blur(canvas, _THICKNESS * phenotype.thickness), 0) * (self.size_px / 128) ** 2
        # Crowded mitochondria overlap in depth and do not add up for ever; none lies inside a
        # nucleus, only above and below it.
        return np.asarray(2 * np.tanh(0.22 * sharp) * (1 - 0.6 * np.clip(self._nuclei, 0, 1)))


def _around_nuclei(culture: Culture, steps: int, phenotype: Phenotype) -> tuple[Floats, Floats]:
    """Points (P, 2) and weights (P,) of mitochondria in fragments of some steps that drift apart."""
    whole, loose = culture.mitochondria, max(0.0, 1 - phenotype.filament)
    begin = np.arange(WALK_STEPS) // steps * steps
    middle = np.minimum(begin + steps // 2, WALK_STEPS - 1)
    centre, turn = whole.points[:, middle], loose * whole.turn[:, begin]
    y, x = np.moveaxis(whole.points - centre, 2, 0)
    turned = np.stack([y * np.cos(turn) - x * np.sin(turn), y * np.sin(turn) + x * np.cos(turn)], axis=2)
    points = centre + (1 - phenotype.roundness) * turned + _DRIFT * loose * whole.shift[:, begin]
    points += (1 - phenotype.reach) * (_homes(culture)[whole.owner][:, None] - points)
    weights = whole.weight[:, None] * np.exp(0.3 * loose * whole.spread[:, begin])
    return points.reshape(-1, 2), weights.reshape(-1)


def _homes(culture: Culture) -> Floats:
    """Tips (y, x) of the nuclei, to which mitochondria retract, shape (N, 2)."""
    away = culture.radius * culture.stretch
    tips: Floats = culture.cells + away[:, None] * np.stack([np.sin(culture.angle), np.cos(culture.angle)], axis=1)
    return tips


def _along_neurites(culture: Culture, steps: int, share: float) -> tuple[Floats, Floats]:
    """Points (P, 2) and weights (P,) of dashes of some steps on half of the neurites' length, or a share of it."""
    step = np.arange(culture.tracks.shape[1])
    lit = (culture.track_chance[:, step // steps * steps] < 0.5 * share) & (step < culture.track_steps[:, None])
    weights = np.broadcast_to(culture.track_weight[:, None], lit.shape)
    return culture.tracks[lit], weights[lit]


def _mark(canvas: Plane, points: Floats, weights: Floats) -> None:
    places = np.floor(points * len(canvas)).astype(int)
    inside = np.all((places >= 0) & (places < len(canvas)), axis=1)
    np.add.at(canvas, tuple(places[inside].T), weights[inside].astype(np.float32))


def _nuclei(culture: Culture, size_px: int) -> Plane:
    """Nuclei as soft ellipses with the texture of chromatin, shape (size_px, size_px) and around 1."""
    nuclei = np.zeros((size_px, size_px), dtype=np.float32)
    for cell, radius, brightness, window in _windows(culture, size_px, reach=2.5):
        distance = _distance(culture, cell, window, size_px) / radius
        nuclei[window] = np.maximum(nuclei[window], brightness / (1 + np.exp(6 * (distance - 1))))
    chromatin = enlarge(culture.chromatin.astype(np.float32), size_px, 0.007)
    return np.asarray(nuclei * np.clip(1 + 0.22 * chromatin / chromatin.std(), 0.3, None))


def _bodies(culture: Culture, size_px: int) -> Plane:
    """Bodies of living cells, soft enough for a coarse grid, shape (size_px, size_px) and up to 1."""
    bodies = np.zeros((_BODY_GRID, _BODY_GRID), dtype=np.float32)
    everywhere = (slice(0, _BODY_GRID), slice(0, _BODY_GRID))
    for cell in np.flatnonzero(culture.alive).tolist():
        distance = _distance(culture, cell, everywhere, _BODY_GRID) / culture.radius[cell]
        bodies = np.maximum(bodies, np.exp(-((distance / 2.2) ** 2)))
    return np.maximum(enlarge(bodies, size_px, 0.015), 0)


Window = tuple[slice, slice]


def _windows(culture: Culture, size_px: int, reach: float) -> Iterator[tuple[int, float, float, Window]]:
    """Each cell's number, radius and brightness, and the pixels up to some radii around it."""
    for cell, (centre, radius) in enumerate(zip(culture.cells, culture.radius, strict=True)):
        half = reach * radius * culture.stretch[cell]
        low = np.clip(np.floor((centre - half) * size_px), 0, size_px).astype(int)
        high = np.clip(np.ceil((centre + half) * size_px), 0, size_px).astype(int)
        window = (slice(low[0], high[0]), slice(low[1], high[1]))
        yield cell, float(radius), float(culture.brightness[cell]), window


def _distance(culture: Culture, cell: int, window: Window, size_px: int) -> Plane:
    """Distance of each pixel in a window from a cell's centre, in shares of the side, along its ellipse."""
    (cy, cx), stretch = culture.cells[cell], culture.stretch[cell]
    y, x = (((np.arange(s.start, s.stop) + 0.5) / size_px).astype(np.float32) for s in window)
    y, x = (y - np.float32(cy))[:, None], x - np.float32(cx)
    cos, sin = np.float32(np.cos(culture.angle[cell])), np.float32(np.sin(culture.angle[cell]))
    return np.hypot((x * cos + y * sin) / np.float32(stretch), (y * cos - x * sin) * np.float32(stretch**0.5))
