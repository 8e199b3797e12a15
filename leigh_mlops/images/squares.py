"""Squares of fields, since networks take square images, of one scale."""

from typing import NamedTuple

import numpy as np

from leigh_mlops.errors import LeighError
from leigh_mlops.images.source import Pixels
from leigh_mlops.plates import widths_differ

__all__ = ["CENTRE", "Tile", "Width", "cut_square"]

Tile = tuple[int, int]
"""Number of a square from 0, and the number of squares into which the field is cut."""
CENTRE: Tile = (0, 1)
"""The centre square, which is the whole of a square field."""


class Width(NamedTuple):
    """Width of a square on the specimen.

    Attributes:
        um: Width in µm.
        pixel_um: Edge of a pixel of the field in µm.
    """

    um: float
    pixel_um: float

    def side(self, longest: int) -> int:
        """Side in pixels, from 1.

        Args:
            longest: Side of the largest square of the field.

        Raises:
            LeighError: The field is narrower.
        """
        side = self.um / self.pixel_um
        if side > longest and widths_differ(side, longest):
            raise LeighError(
                f"The field is {longest * self.pixel_um:.4g} µm wide ({longest} pixels of {self.pixel_um:.4g} µm), and "
                f"a square of {self.um:g} µm should be cut out of it; ingest all plates with a --field-um of at most "
                f"{longest * self.pixel_um:.4g}."
            )
        return min(max(1, round(side)), longest)


def cut_square(plane: Pixels, tile: Tile = CENTRE, width: Width | None = None) -> Pixels:
    """Cut a square of the shorter side out of a plane, and of this the centre of some width.

    Args:
        plane: Shape (H, W).
        tile: Which of the squares that lie evenly along the longer side, the first and the last at its ends; they
            overlap where they are more than the field holds.
        width: Width of the centre that is left of the square; by default all of it.

    Returns:
        Shape (S, S), S the shorter side or that of the width.

    Raises:
        LeighError: A square plane should be cut into several, which would be the same, or the plane is narrower than
            the width.

    Example:
        >>> cut_square(np.arange(12).reshape(2, 6)).tolist(), cut_square(np.arange(12).reshape(2, 6), (2, 3)).tolist()
        ([[2, 3], [8, 9]], [[4, 5], [10, 11]])
    """
    height, length = plane.shape
    number, count = tile
    side, spare = min(height, length), abs(height - length)
    if spare == 0:
        if count > 1:
            raise LeighError(f"The field is square and can't be cut into {count} squares; leave --tiles out.")
        return plane if width is None else _cut_centre(plane, width.side(side))
    start = spare // 2 if count == 1 else round(spare * number / (count - 1))
    rows, columns = (slice(start, start + side), slice(None))[:: 1 if height > length else -1]
    square = plane[rows, columns]
    return np.ascontiguousarray(square) if width is None else _cut_centre(square, width.side(side))


def _cut_centre(square: Pixels, side: int) -> Pixels:
    start = (len(square) - side) // 2
    return np.ascontiguousarray(square[start : start + side, start : start + side])
