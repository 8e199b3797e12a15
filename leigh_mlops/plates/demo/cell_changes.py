"""Changes of a culture by traits of its class: cells that are lost or die, and other nuclei."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from leigh_mlops.plates.demo.culture import Culture
from leigh_mlops.plates.demo.phenotype import CellTraits

__all__ = ["change_cells"]

_CONDENSED = 0.45  # radius of a dead nucleus, relative to a living one
_BRIGHT = 1.7  # its brightness


def change_cells(culture: Culture, traits: CellTraits) -> Culture:
    """Change the cells of a culture; which ones are lost or die follows from their order, so nothing is drawn.

    Args:
        culture: Healthy cells.
        traits: Traits of the class.

    Returns:
        The culture with fewer cells; living nuclei are larger, dead ones small and bright, and mitochondria and
        neurites are those of living cells.
    """
    if traits == CellTraits():
        return culture
    kept = np.arange(round(traits.remaining * len(culture.cells)))
    alive, radius, brightness = culture.alive[kept], culture.radius[kept], culture.brightness[kept]
    dying = np.flatnonzero(alive)[: round(traits.death * alive.sum())]
    radius = np.where(alive, traits.nucleus * radius, radius)
    radius[dying] *= _CONDENSED
    brightness = brightness.copy()
    brightness[dying] *= _BRIGHT
    alive = alive.copy()
    alive[dying] = False
    changed = replace(culture, cells=culture.cells[kept], alive=alive, radius=radius, brightness=brightness)
    changed = replace(changed, angle=culture.angle[kept], stretch=culture.stretch[kept])
    return _take_from_others(changed, np.flatnonzero(alive))


def _take_from_others(culture: Culture, living: npt.NDArray[np.int64]) -> Culture:
    """Take mitochondria and neurites from all cells but some."""
    whole = culture.mitochondria
    inside, track = np.isin(whole.owner, living), np.isin(culture.track_owner, living)
    return replace(
        culture,
        mitochondria=replace(
            whole,
            points=whole.points[inside],
            weight=whole.weight[inside],
            shift=whole.shift[inside],
            turn=whole.turn[inside],
            spread=whole.spread[inside],
            owner=whole.owner[inside],
        ),
        tracks=culture.tracks[track],
        track_owner=culture.track_owner[track],
        track_steps=culture.track_steps[track],
        track_weight=culture.track_weight[track],
        track_chance=culture.track_chance[track],
    )
