"""Picture of an augmentation: a field, its versions, and histograms of their intensities."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from leigh_mlops.report.style import INK, MUTED, escape_dollars, new_figure

__all__ = ["augmentation_sheet"]

Floats = npt.NDArray[np.float32]

ACROSS = 4
BINS = 80
HEAD = 0.9
FIELD_COLOUR, VERSIONS_COLOUR = "#1F4E79", "#D95F02"


def augmentation_sheet(field: Floats, versions: Floats, channels: Sequence[str], title: str) -> Figure:
    """Draw one row for each channel: the field, its versions, and the histograms of both.

    All pictures of a channel have the same limits, those of the field and its versions together, so that
    gain and offset are visible.

    Args:
        field: Raw intensities, shape (C, S, S).
        versions: Raw intensities, shape (n, C, S, S); four are drawn side by side.
        channels: Channel names.
        title: Title of the sheet.
    """
    figure = new_figure(13.5, HEAD + 4.9 * len(channels), layout=None)
    top = 1 - HEAD / figure.get_figheight()
    figure.suptitle(escape_dollars(title), fontsize=12, color=INK, x=0.03, ha="left", y=(3 + top) / 4)
    grid = figure.add_gridspec(
        len(channels),
        3,
        width_ratios=(1, 1, 1.05),
        left=0.03,
        right=0.985,
        top=top,
        bottom=0.05,
        hspace=0.2,
        wspace=0.1,
    )
    for row, channel in enumerate(channels):
        low, high = _limits(field[row], versions[:, row])
        axes = figure.add_subplot(grid[row, 0])
        _draw(axes, field[row], (low, high))
        axes.set_title(escape_dollars(f"{channel}: field, {low:.4g} to {high:.4g}"), fontsize=10, color=INK, loc="left")
        down = -(-len(versions) // ACROSS)
        inner = grid[row, 1].subgridspec(down, ACROSS, hspace=0.03, wspace=0.03)
        for number, version in enumerate(versions[:, row]):
            _draw(figure.add_subplot(inner[number // ACROSS, number % ACROSS]), version, (low, high))
        _draw_histograms(figure.add_subplot(grid[row, 2]), field[row], versions[:, row], legend=row == 0)
    return figure


def _limits(field: Floats, versions: Floats) -> tuple[float, float]:
    ends = [np.percentile(each, (0.5, 99.8)) for each in (field, versions)]
    low, high = min(each[0] for each in ends), max(each[1] for each in ends)
    return float(low), float(max(high, low + 1e-6))


def _draw(axes: Axes, plane: Floats, limits: tuple[float, float]) -> None:
    axes.imshow(plane, cmap="gray", vmin=limits[0], vmax=limits[1], interpolation="nearest")
    axes.set_axis_off()


def _draw_histograms(axes: Axes, field: Floats, versions: Floats, *, legend: bool) -> None:
    """Draw the share of pixels per bin; bins grow with the intensity, and are never narrower than one grey value."""
    highest = max(float(field.max()), float(versions.max()), 1.0)
    edges = np.unique(np.round(np.expm1(np.linspace(0, np.log1p(highest + 1), BINS + 1)))) - 0.5
    for version in versions:
        _draw_histogram(axes, version, edges, VERSIONS_COLOUR, 0.25, 0.8, None)
    _draw_histogram(axes, versions, edges, VERSIONS_COLOUR, 1.0, 1.8, "versions")
    _draw_histogram(axes, field, edges, FIELD_COLOUR, 1.0, 1.8, "field")
    axes.set_xscale("symlog", linthresh=1)
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(bottom=0.5 / field.size)
    axes.set_yscale("log")
    axes.set_xlabel("raw intensity", fontsize=9, color=MUTED)
    axes.set_title("share of pixels per bin", fontsize=9, color=MUTED, loc="left")
    axes.tick_params(labelsize=8, colors=MUTED)
    if legend:
        axes.legend(fontsize=8, frameon=False)


def _draw_histogram(
    axes: Axes,
    values: Floats,
    edges: npt.NDArray[np.floating],
    colour: str,
    alpha: float,
    width: float,
    label: str | None,
) -> None:
    share = np.histogram(values, edges)[0] / values.size
    axes.stairs(np.where(share > 0, share, np.nan), edges, color=colour, alpha=alpha, linewidth=width, label=label)
