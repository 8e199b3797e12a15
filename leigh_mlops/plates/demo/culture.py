"""Simulated neural cultures: positions of cells and mitochondria, independent of the class."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["WALK_STEPS", "Culture", "Mitochondria", "draw_culture"]

Floats = npt.NDArray[np.float64]

WALK_STEPS = 26  # of a mitochondrion of a healthy cell
STEP = 1 / 256  # of a walk, as a share of the image's side
TRACK_STEPS = 160  # of the longest neurite
CHROMATIN_GRID = 128


@dataclass(frozen=True)
class Mitochondria:
    """Healthy mitochondria around nuclei, and the changes that fragmentation makes to them.

    Attributes:
        points: Places (y, x), shape (M, WALK_STEPS, 2), shares of the side.
        weight: Brightness, shape (M,).
        shift: Where a fragment that begins at a step would drift, shape (M, WALK_STEPS, 2), standard normal.
        turn: How far it would turn, shape (M, WALK_STEPS), -pi to pi.
        spread: How its brightness would differ, shape (M, WALK_STEPS), standard normal.
        owner: Number of its cell among all cells, shape (M,).
    """

    points: Floats
    weight: Floats
    shift: Floats
    turn: Floats
    spread: Floats
    owner: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Culture:
    """Cells of one field; no number in it depends on a class.

    Attributes:
        cells: Centres (y, x) of N cells, shape (N, 2), shares of the side.
        alive: Cells that live; the others keep a small bright nucleus and no potential. Shape (N,).
        radius: Of the nuclei, shape (N,), shares of the side.
        angle: Of their long axes, shape (N,).
        stretch: Long against round, shape (N,), 1 to 1.5.
        brightness: Of the nuclei, shape (N,).
        chromatin: Noise from which the nuclei's texture is made, shape (128, 128).
        mitochondria: Around the nuclei of living cells.
        tracks: Neurites of living cells, shape (T, TRACK_STEPS, 2), shares of the side.
        track_owner: Number of the cell of each neurite, shape (T,).
        track_steps: Steps of each neurite, shape (T,); what follows is not there.
        track_weight: Brightness of its mitochondria, shape (T,).
        track_chance: Whether a mitochondrion lies at a step, shape (T, TRACK_STEPS), 0 to 1.
        dapi: Brightness of all nuclei.
        tmrm: Brightness of all mitochondria.
    """

    cells: Floats
    alive: npt.NDArray[np.bool_]
    radius: Floats
    angle: Floats
    stretch: Floats
    brightness: Floats
    chromatin: Floats
    mitochondria: Mitochondria
    tracks: Floats
    track_owner: npt.NDArray[np.int64]
    track_steps: npt.NDArray[np.int64]
    track_weight: Floats
    track_chance: Floats
    dapi: float
    tmrm: float


def draw_culture(rng: np.random.Generator, *, density: float = 1.0, nucleus: float = 1.0) -> Culture:
    """Draw the cells of one field.

    Args:
        rng: Random generator.
        density: Cells, relative to a usual well; 0 for none at all.
        nucleus: Size of the nuclei, relative to usual cells.

    Returns:
        The culture.
    """
    cells = _cells(rng, density)
    alive = rng.random(len(cells)) > 0.12
    radius = np.where(alive, rng.uniform(0.024, 0.034, len(cells)), rng.uniform(0.010, 0.016, len(cells)))
    vigour = rng.lognormal(0, 0.3, size=int(alive.sum()))
    parents = np.repeat(np.arange(len(vigour)), rng.integers(1, 4, size=len(vigour)))
    living = np.flatnonzero(alive)
    return Culture(
        cells=cells,
        alive=alive,
        radius=nucleus * radius,
        angle=rng.uniform(0, np.pi, len(cells)),
        stretch=rng.uniform(1.0, 1.5, len(cells)),
        brightness=rng.lognormal(0, 0.25, len(cells)) * np.where(alive, 1.0, 1.7),
        chromatin=rng.normal(size=(CHROMATIN_GRID, CHROMATIN_GRID)),
        mitochondria=_mitochondria(rng, cells, living, vigour),
        tracks=_walks(rng, cells[living][parents], rng.uniform(0, 2 * np.pi, len(parents)), TRACK_STEPS, bend=0.06),
        track_owner=living[parents],
        track_steps=rng.integers(40, TRACK_STEPS, size=len(parents)),
        track_weight=vigour[parents],
        track_chance=rng.random((len(parents), TRACK_STEPS)),
        dapi=rng.lognormal(0, 0.10),
        tmrm=rng.lognormal(0, 0.12),
    )


def _cells(rng: np.random.Generator, density: float) -> Floats:
    """Centres of cells that crowd in clusters, shape (N, 2)."""
    clusters = rng.uniform(0.05, 0.95, size=(rng.integers(3, 6), 2))
    count = max(4, rng.poisson(20 * density)) if density else 0
    spread = rng.uniform(0.05, 0.12, size=(count, 1))
    crowded = clusters[rng.integers(len(clusters), size=count)] + spread * rng.normal(size=(count, 2))
    lone = rng.random((count, 1)) < 0.25
    return np.where(lone, rng.random((count, 2)), crowded)


def _mitochondria(
    rng: np.random.Generator, cells: Floats, living: npt.NDArray[np.int64], vigour: Floats
) -> Mitochondria:
    """Random walks that begin on a ring around each nucleus of a living cell and follow it."""
    number = np.repeat(np.arange(len(living)), rng.integers(14, 22, size=len(living)))
    owner = living[number]
    angle = rng.uniform(0, 2 * np.pi, len(owner))
    away = rng.normal(0.042, 0.012, size=(len(owner), 1))
    start = cells[owner] + away * np.stack([np.sin(angle), np.cos(angle)], axis=1)
    heading = angle + np.pi / 2 + rng.normal(0, 0.6, len(owner))
    shape = (len(owner), WALK_STEPS)
    return Mitochondria(
        points=_walks(rng, start, heading, WALK_STEPS, bend=0.35),
        weight=vigour[number] * rng.lognormal(0, 0.3, len(owner)),
        shift=rng.normal(size=(*shape, 2)),
        turn=rng.uniform(-np.pi, np.pi, size=shape),
        spread=rng.normal(size=shape),
        owner=owner,
    )


def _walks(rng: np.random.Generator, start: Floats, heading: Floats, steps: int, *, bend: float) -> Floats:
    """Paths (y, x) that bend at random, shape (len(start), steps, 2)."""
    turns = heading[:, None] + np.cumsum(rng.normal(0, bend, size=(len(start), steps)), axis=1)
    return start[:, None] + STEP * np.cumsum(np.stack([np.sin(turns), np.cos(turns)], axis=2), axis=1)
