"""Squares of rectangular fields, since networks take square images."""

import numpy as np

from leigh_mlops.errors import LeighError
from leigh_mlops.images.source import Pixels

__all__ = ["CENTRE", "Tile", "cut_square"]

Tile = tuple[int, int]
"""Number of a square from 0, and the number of squares into which the field is cut."""
CENTRE: Tile = (0, 1)
"""The centre square, which is the whole of a square field."""


def cut_square(plane: Pixels, tile: Tile = CENTRE) -> Pixels:
    """Cut a square of the shorter side out of a plane.

    Args:
        plane: Shape (H, W).
        tile: Which of the squares that lie evenly along the longer side, the first and the last at its ends; they
            overlap where they are more than the field holds.

    Returns:
        Shape (S, S), S the shorter side.

    Raises:
        LeighError: A square plane should be cut into several, which would be the same.

    Example:
        >>> cut_square(np.arange(12).reshape(2, 6)).tolist(), cut_square(np.arange(12).reshape(2, 6), (2, 3)).tolist()
        ([[2, 3], [8, 9]], [[4, 5], [10, 11]])
    """
    height, width = plane.shape
    number, count = tile
    side, spare = min(height, width), abs(height - width)
    if spare == 0:
        if count > 1:
            raise LeighError(f"The field is square and can't be cut into {count} squares; leave --tiles out.")
        return plane
    start = spare // 2 if count == 1 else round(spare * number / (count - 1))
    rows, columns = (slice(start, start + side), slice(None))[:: 1 if height > width else -1]
    return np.ascontiguousarray(plane[rows, columns])
