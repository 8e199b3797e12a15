"""Plates as coloured grids of wells: a table that reads as numbers and looks as a heatmap."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.colors import to_hex

from leigh_mlops.plates import plate_shape, well_name
from leigh_mlops.report.job_records import PlateMetric
from leigh_mlops.report.job_tables import heading, named_text
from leigh_mlops.report.pictures import SIGNED_MAP
from leigh_mlops.report.style import PALETTE

__all__ = [
    "Legend",
    "PlateGrid",
    "WellCell",
    "legends",
    "plate_grids",
    "ramp_styles",
    "shown_values",
    "signed_gradient",
    "well_sentence",
]

STEPS = 33
"""Colours of a scale: fewer than an eye tells apart side by side, so that a class can name each."""

SEQUENTIAL_MAP = "cividis"
"""Even to the eye, and the same to colour-blind ones (Nuñez et al. 2018)."""

RAMPS = {"s": SEQUENTIAL_MAP, "d": SIGNED_MAP}
TICKS = 5


@dataclass(frozen=True)
class WellCell:
    """A well in its place.

    Attributes:
        number: Its row in the table of wells.
        name: Such as ``B03``.
        href: Its page.
    """

    number: int
    name: str
    href: str


@dataclass(frozen=True)
class PlateGrid:
    """A plate: column numbers, and per row its letter and its wells, None where there is none."""

    name: str
    columns: Sequence[int]
    rows: Sequence[tuple[str, Sequence[WellCell | None]]]


@dataclass(frozen=True)
class Legend:
    """How to read the colours: classes of the scale with their labels, or each name with its class."""

    title: str
    meaning: str
    ramp: Sequence[str]
    ticks: Sequence[str]
    names: Sequence[tuple[str, str]]


def plate_grids(wells: pd.DataFrame, pages: Sequence[str]) -> list[PlateGrid]:
    """A grid of each plate whose wells have a row and a column.

    Args:
        wells: One row per well, with ``Metadata_Plate``, ``_Well``, ``_Row`` and ``_Col`` from 1.
        pages: Address of each well's page.
    """
    if not {"Metadata_Row", "Metadata_Col"} <= set(wells):
        return []
    placed = wells.assign(number=np.arange(len(wells)), page=list(pages)).dropna(
        subset=["Metadata_Row", "Metadata_Col"]
    )
    return [_grid(str(plate), of_plate) for plate, of_plate in placed.groupby("Metadata_Plate", sort=True)]


def _grid(plate: str, wells: pd.DataFrame) -> PlateGrid:
    rows, columns = plate_shape(wells)
    cells = {
        (int(row), int(column)): WellCell(int(number), str(name), str(page))
        for row, column, number, name, page in zip(
            *(wells[key] for key in ("Metadata_Row", "Metadata_Col", "number", "Metadata_Well", "page")), strict=True
        )
    }
    lines = [
        (well_name(row, 1)[:-2], [cells.get((row, column)) for column in range(1, columns + 1)])
        for row in range(1, rows + 1)
    ]
    return PlateGrid(plate, range(1, columns + 1), lines)


def shown_values(wells: pd.DataFrame, metric: PlateMetric) -> list[tuple[str, str]]:
    """Class of the colour and text of each well, in the order of the table.

    A column of words gets a colour for each word, by the alphabet; the palest colours stand last.
    """
    values = wells[metric.column]
    if not pd.api.types.is_numeric_dtype(values):
        order = _names(values)
        return [
            ("none", "-") if pd.isna(value) else (f"n{order[str(value)] % len(PALETTE)}", str(value))
            for value in values
        ]
    numbers = values.to_numpy(float, na_value=np.nan)
    shares = np.clip((numbers - metric.low) / (metric.high - metric.low), 0, 1)
    letter = "d" if metric.signed else "s"
    return [
        ("none", "-") if np.isnan(number) else (f"{letter}{round(share * (STEPS - 1))}", _text(number, metric))
        for number, share in zip(numbers, shares, strict=True)
    ]


def _text(number: float, metric: PlateMetric) -> str:
    rounded = f"{number:.{metric.digits}f}"
    return rounded.removeprefix("-") if float(rounded) == 0 else rounded


def legends(wells: pd.DataFrame, metrics: Sequence[PlateMetric]) -> list[Legend]:
    """How to read each of the metrics."""
    return [_legend(wells, metric) for metric in metrics]


def _legend(wells: pd.DataFrame, metric: PlateMetric) -> Legend:
    values = wells[metric.column]
    if not pd.api.types.is_numeric_dtype(values):
        names = [(f"n{place % len(PALETTE)}", name) for name, place in _names(values).items()]
        return Legend(metric.title, metric.meaning, (), (), names)
    letter = "d" if metric.signed else "s"
    ticks = [_text(float(value), metric) for value in np.linspace(metric.low, metric.high, TICKS)]
    below, above = values.min() < metric.low, values.max() > metric.high
    ticks[0], ticks[-1] = ("≤ " if below else "") + ticks[0], ("≥ " if above else "") + ticks[-1]
    return Legend(metric.title, metric.meaning, [f"{letter}{step}" for step in range(STEPS)], ticks, ())


def _names(values: "pd.Series[Any]") -> dict[str, int]:
    return {name: place for place, name in enumerate(sorted({str(value) for value in values.dropna()}))}


def ramp_styles() -> str:
    """Style sheet with a class for each colour; text on it is black or white, whichever is read more easily."""
    colours = {
        f"{letter}{step}": to_hex(colormaps[name](step / (STEPS - 1)))
        for letter, name in RAMPS.items()
        for step in range(STEPS)
    }
    colours |= {f"n{place}": colour for place, colour in enumerate(PALETTE)}
    return "\n".join(
        f".{name} {{ background: {colour}; color: {_ink_on(colour)}; }}" for name, colour in colours.items()
    )


def signed_gradient() -> str:
    """The scale of heatmaps from the strongest against to the strongest for, as a background of a style sheet."""
    return f"linear-gradient(90deg, {', '.join(to_hex(colormaps[SIGNED_MAP](step / 16)) for step in range(17))})"


def _ink_on(colour: str) -> str:
    channels = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    # Black and white are read equally well on this luminance (WCAG 2.2, relative luminance and contrast).
    return "#000" if linear @ [0.2126, 0.7152, 0.0722] > 0.179 else "#fff"


def well_sentence(well: Mapping[str, Any], columns: Sequence[str]) -> str:
    """A well in one line, such as ``B03: Label DS, predicted TT``."""
    texts = {name: named_text(name, well[name]) for name in columns}
    known = [f"{heading(name)} {text}" for name, text in texts.items() if text != "-"]
    return f"{well['Metadata_Plate']}, {well['Metadata_Well']}: {', '.join(known)}"
