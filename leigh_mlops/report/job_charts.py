"""Charts of a report as places in a drawing; the page draws them itself, without a library."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from leigh_mlops.report.job_records import PlateMetric
from leigh_mlops.report.style import PALETTE
from leigh_mlops.report.words import counted, metric_name

__all__ = [
    "Axis",
    "CurveChart",
    "LatentChart",
    "Strip",
    "StripChart",
    "curve_charts",
    "latent_chart",
    "scale_of",
    "strip_chart",
    "ticks_of",
]

Floats = NDArray[np.float64]

WIDTH, LEFT, RIGHT = 720, 130, 20
STRIP = 44
NO_LABEL = "no label"
NOTHING = "#8A8A8A"
LATENT_HEIGHT, LATENT_LEFT, LATENT_FOOT = 460, 60, 46
CURVE_WIDTH, CURVE_HEIGHT, CURVE_LEFT, CURVE_FOOT = 340, 200, 52, 34
DASHES = {"train": "4 3", "val": "", "test": "1 3"}


@dataclass(frozen=True)
class Axis:
    """Ticks as place and text, and what the axis shows."""

    ticks: Sequence[tuple[float, str]]
    label: str


@dataclass(frozen=True)
class Strip:
    """One class: its name, its wells as dots ``(x, y)``, and the places of its quartiles and median."""

    name: str
    top: float
    colour: str
    dots: Sequence[tuple[float, float]]
    quartiles: tuple[float, float, float]
    said: str


@dataclass(frozen=True)
class StripChart:
    """How the wells of each class lie along one number."""

    height: int
    strips: Sequence[Strip]
    axis: Axis
    caption: str


@dataclass(frozen=True)
class LatentGroup:
    """Fields of one class: ``path`` draws a dot for each; ``wells`` are (x, y, number of the well)."""

    name: str
    colour: str
    path: str
    wells: Sequence[tuple[float, float, int]]


@dataclass(frozen=True)
class LatentChart:
    """The latent map: fields as small dots, wells as large ones that lead to their pages."""

    groups: Sequence[LatentGroup]
    x: Axis
    y: Axis


@dataclass(frozen=True)
class CurveChart:
    """One score over epochs, a line for each part of the data: name, colour, dashes and points."""

    title: str
    lines: Sequence[tuple[str, str, str, str]]
    x: Axis
    y: Axis
    said: str


def strip_chart(wells: pd.DataFrame, metric: PlateMetric) -> StripChart | None:
    """The wells of each label along a metric; None where no well has a value.

    Args:
        wells: One row per well, with ``Metadata_Condition`` where labels are known.
        metric: Its ends are those of the axis; wells beyond stand on the edge.
    """
    values = wells[metric.column].to_numpy(float, na_value=np.nan)
    labels, known = _labels(wells), np.isfinite(values)
    if not known.any():
        return None
    place = scale_of(metric.low, metric.high, LEFT, WIDTH - RIGHT)
    strips = []
    for number, name in enumerate(_groups(labels[known])):
        own = values[known & (labels == name)]
        top = 8 + number * STRIP
        quartiles = np.percentile(own, [25, 50, 75])
        spread = np.random.default_rng(0).uniform(-1, 1, len(own))
        dots = list(zip(map(place, own), top + STRIP * (0.5 + 0.32 * spread), strict=True))
        lower, middle, upper = (place(quartile) for quartile in quartiles)
        strips.append(
            Strip(
                name, top, _colour(number, name), dots, (lower, middle, upper), _said(name, len(own), quartiles, metric)
            )
        )
    axis = Axis([(place(tick), f"{tick:g}") for tick in ticks_of(metric.low, metric.high)], metric.title)
    return StripChart(8 + STRIP * len(strips) + 44, strips, axis, "; ".join(strip.said for strip in strips))


def _said(name: str, count: int, quartiles: Floats, metric: PlateMetric) -> str:
    lower, middle, upper = (f"{quartile:.{metric.digits}f}" for quartile in quartiles)
    return f"{name}: {counted(count, 'well')}, median {middle}, middle half {lower} to {upper}"


def latent_chart(fields: pd.DataFrame, wells: pd.DataFrame) -> LatentChart | None:
    """The first two components of the latents; None where there are not two.

    A well stands at the medians of its fields. The frame holds 99 % of the fields; what lies
    beyond stands on its edge.

    Args:
        fields: One row per field.
        wells: One row per well, whose place in the table is its number.
    """
    columns = ["latent_1", "latent_2"]
    if fields.empty or not set(columns) <= set(fields) or not set(columns) <= set(wells):
        return None
    of_fields, of_wells = fields[columns].to_numpy(float), wells[columns].to_numpy(float)
    low, high = np.nanpercentile(of_fields, [0.5, 99.5], axis=0)
    margin = 0.04 * np.maximum(high - low, 1e-9)
    low, high = low - margin, high + margin
    x = scale_of(low[0], high[0], LATENT_LEFT, WIDTH - RIGHT)
    y = scale_of(low[1], high[1], LATENT_HEIGHT - LATENT_FOOT, 10)
    field_labels, well_labels = _labels(fields), _labels(wells)
    groups = []
    for number, name in enumerate(_groups(np.concatenate([field_labels, well_labels]))):
        dots = "".join(f"M{x(a):.1f} {y(b):.1f}h0" for a, b in of_fields[field_labels == name] if np.isfinite(a + b))
        places = [
            (x(of_wells[at, 0]), y(of_wells[at, 1]), int(at))
            for at in np.flatnonzero(well_labels == name)
            if np.isfinite(of_wells[at]).all()
        ]
        groups.append(LatentGroup(name, _colour(number, name), dots, places))
    across = [(x(tick), f"{tick:g}") for tick in ticks_of(low[0], high[0])]
    up = [(y(tick), f"{tick:g}") for tick in ticks_of(low[1], high[1])]
    return LatentChart(groups, Axis(across, "latent component 1"), Axis(up, "latent component 2"))


def curve_charts(curves: pd.DataFrame) -> list[CurveChart]:
    """A chart for each score, with a line for each part of the data that it was taken on.

    Args:
        curves: Columns ``epoch``, ``metric`` (such as ``val/log_loss``) and ``value``.
    """
    if curves.empty:
        return []
    finite = curves[np.isfinite(curves["value"].to_numpy(float))]
    parts = finite["metric"].astype(str).str.partition("/")
    named = finite.assign(part=parts[0], score=parts[2].where(parts[2] != "", parts[0]))
    return [_curve(str(score), of_score) for score, of_score in named.groupby("score", sort=True)]


def _curve(score: str, curves: pd.DataFrame) -> CurveChart:
    values, epochs = curves["value"].to_numpy(float), curves["epoch"].to_numpy(float)
    y_low, y_high = _apart(values.min(), values.max())
    x_low, x_high = _apart(epochs.min(), epochs.max())
    x = scale_of(x_low, x_high, CURVE_LEFT, CURVE_WIDTH - 10)
    y = scale_of(y_low, y_high, CURVE_HEIGHT - CURVE_FOOT, 10)
    lines, said = [], []
    for number, (part, own) in enumerate(curves.groupby("part", sort=True)):
        ordered = own.sort_values("epoch")
        points = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in zip(ordered["epoch"], ordered["value"], strict=True))
        lines.append((str(part), PALETTE[number % len(PALETTE)], DASHES.get(str(part), ""), points))
        said.append(f"{part} from {ordered['value'].iloc[0]:.3g} to {ordered['value'].iloc[-1]:.3g}")
    ticks = [(y(tick), f"{tick:g}") for tick in ticks_of(y_low, y_high, 4)]
    below = [(x(tick), f"{tick:g}") for tick in ticks_of(x_low, x_high, 5) if tick == round(tick)]
    return CurveChart(metric_name(score), lines, Axis(below, "epoch"), Axis(ticks, ""), ", ".join(said))


def _labels(table: pd.DataFrame) -> NDArray[np.object_]:
    if "Metadata_Condition" not in table:
        return np.full(len(table), NO_LABEL, object)
    labels = table["Metadata_Condition"]
    return labels.astype(object).where(labels.notna(), NO_LABEL).map(str).to_numpy(object)


def _groups(labels: NDArray[np.object_]) -> list[str]:
    """Names by the alphabet; those without a label stand last."""
    return sorted({str(name) for name in labels}, key=lambda name: (name == NO_LABEL, name))


def _colour(number: int, name: str) -> str:
    return NOTHING if name == NO_LABEL else PALETTE[number % len(PALETTE)]


def scale_of(low: float, high: float, first: float, last: float) -> Callable[[float], float]:
    """From a value to its place; what lies beyond an end stands on it."""
    return lambda value: first + (last - first) * min(1.0, max(0.0, (value - low) / (high - low)))


def ticks_of(low: float, high: float, count: int = 6) -> list[float]:
    """About ``count`` round numbers between two ends."""
    return [float(tick) for tick in MaxNLocator(count).tick_values(low, high) if low <= tick <= high]


def _apart(low: float, high: float) -> tuple[float, float]:
    return (low, high) if high > low else (low - 0.5, high + 0.5)
