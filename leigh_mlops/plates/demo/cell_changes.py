"""Changes of a culture by traits of its class: cells that are lost or die, and other nuclei."""

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from leigh_mlops.plates.demo.culture import Culture, Mitochondria
from leigh_mlops.plates.demo.phenotype import CellTraits

__all__ = ["change_cells"]

Drawn = TypeVar("Drawn", Culture, Mitochondria)

_OF_CELLS = ("cells", "alive", "radius", "angle", "stretch", "brightness")
_OF_NEURITES = ("tracks", "track_owner", "track_steps", "track_weight", "track_chance")
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
    culture = _select(culture, _OF_CELLS, np.arange(round(traits.remaining * len(culture.cells))))
    dead = np.zeros(len(culture.cells), bool)
    dead[np.flatnonzero(culture.alive)[: round(traits.death * culture.alive.sum())]] = True
    living = np.flatnonzero(culture.alive & ~dead)
    whole = culture.mitochondria
    culture = _select(culture, _OF_NEURITES, np.isin(culture.track_owner, living))
    return replace(
        culture,
        alive=culture.alive & ~dead,
        radius=culture.radius * np.where(culture.alive, traits.nucleus, 1) * np.where(dead, _CONDENSED, 1),
        brightness=culture.brightness * np.where(dead, _BRIGHT, 1),
        mitochondria=_select(whole, [each.name for each in fields(whole)], np.isin(whole.owner, living)),
    )


def _select(drawn: Drawn, names: Sequence[str], rows: npt.NDArray[Any]) -> Drawn:
    """Leave only some rows in the named arrays."""
    return replace(drawn, **{name: getattr(drawn, name)[rows] for name in names})
