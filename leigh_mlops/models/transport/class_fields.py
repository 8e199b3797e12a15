"""Training fields of one class, read in chunks."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from leigh_mlops.errors import LeighError

__all__ = ["ClassFields"]

_CHUNK_PIXELS = 2**20

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ClassFields:
    """Fields of one class, and a way to read some of them.

    Attributes:
        name: Name of the class, for errors.
        read: Given row numbers (n,), returns images (n, C, H, W), called with a few rows; in network units for
            maps, in raw intensities for independent classifiers.
        wells: Well of each field, shape (N,).
    """

    name: str
    read: Callable[[npt.NDArray[np.int64]], Floats]
    wells: npt.NDArray[np.str_]

    def __post_init__(self) -> None:
        if not len(self.wells):
            raise LeighError(f"Class {self.name} has no training fields; give fields of it.")

    def take(self, rows: npt.NDArray[np.int64]) -> "ClassFields":
        """Fields of some rows alone."""
        return ClassFields(self.name, lambda some: self.read(rows[some]), self.wells[rows])

    def choose(self, most: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        """Rows of at most so many fields, as even over the wells as they allow, ascending."""
        order = rng.permutation(len(self.wells))
        _, well = np.unique(self.wells[order], return_inverse=True)
        turn = np.empty(len(order), np.int64)
        by_well = np.argsort(well, kind="stable")
        starts = np.flatnonzero(np.diff(well[by_well], prepend=-1))
        turn[by_well] = np.arange(len(order)) - np.repeat(starts, np.diff([*starts, len(order)]))
        return np.sort(order[np.argsort(turn, kind="stable")[:most]])

    def read_sample(self, max_pixels: int, rng: np.random.Generator) -> tuple[Floats, npt.NDArray[np.str_]]:
        """Images (n, C, H, W) with at most so many pixels in all, and their wells (n,).

        Raises:
            LeighError: An image has numbers that are not finite.
        """
        shape = self.read(np.zeros(1, np.int64)).shape[1:]
        pixels = int(np.prod(shape[1:]))
        rows = self.choose(max(max_pixels // pixels, 1), rng)
        step = max(_CHUNK_PIXELS // pixels, 1)
        images = np.empty((len(rows), *shape), np.float32)
        for start in range(0, len(rows), step):
            chunk = self.read(rows[start : start + step])
            if not np.isfinite(chunk).all():
                raise LeighError(f"An image of class {self.name} has values that are not finite; exclude the field.")
            images[start : start + step] = chunk
        return images, self.wells[rows]
