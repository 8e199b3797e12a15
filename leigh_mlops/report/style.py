"""Common style of all figures: colours, sizes, and the way of saving them."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from leigh_mlops.report.image_files import atomic_write

__all__ = [
    "GRID",
    "INK",
    "MUTED",
    "PALETTE",
    "class_colours",
    "style_axes",
    "add_figure_legend",
    "new_figure",
    "escape_dollars",
    "save_figure",
]

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442")
"""Okabe and Ito (2008), safe for colour-blind readers; the palest come last."""

INK = "#222222"
MUTED = "#6B6B6B"
GRID = "#eeeeee"


def class_colours(names: Sequence[str]) -> dict[str, str]:
    """Colour of each name, by its position in the sequence.

    The palette starts again after seven names, so more than seven cannot be
    distinguished by colour alone.

    Example:
        >>> class_colours(["DS", "WT"])
        {'DS': '#0072B2', 'WT': '#D55E00'}
    """
    return {name: PALETTE[place % len(PALETTE)] for place, name in enumerate(names)}


class NotebookFigure(Figure):
    """Figure that a notebook shows by itself, also where pyplot, which registers figures there, was never imported."""

    def _repr_png_(self) -> bytes:
        picture = io.BytesIO()
        self.savefig(picture, format="png", dpi="figure")
        return picture.getvalue()


def new_figure(
    width: float, height: float, *, dpi: int = 120, layout: Literal["constrained", "compressed"] | None = "constrained"
) -> Figure:
    """Create an empty white figure that needs neither a screen nor global state.

    Args:
        width: Width in inches.
        height: Height in inches.
        dpi: Pixels per inch of the saved picture.
        layout: ``compressed`` if axes keep their aspect, None if they are
            placed by hand.
    """
    figure = NotebookFigure(figsize=(width, height), dpi=dpi, facecolor="white", layout=layout)
    FigureCanvasAgg(figure)
    return figure


def escape_dollars(text: str) -> str:
    r"""Escape dollar signs, which matplotlib would take for a formula.

    Example:
        >>> escape_dollars("a$b$")
        'a\\$b\\$'
    """
    return text.replace("$", r"\$")


def style_axes(axes: Axes, *, x: str, y: str, title: str = "") -> None:
    """Label both axes, and hide the top and right sides of the frame."""
    axes.set_xlabel(x, fontsize=11, color=INK)
    axes.set_ylabel(y, fontsize=11, color=INK)
    if title:
        axes.set_title(title, fontsize=12, color=INK, loc="left")
    axes.tick_params(labelsize=10, colors=INK)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def add_figure_legend(figure: Figure, axes: Axes) -> None:
    """Add one legend for the whole figure below its axes, where it hides no data."""
    handles, names = axes.get_legend_handles_labels()
    if handles:
        columns = min(4, len(handles))
        figure.legend(handles, names, loc="outside lower center", ncols=columns, frameon=False, fontsize=10)


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a figure to an image file (format by its suffix), completely or not at all.

    Equal figures give equal bytes: neither a date nor a version is written.
    """
    with atomic_write(path) as temporary:
        nameless = {"Software": None} if path.suffix == ".png" else None
        figure.savefig(temporary, dpi="figure", metadata=nameless)
    return path
