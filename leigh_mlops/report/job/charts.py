"""Charts of a report as coordinates of an SVG drawing; the page needs no plotting library."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from leigh_mlops.plates.columns import Metadata
from leigh_mlops.report.job.job_records import PlateMetric
from leigh_mlops.report.sentences import format_count, metric_name
from leigh_mlops.report.style import PALETTE

__all__ = [
    "ChartAxis",
    "CurveChart",
    "LatentChart",
    "Strip",
    "StripChart",
    "curve_charts",
    "latent_chart",
    "linear_scale",
    "strip_chart",
    "axis_ticks",
]

Floats = NDArray[np.float64]

WIDTH, LEFT, RIGHT = 720, 130, 20
STRIP_HEIGHT = 44
NO_LABEL = "no label"
NO_LABEL_COLOUR = "#8A8A8A"
LATENT_HEIGHT, LATENT_LEFT, LATENT_FOOT = 460, 60, 46
CURVE_WIDTH, CURVE_HEIGHT, CURVE_LEFT, CURVE_FOOT = 340, 200, 52, 34
DASHES = {"train": "4 3", "val": "", "test": "1 3"}


@dataclass(frozen=True)
class ChartAxis:
    """Axis of a chart: its ticks as position and text, and its label."""

    ticks: Sequence[tuple[float, str]]
    label: str


@dataclass(frozen=True)
class Strip:
    """Strip of one class: its name, its wells as dots ``(x, y)``, and the positions of its quartiles and median."""

    name: str
    top: float
    colour: str
    dots: Sequence[tuple[float, float]]
    quartiles: tuple[float, float, float]
    description: str


@dataclass(frozen=True)
class StripChart:
    """Distribution of the wells of each class along one metric."""

    height: int
    strips: Sequence[Strip]
    axis: ChartAxis
    caption: str


@dataclass(frozen=True)
class LatentGroup:
    """Fields and wells of one class: ``path`` draws a dot for each field; ``wells`` are (x, y, number of the well)."""

    name: str
    colour: str
    path: str
    wells: Sequence[tuple[float, float, int]]


@dataclass(frozen=True)
class LatentChart:
    """Latent map: fields as small dots, wells as large ones that link to their pages."""

    groups: Sequence[LatentGroup]
    x: ChartAxis
    y: ChartAxis


@dataclass(frozen=True)
class CurveChart:
    """Learning curve of one score, with a line for each part of the data: name, colour, dashes and points."""

    title: str
    lines: Sequence[tuple[str, str, str, str]]
    x: ChartAxis
    y: ChartAxis
    description: str


def strip_chart(wells: pd.DataFrame, metric: PlateMetric) -> StripChart | None:
    """Build the strip chart of a metric, one strip for each label; None if no well has a value.

    Args:
        wells: One row per well, with ``Metadata_Condition`` where labels are known.
        metric: Metric to show; its ends are those of the axis, and values beyond them are clipped.
    """
    values = wells[metric.column].to_numpy(float, na_value=np.nan)
    labels, known = _labels(wells), np.isfinite(values)
    if not known.any():
        return None
    place = linear_scale(metric.low, metric.high, LEFT, WIDTH - RIGHT)
    strips = []
    for number, name in enumerate(_label_names(labels[known])):
        own = values[known & (labels == name)]
        top = 8 + number * STRIP_HEIGHT
        quartiles = np.percentile(own, [25, 50, 75])
        spread = np.random.default_rng(0).uniform(-1, 1, len(own))
        dots = list(zip(map(place, own), top + STRIP_HEIGHT * (0.5 + 0.32 * spread), strict=True))
        lower, middle, upper = (place(quartile) for quartile in quartiles)
        strips.append(
            Strip(
                name,
                top,
                _colour(number, name),
                dots,
                (lower, middle, upper),
                _strip_description(name, len(own), quartiles, metric),
            )
        )
    axis = ChartAxis([(place(tick), f"{tick:g}") for tick in axis_ticks(metric.low, metric.high)], metric.title)
    description = "; ".join(strip.description for strip in strips)
    return StripChart(8 + STRIP_HEIGHT * len(strips) + 44, strips, axis, description)


def _strip_description(name: str, count: int, quartiles: Floats, metric: PlateMetric) -> str:
    lower, middle, upper = (f"{quartile:.{metric.digits}f}" for quartile in quartiles)
    return f"{name}: {format_count(count, 'well')}, median {middle}, middle half {lower} to {upper}"


def latent_chart(fields: pd.DataFrame, wells: pd.DataFrame) -> LatentChart | None:
    """Build the map of the first two latent components; None if there are fewer than two.

    A well is placed at the medians of its fields. The frame holds 99 % of the fields; those
    beyond are drawn on its edge.

    Args:
        fields: One row per field.
        wells: One row per well; its position in the table is its number.
    """
    columns = ["latent_1", "latent_2"]
    if fields.empty or not set(columns) <= set(fields) or not set(columns) <= set(wells):
        return None
    of_fields, of_wells = fields[columns].to_numpy(float), wells[columns].to_numpy(float)
    low, high = np.nanpercentile(of_fields, [0.5, 99.5], axis=0)
    margin = 0.04 * np.maximum(high - low, 1e-9)
    low, high = low - margin, high + margin
    x = linear_scale(low[0], high[0], LATENT_LEFT, WIDTH - RIGHT)
    y = linear_scale(low[1], high[1], LATENT_HEIGHT - LATENT_FOOT, 10)
    field_labels, well_labels = _labels(fields), _labels(wells)
    groups = []
    for number, name in enumerate(_label_names(np.concatenate([field_labels, well_labels]))):
        dots = "".join(f"M{x(a):.1f} {y(b):.1f}h0" for a, b in of_fields[field_labels == name] if np.isfinite(a + b))
        places = [
            (x(of_wells[at, 0]), y(of_wells[at, 1]), int(at))
            for at in np.flatnonzero(well_labels == name)
            if np.isfinite(of_wells[at]).all()
        ]
        groups.append(LatentGroup(name, _colour(number, name), dots, places))
    across = [(x(tick), f"{tick:g}") for tick in axis_ticks(low[0], high[0])]
    up = [(y(tick), f"{tick:g}") for tick in axis_ticks(low[1], high[1])]
    return LatentChart(groups, ChartAxis(across, "latent component 1"), ChartAxis(up, "latent component 2"))


def curve_charts(curves: pd.DataFrame) -> list[CurveChart]:
    """Build a chart for each score, with a line for each part of the data on which it was measured.

    Args:
        curves: Columns ``epoch``, ``metric`` (such as ``val/log_loss``) and ``value``.
    """
    if curves.empty:
        return []
    finite = curves[np.isfinite(curves["value"].to_numpy(float))]
    parts = finite["metric"].astype(str).str.partition("/")
    named = finite.assign(part=parts[0], score=parts[2].where(parts[2] != "", parts[0]))
    return [_curve_chart(str(score), of_score) for score, of_score in named.groupby("score", sort=True)]


def _curve_chart(score: str, curves: pd.DataFrame) -> CurveChart:
    values, epochs = curves["value"].to_numpy(float), curves["epoch"].to_numpy(float)
    y_low, y_high = _nonempty_range(values.min(), values.max())
    x_low, x_high = _nonempty_range(epochs.min(), epochs.max())
    x = linear_scale(x_low, x_high, CURVE_LEFT, CURVE_WIDTH - 10)
    y = linear_scale(y_low, y_high, CURVE_HEIGHT - CURVE_FOOT, 10)
    lines, said = [], []
    for number, (part, own) in enumerate(curves.groupby("part", sort=True)):
        ordered = own.sort_values("epoch")
        points = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in zip(ordered["epoch"], ordered["value"], strict=True))
        lines.append((str(part), PALETTE[number % len(PALETTE)], DASHES.get(str(part), ""), points))
        said.append(f"{part} from {ordered['value'].iloc[0]:.3g} to {ordered['value'].iloc[-1]:.3g}")
    ticks = [(y(tick), f"{tick:g}") for tick in axis_ticks(y_low, y_high, 4)]
    below = [(x(tick), f"{tick:g}") for tick in axis_ticks(x_low, x_high, 5) if tick == round(tick)]
    return CurveChart(metric_name(score), lines, ChartAxis(below, "epoch"), ChartAxis(ticks, ""), ", ".join(said))


def _labels(table: pd.DataFrame) -> NDArray[np.object_]:
    if Metadata.CONDITION not in table:
        return np.full(len(table), NO_LABEL, object)
    labels = table[Metadata.CONDITION]
    return labels.astype(object).where(labels.notna(), NO_LABEL).map(str).to_numpy(object)


def _label_names(labels: NDArray[np.object_]) -> list[str]:
    """Names in alphabetical order; the group without a label comes last."""
    return sorted({str(name) for name in labels}, key=lambda name: (name == NO_LABEL, name))


def _colour(number: int, name: str) -> str:
    return NO_LABEL_COLOUR if name == NO_LABEL else PALETTE[number % len(PALETTE)]


def linear_scale(low: float, high: float, first: float, last: float) -> Callable[[float], float]:
    """Build a linear map from values to coordinates, clipped at both ends."""
    return lambda value: first + (last - first) * min(1.0, max(0.0, (value - low) / (high - low)))


def axis_ticks(low: float, high: float, count: int = 6) -> list[float]:
    """Return about ``count`` round numbers between two ends."""
    return [float(tick) for tick in MaxNLocator(count).tick_values(low, high) if low <= tick <= high]


def _nonempty_range(low: float, high: float) -> tuple[float, float]:
    return (low, high) if high > low else (low - 0.5, high + 0.5)
