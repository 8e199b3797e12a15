"""Axes of a plate in still pictures: an empty circle for each well, letters for rows and numbers for columns."""

import numpy as np
from matplotlib.axes import Axes

from leigh_mlops.plates import well_name
from leigh_mlops.report.style import MUTED

__all__ = ["WIDE_PLATE", "draw_plate_axes"]

WIDE_PLATE = 12
"""Columns above which wells are drawn smaller, and every second column is numbered."""


def draw_plate_axes(axes: Axes, shape: tuple[int, int], size: float) -> None:
    """Draw the empty wells of a plate and its axes, row A at the top.

    Args:
        axes: Axes of the plate.
        shape: Rows and columns of the plate.
        size: Area of a well in square points.
    """
    rows, columns = shape
    grid = np.meshgrid(np.arange(1, columns + 1), np.arange(1, rows + 1))
    axes.scatter(*grid, s=size, facecolors="none", edgecolors="#DDDDDD", linewidths=0.7)
    axes.set_xlim(0.3, columns + 0.7)
    axes.set_ylim(rows + 0.7, 0.3)
    axes.set_aspect("equal")
    axes.set_xticks(range(1, columns + 1, 1 if columns <= WIDE_PLATE else 2))
    axes.set_yticks(range(1, rows + 1), [well_name(row, 1)[:-2] for row in range(1, rows + 1)])
    axes.tick_params(length=0, labelsize=8, colors=MUTED)
    for side in axes.spines.values():
        side.set_visible(False)
