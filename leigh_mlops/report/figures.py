"""Figures of scores."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from leigh_mlops.report.sentences import format_count, metric_name
from leigh_mlops.report.style import (
    INK,
    MUTED,
    add_figure_legend,
    class_colours,
    escape_dollars,
    new_figure,
    style_axes,
)

__all__ = ["baseline_comparison", "confusion_matrix", "learning_curves", "score_distributions"]

Floats = NDArray[np.float64]

KIND_STYLES = {
    "network": ("a network", "#0072B2", "o"),
    "baseline": ("a threshold on intensity", "#D55E00", "s"),
    "position": ("the position on the plate", "#009E73", "D"),
}


def learning_curves(curves: pd.DataFrame, metrics: Sequence[str]) -> Figure:
    """Draw one panel for each metric, one line for each run, one colour for each family.

    Args:
        curves: Columns ``run``, ``family``, ``epoch``, ``metric``, ``value``;
            rows whose value is not finite are left out.
        metrics: Names as in the column ``metric``, such as ``val/log_loss``.

    Raises:
        ValueError: No metric is named.
    """
    if not metrics:
        raise ValueError("metrics is empty: name at least one metric to draw.")
    figure = new_figure(4.6 * len(metrics), 3.8)
    runs = curves.groupby("family", sort=False)["run"].nunique()
    colours = class_colours([str(family) for family in runs.index])
    panels = figure.subplots(1, len(metrics), squeeze=False)[0]
    for axes, metric in zip(panels, metrics, strict=True):
        _draw_curves(axes, curves[(curves["metric"] == metric) & np.isfinite(curves["value"].astype(float))], colours)
        style_axes(axes, x="epoch", y=metric_name(metric))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    for family, count in zip(colours, runs, strict=True):
        label = f"{family} ({format_count(count, 'run')})"
        panels[0].plot([], [], color=colours[family], linewidth=2, label=escape_dollars(label))
    add_figure_legend(figure, panels[0])
    return figure


def _draw_curves(axes: Axes, drawn: pd.DataFrame, colours: Mapping[str, str]) -> None:
    if drawn.empty:
        axes.text(0.5, 0.5, "not measured", transform=axes.transAxes, ha="center", color=MUTED)
        return
    for (family, _), run in drawn.groupby(["family", "run"]):
        line = run.sort_values("epoch")
        colour = colours[str(family)]
        # The dots keep a run of one epoch visible.
        axes.plot(line["epoch"], line["value"], "o-", color=colour, alpha=0.75, linewidth=1.5, markersize=3)
    values = drawn["value"].to_numpy(dtype=float)
    if values.min() > 0 and values.max() > 100 * values.min():
        axes.set_yscale("log")


def score_distributions(
    fields: Mapping[str, ArrayLike],
    wells: Mapping[str, ArrayLike],
    *,
    score: str,
    z_prime: float | None = None,
) -> Figure:
    """Draw the scores of fields as a histogram and those of wells as dots under it, one colour for each class.

    Args:
        fields: True class to the scores of its fields, shape (F,).
        wells: True class to the scores of its wells, shape (W,), the same unit.
        score: Name of the score with its unit, such as ``log-odds of TT (nats)``.
        z_prime: The separation of the wells by log-odds, for the title.

    Raises:
        ValueError: No field has a finite score.
    """
    in_fields = {name: _finite_values(values) for name, values in fields.items()}
    in_wells = {name: _finite_values(wells.get(name, [])) for name in fields}
    if not any(len(scores) for scores in in_fields.values()):
        raise ValueError("no field has a finite score: there is nothing to draw.")
    figure = new_figure(7.0, 5.2)
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
    edges = np.histogram_bin_edges(np.concatenate(list(in_fields.values())), bins=40)
    colours = class_colours(list(fields))
    for name, colour in colours.items():
        label = (
            f"{escape_dollars(name)}: {format_count(len(in_fields[name]), 'field')}, "
            f"{format_count(len(in_wells[name]), 'well')}"
        )
        top.hist(in_fields[name], bins=edges, color=colour, alpha=0.55, edgecolor=colour, label=label)
    _draw_well_scores(bottom, in_wells, colours)
    style_axes(
        top, x="", y="number of fields", title="" if z_prime is None else f"Z' of log-odds (wells): {z_prime:.2f}"
    )
    style_axes(bottom, x=escape_dollars(score), y="wells of class")
    add_figure_legend(figure, top)
    return figure


def _finite_values(values: ArrayLike) -> Floats:
    array: Floats = np.asarray(values, dtype=np.float64).ravel()
    return np.compress(np.isfinite(array), array)


def _draw_well_scores(axes: Axes, wells: Mapping[str, Floats], colours: Mapping[str, str]) -> None:
    for place, (name, colour) in enumerate(colours.items()):
        # Steps of the golden ratio spread the dots evenly, without chance.
        heights = place + ((np.arange(len(wells[name])) * 0.618034) % 1 - 0.5) * 0.5
        axes.scatter(wells[name], heights, s=28, color=colour, alpha=0.75, edgecolors="white", linewidths=0.5)
    axes.set_yticks(range(len(colours)), [escape_dollars(name) for name in colours])
    axes.set_ylim(len(colours) - 0.5, -0.5)


def confusion_matrix(labels: ArrayLike, predicted: ArrayLike, classes: Sequence[str]) -> Figure:
    """Draw a confusion matrix: counts, and percent of the true class.

    Args:
        labels: Indices of the true classes in ``classes``, shape (N,).
        predicted: Indices of the predicted classes, shape (N,).
        classes: Class names.

    Raises:
        ValueError: The two differ in length, or an index is out of the range of ``classes``.
    """
    counts = _confusion_counts(np.asarray(labels, dtype=int), np.asarray(predicted, dtype=int), len(classes))
    percent = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 2.4 + 1.1 * len(classes)
    figure = new_figure(side + 0.9, side, layout="compressed")
    axes = figure.subplots()
    image = axes.imshow(percent, cmap="cividis", vmin=0, vmax=100)
    for (row, column), count in np.ndenumerate(counts):
        share = percent[row, column]
        ink = "black" if share > 55 else "white"
        axes.text(column, row, f"{count}\n{share:.0f} %", ha="center", va="center", fontsize=12, color=ink)
    style_axes(axes, x="predicted class", y="true class")
    names = [escape_dollars(name) for name in classes]
    axes.set_xticks(range(len(classes)), names)
    axes.set_yticks(range(len(classes)), names)
    bar = figure.colorbar(image, shrink=0.8)
    bar.set_label("percent of the true class", fontsize=10, color=INK)
    return figure


def _confusion_counts(labels: NDArray[np.int_], predicted: NDArray[np.int_], classes: int) -> NDArray[np.int_]:
    if labels.ndim != 1 or labels.shape != predicted.shape:
        raise ValueError(f"labels {labels.shape} and predicted {predicted.shape} differ: pass (N,) and (N,).")
    places = np.concatenate([labels, predicted])
    if ((places < 0) | (places >= classes)).any():
        raise ValueError(f"places are {places.min()} to {places.max()}: pass 0 to {classes - 1}.")
    counts = np.zeros((classes, classes), dtype=int)
    np.add.at(counts, (labels, predicted), 1)
    return counts


def baseline_comparison(rows: Sequence[Mapping[str, Any]], *, metric: str = "wells/accuracy") -> Figure:
    """Compare each network with a threshold on intensity and the position on the plate.

    Args:
        rows: ``model`` (a name), ``kind`` (``network``, ``baseline`` or
            ``position``), the metric's value, and where it is known ``interval``
            (low, high). Rows without the metric are left out.
        metric: The key of the value, a score from 0 to 1.

    Raises:
        ValueError: No row has the metric, or a kind is unknown.
    """
    drawn = [row for row in rows if row.get(metric) is not None and np.isfinite(row[metric])]
    if not drawn:
        raise ValueError(f"no row has {metric!r}: there is nothing to compare.")
    if unknown := {row["kind"] for row in drawn} - set(KIND_STYLES):
        raise ValueError(f"kind {sorted(unknown)} is unknown: use one of {list(KIND_STYLES)}.")
    figure = new_figure(7.6, 1.5 + 0.42 * len(drawn))
    axes = figure.subplots()
    for kind in KIND_STYLES:
        _draw_score_dots(axes, [(place, row) for place, row in enumerate(drawn) if row["kind"] == kind], metric, kind)
    style_axes(axes, x=metric_name(metric), y="")
    axes.set_yticks(range(len(drawn)), [escape_dollars(str(row["model"])) for row in drawn])
    axes.set_ylim(len(drawn) - 0.5, -0.5)
    axes.set_xlim(min(0.0, *(row[metric] for row in drawn)), 1.02)
    add_figure_legend(figure, axes)
    return figure


def _draw_score_dots(axes: Axes, rows: Sequence[tuple[int, Mapping[str, Any]]], metric: str, kind: str) -> None:
    if not rows:
        return
    label, colour, marker = KIND_STYLES[kind]
    places, values = [place for place, _ in rows], [float(row[metric]) for _, row in rows]
    axes.hlines(places, 0, values, color=colour, alpha=0.35, linewidth=2)
    axes.plot(values, places, marker, color=colour, markersize=8, label=label)
    if kind == "baseline":
        axes.axvline(max(values), color=colour, linestyle=":", linewidth=1.2)
    outside = axes.get_yaxis_transform()
    for place, row in rows:
        if row.get("interval") is not None:
            axes.hlines(place, *row["interval"], color=colour, linewidth=4, alpha=0.6)
        # The number stands outside the axes, where no dot hides it.
        axes.text(1.01, place, f"{row[metric]:.3f}", transform=outside, va="center", fontsize=10, color=INK)
