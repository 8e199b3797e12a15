"""How every figure looks: colours, sizes, and how it is saved."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from leigh_mlops.report.files import replacing

__all__ = ["INK", "MUTED", "PALETTE", "class_colours", "dress", "legend_below", "new_figure", "plain", "save_figure"]

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442")
"""Okabe and Ito (2008), safe for colour-blind eyes; the palest stand last."""

INK = "#222222"
MUTED = "#6B6B6B"


def class_colours(names: Sequence[str]) -> dict[str, str]:
    """The colour of each name, by its place in the order.

    The palette starts again after seven names, so more than seven are no longer
    told apart by colour alone.

    Example:
        >>> class_colours(["DS", "WT"])
        {'DS': '#0072B2', 'WT': '#D55E00'}
    """
    return {name: PALETTE[place % len(PALETTE)] for place, name in enumerate(names)}


def new_figure(
    width: float, height: float, *, dpi: int = 120, layout: Literal["constrained", "compressed"] | None = "constrained"
) -> Figure:
    """An empty white figure that draws without a screen or any global state.

    Args:
        width: Width in inches.
        height: Height in inches.
        dpi: Pixels per inch of the saved picture.
        layout: ``compressed`` where axes keep their aspect, None where they are
            placed by hand.
    """
    figure = Figure(figsize=(width, height), dpi=dpi, facecolor="white", layout=layout)
    FigureCanvasAgg(figure)
    return figure


def plain(text: str) -> str:
    r"""A name as matplotlib shall draw it: its dollars are no formula.

    Example:
        >>> plain("a$b$")
        'a\\$b\\$'
    """
    return text.replace("$", r"\$")


def dress(axes: Axes, *, x: str, y: str, title: str = "") -> None:
    """Label both axes, and leave away the frame's top and right side."""
    axes.set_xlabel(x, fontsize=11, color=INK)
    axes.set_ylabel(y, fontsize=11, color=INK)
    if title:
        axes.set_title(title, fontsize=12, color=INK, loc="left")
    axes.tick_params(labelsize=10, colors=INK)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def legend_below(figure: Figure, axes: Axes) -> None:
    """One legend for the whole figure under its axes, where it hides no data."""
    handles, names = axes.get_legend_handles_labels()
    if handles:
        columns = min(4, len(handles))
        figure.legend(handles, names, loc="outside lower center", ncols=columns, frameon=False, fontsize=10)


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a figure as a picture (the kind by its suffix), whole or not at all.

    Equal figures give equal bytes: no date is written and no version.
    """
    with replacing(path) as temporary:
        nameless = {"Software": None} if path.suffix == ".png" else None
        figure.savefig(temporary, dpi="figure", metadata=nameless)
    return path
