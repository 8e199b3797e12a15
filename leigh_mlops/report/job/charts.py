"""Charts of a job's page, drawn with matplotlib: wells by class, latent map, learning curves and dose responses."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from leigh_mlops.job_columns import LATENT
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.report.job.job_records import NeighbourMap, PlateMetric
from leigh_mlops.report.job.report_pages import well_keys
from leigh_mlops.report.sentences import format_count, metric_name
from leigh_mlops.report.style import (
    GRID,
    INK,
    PALETTE,
    add_figure_legend,
    class_colours,
    escape_dollars,
    new_figure,
    style_axes,
)
from leigh_mlops.report.table_columns import Columns, float_values, group_rows, is_missing, row_count

__all__ = ["PageChart", "curve_charts", "dose_charts", "latent_chart", "neighbour_chart", "new_axes", "strip_chart"]

WIDTH, SMALL_WIDTH = 8.4, 3.9
"""Inches; a page shows about 90 pixels for each where it has room."""

NO_LABEL = "no label"
NO_LABEL_COLOUR = "#8A8A8A"
MAX_NAME_LENGTH = 18
LINE_STYLES = {"train": "--", "test": ":"}
MIN_RESCUE, MAX_RESCUE = -50.0, 150.0
MIN_DOSES = 3
MAX_DOSE_CHARTS = 24
MAX_STRIP_DOTS, MAX_FIELD_DOTS = 4000, 5000
"""Number of dots that a chart has room for; of more, an even sample is drawn."""

DOSE_COLUMNS = ("dose", "rescue", "rescue_low", "rescue_high", "fitted")


@dataclass(frozen=True)
class PageChart:
    """Chart of a page.

    Attributes:
        title: Title of the chart.
        figure: Drawing with a transparent background, in the colours of ``report.style``.
        description: The content of the drawing in words.
        links: URL of each link in the drawing, to the attributes of the link.
        note: What the drawing leaves out, in a sentence; empty for nothing.
    """

    title: str
    figure: Figure
    description: str
    links: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    note: str = ""


def strip_chart(wells: Columns, metric: PlateMetric) -> PageChart | None:
    """Draw the wells along a metric, one strip with the quartiles for each label; None if no well has a value.

    Args:
        wells: One row per well, with ``Metadata_Condition`` where labels are known.
        metric: Metric to show; its ends are those of the axis, and values beyond them are clipped.
    """
    values = float_values(wells[metric.column])
    labels, known = _labels(wells), np.isfinite(values)
    if not known.any():
        return None
    colours = _label_colours(labels[known])
    figure, axes = new_axes(WIDTH, 0.5 * len(colours) + 0.7, x=metric.title)
    descriptions = []
    for place, (name, colour) in enumerate(colours.items()):
        own = values[known & (labels == name)]
        drawn = own[_sample_rows(len(own), MAX_STRIP_DOTS * len(own) // int(known.sum()))]
        clipped, drawn = (np.clip(each, metric.low, metric.high) for each in (own, drawn))
        _draw_strip(axes, place, clipped, drawn, colour)
        lower, middle, upper = (f"{quartile:.{metric.digits}f}" for quartile in np.percentile(own, [25, 50, 75]))
        wells_text = format_count(len(own), "well")
        descriptions.append(f"{name}: {wells_text}, median {middle}, middle half {lower} to {upper}")
    axes.set_xlim(metric.low, metric.high)
    axes.set_ylim(len(colours) - 0.5, -0.5)
    axes.set_yticks(range(len(colours)), [_short_name(name) for name in colours])
    axes.grid(visible=False, axis="y")
    note = _sample_note("wells", int(known.sum()), MAX_STRIP_DOTS)
    return PageChart(metric.title, figure, "; ".join(descriptions), note=note)


def _sample_rows(count: int, most: int) -> NDArray[np.int64]:
    """Numbers of the rows of a random sample, ascending; all if there are not more."""
    return np.sort(np.random.default_rng(0).permutation(count)[:most])


def _sample_note(what: str, count: int, most: int) -> str:
    return f"A random sample of {most:,} of the {count:,} {what} is drawn." if count > most else ""


def _draw_strip(axes: Axes, place: int, values: NDArray[np.float64], drawn: NDArray[np.float64], colour: str) -> None:
    """Draw some values (M,) as dots along a row of the axes, with a box between the quartiles of all (N,)."""
    heights = place + 0.32 * np.random.default_rng(0).uniform(-1, 1, len(drawn))
    axes.scatter(drawn, heights, s=28, c=colour, alpha=0.75, linewidths=0)
    low, median, high = np.percentile(values, [25, 50, 75])
    axes.barh(place, high - low, left=low, height=0.64, facecolor="none", edgecolor=INK, linewidth=1.2)
    axes.vlines(median, place - 0.32, place + 0.32, color=INK, linewidth=2)


def latent_chart(fields: Columns, wells: Columns, hrefs: Sequence[str]) -> PageChart | None:
    """Draw fields and wells on the first two latent components; None if there are fewer than two.

    A well is placed at the medians of its fields and links to its page. The frame holds 99 % of
    the fields; those beyond are drawn on its edge.

    Args:
        fields: One row per field.
        wells: One row per well, with ``Metadata_Plate`` and ``Metadata_Well``.
        hrefs: URL of each well's page.
    """
    columns = (LATENT(1), LATENT(2))
    if not row_count(fields) or not set(columns) <= set(fields) or not set(columns) <= set(wells):
        return None
    axes = ("latent component 1", "latent component 2")
    return _map_chart("Latent map", fields, wells, hrefs, columns, axes)


def neighbour_chart(neighbours: NeighbourMap | None, wells: Columns, hrefs: Sequence[str]) -> PageChart | None:
    """Draw fields and wells where neighbours of the latents lie close together; None without a map.

    Args:
        neighbours: Places of some fields.
        wells: One row per well, with ``Metadata_Plate`` and ``Metadata_Well``.
        hrefs: URL of each well's page.
    """
    if neighbours is None:
        return None
    columns = NeighbourMap.COLUMNS
    places = group_rows(well_keys(neighbours.fields))
    keys = well_keys(wells)
    medians = {
        column: [
            float(np.median([neighbours.fields[column][row] for row in places[key]])) if key in places else math.nan
            for key in keys
        ]
        for column in columns
    }
    title = f"Map of neighbours ({neighbours.method})"
    return _map_chart(title, neighbours.fields, {**wells, **medians}, hrefs, columns, ("", ""))


def _map_chart(
    title: str,
    fields: Columns,
    wells: Columns,
    hrefs: Sequence[str],
    columns: tuple[str, str],
    axis_titles: tuple[str, str],
) -> PageChart:
    """Draw fields and wells at the places that two columns of both tables give."""
    places = [np.stack([float_values(table[name]) for name in columns], axis=1) for table in (fields, wells)]
    low, high = np.nanpercentile(places[0], [0.5, 99.5], axis=0)
    margin = 0.04 * np.maximum(high - low, 1e-9)
    low, high = low - margin, high + margin
    drawn, count = _sample_rows(len(places[0]), MAX_FIELD_DOTS), len(places[0])
    of_fields, of_wells = (np.clip(each, low, high) for each in places)
    of_fields, field_labels, well_labels = of_fields[drawn], _labels(fields)[drawn], _labels(wells)
    figure, axes = new_axes(WIDTH, 5.5, x=axis_titles[0], y=axis_titles[1])
    for name, colour in _label_colours(np.concatenate([field_labels, well_labels])).items():
        _draw_fields(axes, of_fields[(field_labels == name) & np.isfinite(of_fields).all(axis=1)], colour)
        own = (well_labels == name) & np.isfinite(of_wells).all(axis=1)
        dots = axes.scatter(of_wells[own, 0], of_wells[own, 1], s=60, color=colour, edgecolors=INK, zorder=3)
        dots.set(urls=np.asarray(hrefs)[own].tolist(), label=_short_name(name))
    axes.set_xlim(low[0], high[0])
    axes.set_ylim(low[1], high[1])
    add_figure_legend(figure, axes)
    names = zip(hrefs, wells[Metadata.PLATE], wells[Metadata.WELL], well_labels, strict=True)
    links = {
        href: {"data-well": str(number), "aria-label": f"{plate}, {well}, {label}"}
        for number, (href, plate, well, label) in enumerate(names)
    }
    if not any(axis_titles):  # the numbers of such a map mean nothing
        axes.set_xticklabels([])
        axes.set_yticklabels([])
    description = f"{title}; each large dot is a well and leads to its page" if links else title
    return PageChart(title, figure, description, links, _sample_note("fields", count, MAX_FIELD_DOTS))


def _draw_fields(axes: Axes, places: NDArray[np.float64], colour: str) -> None:
    """Draw positions (N, 2) as lines of no length with round ends, a tenth of the size of markers in a page."""
    path = Path(np.repeat(places, 2, axis=0), [Path.MOVETO, Path.LINETO] * len(places))
    path.should_simplify = False
    axes.add_patch(PathPatch(path, edgecolor=colour, facecolor="none", linewidth=3, capstyle="round", alpha=0.45))


def curve_charts(curves: Columns) -> list[PageChart]:
    """Draw the learning curves of each score, with a line for each part of the data on which it was measured.

    Args:
        curves: Columns ``epoch``, ``metric`` (such as ``val/log_loss``) and ``value``.
    """
    if not row_count(curves):
        return []
    scores: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for epoch, metric, value in zip(*(curves[name] for name in ("epoch", "metric", "value")), strict=True):
        if math.isfinite(value):
            part, _, score = str(metric).partition("/")
            scores.setdefault(score or part, {}).setdefault(part, []).append((float(epoch), float(value)))
    return [_curve_chart(score, parts) for score, parts in sorted(scores.items())]


def _curve_chart(score: str, parts: Mapping[str, Sequence[tuple[float, float]]]) -> PageChart:
    figure, axes = new_axes(SMALL_WIDTH, 2.5, x="epoch")
    texts = []
    for number, (part, points) in enumerate(sorted(parts.items())):
        epochs, values = np.asarray(sorted(points)).T
        style, colour = LINE_STYLES.get(part, "-"), PALETTE[number % len(PALETTE)]
        marker = "o" if len(values) == 1 else None
        axes.plot(epochs, values, style, color=colour, linewidth=2, label=_short_name(part), marker=marker)
        texts.append(f"{part} from {values[0]:.3g} to {values[-1]:.3g}")
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(4))
    add_figure_legend(figure, axes)
    return PageChart(metric_name(score), figure, f"{metric_name(score)} over epochs: {', '.join(texts)}")


def dose_charts(doses: Columns, title: str = "rescue (%)") -> list[PageChart]:
    """Draw the rescue of each compound with at least three doses above 0, the strongest rescue first.

    All share one scale, -50 to 150 %; values beyond are clipped. At most 24 charts are drawn.

    Args:
        doses: Columns ``compound``, ``dose``, ``rescue`` and, where they are known, ``rescue_low``,
            ``rescue_high`` and ``fitted``, percent.
        title: Title of the axis of ``rescue``.
    """
    if not {"compound", "dose", "rescue"} <= set(doses):
        return []
    numbers = {name: float_values(doses[name]) for name in DOSE_COLUMNS if name in doses}
    known = (numbers["dose"] > 0) & ~np.isnan(numbers["rescue"])
    names = np.asarray([str(name) for name in doses["compound"]], object)
    several = [
        (name, {column: values[known & (names == name)] for column, values in numbers.items()})
        for name in sorted(set(names[known]))
        if np.sum(known & (names == name)) >= MIN_DOSES
    ]
    ranked = sorted(several, key=lambda each: -each[1]["rescue"].max())
    return [_dose_chart(name, rows, title) for name, rows in ranked[:MAX_DOSE_CHARTS]]


def _dose_chart(name: str, rows: Mapping[str, NDArray[np.float64]], title: str) -> PageChart:
    figure, axes = new_axes(SMALL_WIDTH, 2.0, x="dose", y=escape_dollars(title))
    rows = {column: values[np.argsort(rows["dose"])] for column, values in rows.items()}
    dose, rescue = rows["dose"], rows["rescue"]
    ends = [rows.get(end, rescue) for end in ("rescue_low", "rescue_high")]
    low, high = (_clip_rescue(np.where(np.isnan(end), rescue, end)) for end in ends)
    axes.vlines(dose, low, high, color=PALETTE[0], linewidth=3, alpha=0.5)
    if "fitted" in rows:
        axes.plot(dose, _clip_rescue(rows["fitted"]), color=PALETTE[1], linewidth=2)
    axes.scatter(dose, _clip_rescue(rescue), s=32, c=PALETTE[0], edgecolors=INK, zorder=3)
    axes.set_xscale("log")
    axes.set_xlim(dose.min() / 1.4, dose.max() * 1.4)
    axes.set_ylim(MIN_RESCUE, MAX_RESCUE)
    axes.minorticks_off()
    powers = 10.0 ** np.arange(np.ceil(np.log10(dose.min() / 1.4)), np.log10(dose.max() * 1.4))
    ticks = powers if len(powers) else np.unique([dose.min(), dose.max()])
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_yticks(np.arange(MIN_RESCUE, MAX_RESCUE + 1, 50))
    texts = ", ".join(f"{each:g}: {value:.0f} %" for each, value in zip(dose, rescue, strict=True))
    return PageChart(name, figure, f"{name}: {title.removesuffix(' (%)')} by dose, {texts}")


def _clip_rescue(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.clip(values, MIN_RESCUE, MAX_RESCUE)


def new_axes(width: float, height: float, *, x: str, y: str = "") -> tuple[Figure, Axes]:
    """Create transparent axes with grid lines and no frame, so that they read on light and dark pages."""
    figure = new_figure(width, height)
    axes = figure.subplots()
    figure.patch.set_visible(False)
    axes.patch.set_visible(False)
    style_axes(axes, x=x, y=y)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(bottom=False, left=False)
    axes.grid(color=GRID, linewidth=1)
    axes.set_axisbelow(True)
    return figure, axes


def _labels(table: Columns) -> NDArray[np.object_]:
    labels = table.get(Metadata.CONDITION, [None] * row_count(table))
    return np.asarray([NO_LABEL if is_missing(label) else str(label) for label in labels], object)


def _label_colours(labels: NDArray[np.object_]) -> dict[str, str]:
    """Colour of each name in alphabetical order; the group without a label comes last."""
    names = sorted({str(name) for name in labels}, key=lambda name: (name == NO_LABEL, name))
    colours = class_colours(names)
    return colours | ({NO_LABEL: NO_LABEL_COLOUR} if NO_LABEL in colours else {})


def _short_name(name: str) -> str:
    """Name as a label of limited length; control characters, which no SVG may contain, are replaced."""
    printable = "".join(letter if letter.isprintable() else "\ufffd" for letter in name)
    return escape_dollars(printable if len(printable) <= MAX_NAME_LENGTH else f"{printable[: MAX_NAME_LENGTH - 1]}…")
