"""Contact sheets: many pictures on one figure, pixel by pixel."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from leigh_mlops.report.rendering import (
    SIGNED_MAP,
    UNSIGNED_MAP,
    Rgb,
    channel_colours,
    composite,
    heatmap_overlay,
)
from leigh_mlops.report.style import INK, MUTED, new_figure

__all__ = ["HeatScale", "Panel", "SheetRow", "contact_sheet", "limits_sentence", "reconstructions"]

DPI = 100
SIDE, GAP, MARGIN = 224, 16, 24
LINE, TITLE, CAPTION_LETTERS = 17, 26, 30
SCALE_HEIGHT = 76
MAX_ROWS = 12


@dataclass(frozen=True)
class Panel:
    """Picture RGB (H, W, 3), 0 to 255, with a short caption under it."""

    picture: Rgb
    caption: str


@dataclass(frozen=True)
class SheetRow:
    """Row of one field: a title, which may be empty, and its panels, left to right."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True)
class HeatScale:
    """Colour scale of a sheet's maps: value at full colour, and name with unit."""

    limit: float
    label: str
    signed: bool = True


def contact_sheet(rows: Sequence[SheetRow], heading: str, note: str = "", *, scale: HeatScale | None = None) -> Figure:
    """Draw one row for each field, with its panels side by side.

    A panel of 224 pixels is drawn pixel by pixel when the figure is saved by
    ``save_figure`` and viewed at 100 %.

    Args:
        rows: The fields; only the first twelve are drawn, and the sheet says
            how many are missing.
        heading: Title of the sheet.
        note: Explanatory note: limits of intensity, scale of the maps.
        scale: Colour scale of the maps, drawn at the bottom.

    Raises:
        ValueError: No row has a panel.
    """
    columns = max((len(row.panels) for row in rows), default=0)
    if not columns:
        raise ValueError("no row has a panel: there is nothing to show.")
    if len(rows) > MAX_ROWS:
        note = f"{note} {len(rows) - MAX_ROWS} more fields are not shown.".strip()
    rows = rows[:MAX_ROWS]
    width = max(2 * MARGIN + columns * SIDE + (columns - 1) * GAP, 3 * SIDE)
    letters = (width - 2 * MARGIN) // 7
    headings, notes = textwrap.wrap(heading, letters * 3 // 4), textwrap.wrap(note, letters)
    header = MARGIN + 24 * len(headings) + LINE * len(notes) + 8
    footer = SCALE_HEIGHT if scale else MARGIN // 2
    sheet = _Sheet(width, header + sum(map(_row_height, rows)) + footer)
    sheet.write_lines(headings, MARGIN, MARGIN, line=24, size=13, weight="bold")
    sheet.write_lines(notes, MARGIN, MARGIN + 24 * len(headings), size=9, colour=MUTED)
    top = header
    for row in rows:
        sheet.draw_row(row, top)
        top += _row_height(row)
    if scale:
        sheet.draw_scale(scale, top)
    return sheet.figure


def reconstructions(
    images: ArrayLike, reconstructed: ArrayLike, channels: Sequence[str], limits: ArrayLike,
    *, titles: Sequence[str] | None = None,
) -> Figure:  # fmt: skip
    """Draw fields next to their reconstructions by a network, and the differences.

    Args:
        images: Raw intensities (N, C, H, W).
        reconstructed: The same shape and unit.
        channels: Channel names, length C.
        limits: Per channel (low, high), shape (C, 2), as ``composite`` takes them;
            half the widest of them is the difference at full colour.
        titles: One for each field; numbers by default.

    Raises:
        ValueError: The shapes differ.
    """
    before, after = np.asarray(images, dtype=float), np.asarray(reconstructed, dtype=float)
    if before.shape != after.shape:
        raise ValueError(f"images {before.shape} and reconstructed {after.shape} differ: pass equal shapes.")
    drawn = [list(channels).index(name) for name in channel_colours(channels)]
    limit = float(np.ptp(np.asarray(limits, dtype=float)[drawn], axis=1).max()) / 2
    names = titles or [f"field {number}" for number in range(1, len(before) + 1)]
    rows = []
    for name, image, remade in zip(names, before, after, strict=True):
        picture = composite(image, channels, limits)
        change = (remade - image)[drawn].mean(axis=0)
        error = np.sqrt(np.mean((remade - image)[drawn] ** 2))
        panels = [
            Panel(picture, "image"),
            Panel(composite(remade, channels, limits), f"reconstruction, error {error:.1f} (root mean square)"),
            Panel(heatmap_overlay(picture, change, limit), "reconstruction minus image"),
        ]
        rows.append(SheetRow(name, panels))
    scale = HeatScale(limit, "reconstruction minus image, mean of the channels (raw intensity)")
    note = f"{limits_sentence(channels, limits)} One scale for all fields."
    return contact_sheet(rows, "Images and their reconstructions", note, scale=scale)


def limits_sentence(channels: Sequence[str], limits: ArrayLike) -> str:
    """Sentence on the intensity scale of pictures from `composite`."""
    scales = dict(zip(channels, np.asarray(limits, dtype=float), strict=True))
    parts = [f"{name} {scales[name][0]:.4g} to {scales[name][1]:.4g}" for name in channel_colours(channels)]
    return f"Raw intensity from black to full colour: {', '.join(parts)}."


def _wrap_caption(caption: str) -> list[str]:
    # A number must not be separated from its percent sign.
    return textwrap.wrap(caption.replace(" %", "\N{NO-BREAK SPACE}%"), CAPTION_LETTERS)


def _row_height(row: SheetRow) -> int:
    lines = max((len(_wrap_caption(panel.caption)) for panel in row.panels), default=0)
    return _title_height(row) + SIDE + 4 + LINE * lines + GAP


def _title_height(row: SheetRow) -> int:
    return TITLE if row.title else 0


class _Sheet:
    """Figure addressed in pixels from its top left corner."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.figure = new_figure(width / DPI, height / DPI, dpi=DPI, layout=None)

    def write_lines(
        self, lines: Sequence[str], left: int, top: int,
        *, line: int = LINE, size: float = 9, weight: str = "normal", colour: str = INK,
    ) -> None:  # fmt: skip
        for place, text in enumerate(lines):
            x, y = left / self.width, 1 - (top + place * line) / self.height
            self.figure.text(x, y, text, va="top", fontsize=size, fontweight=weight, color=colour, parse_math=False)

    def axes_box(self, left: int, top: int, width: int, height: int) -> tuple[float, float, float, float]:
        bottom = self.height - top - height
        return left / self.width, bottom / self.height, width / self.width, height / self.height

    def draw_row(self, row: SheetRow, top: int) -> None:
        if row.title:
            self.write_lines([row.title], MARGIN, top + 4, size=10.5, weight="bold")
        below = top + _title_height(row)
        for place, panel in enumerate(row.panels):
            left = MARGIN + place * (SIDE + GAP)
            axes = self.figure.add_axes(self.axes_box(left, below, SIDE, SIDE))
            axes.imshow(panel.picture)
            axes.set_axis_off()
            self.write_lines(_wrap_caption(panel.caption), left, below + SIDE + 4)

    def draw_scale(self, scale: HeatScale, top: int) -> None:
        axes = self.figure.add_axes(self.axes_box(MARGIN, top, 2 * SIDE, 12))
        name, low = (SIGNED_MAP, -scale.limit) if scale.signed else (UNSIGNED_MAP, 0.0)
        colours = colormaps[name](np.linspace(0, 1, 256))[None, :, :3]
        axes.imshow(colours, aspect="auto", extent=(low, scale.limit, 0, 1))
        axes.set_yticks([])
        axes.set_xticks(np.linspace(low, scale.limit, 5))
        axes.xaxis.set_major_formatter("{x:.3g}")
        axes.tick_params(labelsize=9, colors=INK)
        first, *_, last = axes.get_xticklabels()
        first.set_horizontalalignment("left")  # long numbers would leave the sheet
        last.set_horizontalalignment("right")
        axes.set_xlabel(scale.label, fontsize=9, color=INK, loc="left", parse_math=False)
