"""Plates as coloured grids of wells: tables of numbers that look like heatmaps."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from types import MappingProxyType
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_hex
from PIL import Image

from leigh_mlops.plates import plate_shape, well_name
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.report.job.html_tables import column_text, heading
from leigh_mlops.report.job.job_records import PlateMetric
from leigh_mlops.report.rendering import SIGNED_MAP
from leigh_mlops.report.style import PALETTE
from leigh_mlops.report.table_columns import Columns, float_values, is_missing, is_numeric

__all__ = [
    "Legend",
    "PlateGrid",
    "WellCell",
    "fix_name_colours",
    "legends",
    "plate_grids",
    "ramp_styles",
    "thumbnail",
    "well_colours",
    "signed_gradient",
    "well_sentence",
]

STEPS = 33
"""Number of colours of a scale, small enough that each has a CSS class of its own."""

SEQUENTIAL_MAP = "cividis"
"""Perceptually uniform, also for colour-blind readers (Nuñez et al. 2018)."""

UNDECIDED_CLASS = "undecided"
UNDECIDED_COLOUR = "#C8C8C8"
"""Grey, which no scale of names has, with stripes, which no other cell has."""

RAMPS = {"s": SEQUENTIAL_MAP, "d": SIGNED_MAP}
TICKS = 5


@dataclass(frozen=True)
class WellCell:
    """Cell of one well in the grid of a plate.

    Attributes:
        number: Row number in the table of wells.
        name: Name of the well, such as ``B03``.
        href: URL of its page.
    """

    number: int
    name: str
    href: str


@dataclass(frozen=True)
class PlateGrid:
    """Grid of a plate: column numbers, and for each row its letter and its wells, None where there is none."""

    name: str
    columns: Sequence[int]
    rows: Sequence[tuple[str, Sequence[WellCell | None]]]


@dataclass(frozen=True)
class Legend:
    """Legend of a metric: CSS classes of the colour scale with tick labels, or each name with its CSS class."""

    title: str
    meaning: str
    ramp: Sequence[str]
    ticks: Sequence[str]
    names: Sequence[tuple[str, str]]


def plate_grids(wells: Columns, pages: Sequence[str]) -> list[PlateGrid]:
    """Build the grid of each plate whose wells have a row and a column.

    Args:
        wells: One row per well, with ``Metadata_Plate``, ``_Well``, ``_Row`` and ``_Col`` from 1.
        pages: URL of each well's page.
    """
    names = [Metadata.PLATE, Metadata.WELL, Metadata.ROW, Metadata.COLUMN]
    if not set(names) <= set(wells):
        return []
    plates: dict[str, dict[tuple[int, int], WellCell]] = {}
    placed = zip(*(wells[name] for name in names), pages, strict=True)
    for number, (plate, name, row, column, page) in enumerate(placed):
        if not is_missing(row) and not is_missing(column):
            plates.setdefault(str(plate), {})[int(row), int(column)] = WellCell(number, str(name), page)
    return [_plate_grid(plate, cells) for plate, cells in sorted(plates.items())]


def _plate_grid(plate: str, cells: Mapping[tuple[int, int], WellCell]) -> PlateGrid:
    rows, columns = plate_shape(*zip(*cells, strict=True))
    lines = [
        (well_name(row, 1)[:-2], [cells.get((row, column)) for column in range(1, columns + 1)])
        for row in range(1, rows + 1)
    ]
    return PlateGrid(plate, range(1, columns + 1), lines)


def well_colours(wells: Columns, metric: PlateMetric) -> list[tuple[str, str]]:
    """CSS class of the colour and text of each well, in the order of the table.

    A text column gets a colour for each value, in alphabetical order; the palest colours come last.
    """
    values = wells[metric.column]
    if not is_numeric(values):
        colours = _name_colours(values, metric)
        return [("none", "-") if is_missing(value) else colours[str(value)] for value in values]
    numbers = float_values(values)
    shares = np.clip((numbers - metric.low) / (metric.high - metric.low), 0, 1)
    letter = "d" if metric.signed else "s"
    return [
        ("none", "-") if np.isnan(number) else (f"{letter}{round(share * (STEPS - 1))}", _metric_text(number, metric))
        for number, share in zip(numbers, shares, strict=True)
    ]


def _metric_text(number: float, metric: PlateMetric) -> str:
    rounded = f"{number:.{metric.digits}f}"
    return rounded.removeprefix("-") if float(rounded) == 0 else rounded


def legends(wells: Columns, metrics: Sequence[PlateMetric]) -> list[Legend]:
    """Legend of each metric."""
    return [_legend(wells, metric) for metric in metrics]


def _legend(wells: Columns, metric: PlateMetric) -> Legend:
    values = wells[metric.column]
    if not is_numeric(values):
        names = list(dict.fromkeys(_name_colours(values, metric).values()))
        return Legend(metric.title, metric.meaning, (), (), names)
    letter = "d" if metric.signed else "s"
    ticks = [_metric_text(float(value), metric) for value in np.linspace(metric.low, metric.high, TICKS)]
    numbers = float_values(values)
    below, above = (numbers < metric.low).any(), (numbers > metric.high).any()
    ticks[0], ticks[-1] = ("≤ " if below else "") + ticks[0], ("≥ " if above else "") + ticks[-1]
    return Legend(metric.title, metric.meaning, [f"{letter}{step}" for step in range(STEPS)], ticks, ())


def _name_colours(values: Sequence[Any], metric: PlateMetric) -> dict[str, tuple[str, str]]:
    """CSS class and shown text of each text of a column, those without an answer last."""
    known = {str(value) for value in values if not is_missing(value)}
    open_ended = {text for text in known if metric.undecided and text.startswith(metric.undecided)}
    ordered = [*metric.names, *sorted(known - open_ended - set(metric.names))]
    colours = {name: (f"n{place % len(PALETTE)}", name) for place, name in enumerate(ordered) if name in known}
    return colours | dict.fromkeys(open_ended, (UNDECIDED_CLASS, metric.undecided))


def fix_name_colours(wells: Columns, metric: PlateMetric) -> PlateMetric:
    """Name the texts of a metric, unless they outnumber the colours, so that each has one colour on all pages."""
    if is_numeric(wells[metric.column]):
        return metric
    colours = _name_colours(wells[metric.column], metric)
    others = [name for name, (colour, _) in colours.items() if colour != UNDECIDED_CLASS and name not in metric.names]
    return replace(metric, names=[*metric.names, *others]) if len(others) <= len(PALETTE) else metric


def thumbnail(plate: PlateGrid, colours: Sequence[tuple[str, str]]) -> str:
    """Draw a plate as a data URL of a PNG with one pixel for each well, transparent where there is none.

    Args:
        plate: The plate.
        colours: CSS class and text of each well, see `well_colours`.
    """
    known = _class_colours()
    pixels = np.zeros((len(plate.rows), len(plate.columns), 4), np.uint8)
    for row, (_, cells) in enumerate(plate.rows):
        for column, cell in enumerate(cells):
            if cell is not None:
                colour = known.get(colours[cell.number][0], UNDECIDED_COLOUR)
                pixels[row, column] = *bytes.fromhex(colour[1:]), 255
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"


def ramp_styles() -> str:
    """Style sheet with a CSS class for each colour; text on it is black or white, whichever is more readable."""
    colours = _class_colours()
    styles = [f".{name} {{ background: {colour}; color: {_text_colour(colour)}; }}" for name, colour in colours.items()]
    stripes = "repeating-linear-gradient(45deg, #fff8 0 3px, #fff0 3px 8px)"
    return "\n".join([*styles, f".{UNDECIDED_CLASS} {{ background-image: {stripes}; }}"])


@cache
def _class_colours() -> dict[str, str]:
    """Colour of each CSS class."""
    colours = {
        f"{letter}{step}": to_hex(colormaps[name](step / (STEPS - 1)))
        for letter, name in RAMPS.items()
        for step in range(STEPS)
    }
    colours |= {f"n{place}": colour for place, colour in enumerate(PALETTE)}
    return colours | {UNDECIDED_CLASS: UNDECIDED_COLOUR}


@cache
def signed_gradient() -> str:
    """CSS gradient of the colour scale of heatmaps, from the strongest against to the strongest for."""
    return f"linear-gradient(90deg, {', '.join(to_hex(colormaps[SIGNED_MAP](step / 16)) for step in range(17))})"


def _text_colour(colour: str) -> str:
    channels = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    # Black and white text have equal contrast at this luminance (WCAG 2.2, relative luminance and contrast).
    return "#000" if linear @ [0.2126, 0.7152, 0.0722] > 0.179 else "#fff"


def well_sentence(
    well: Mapping[str, Any], columns: Sequence[str], headings: Mapping[str, str] = MappingProxyType({})
) -> str:
    """Describe a well in one line, such as ``B03: Label DS, predicted TT``."""
    texts = {name: column_text(name, well[name]) for name in columns}
    known = [f"{heading(name, headings)} {text}" for name, text in texts.items() if text != "-"]
    return f"{well[Metadata.PLATE]}, {well[Metadata.WELL]}: {', '.join(known)}"
