"""Learning curves of all trials, and a comparison of each trial with references that need no network."""

import html
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from leigh_mlops.report.search.plotly_charts import (
    INK,
    MUTED,
    Chart,
    Figure,
    axis,
    figure,
    jitter_offsets,
    json_number,
    padded_range,
    trace_meta,
)
from leigh_mlops.report.search.search_records import (
    COMPARED_METRICS,
    STATUSES,
    SearchRecords,
    best_trial,
    finite_value,
    format_value,
    metric_title,
    reference_name,
)
from leigh_mlops.report.sentences import format_count
from leigh_mlops.report.style import PALETTE, class_colours
from leigh_mlops.settings import SearchSpace

__all__ = ["reference_comparison", "learning_curves_chart"]

MAX_POINTS = 45_000
"""Maximal number of points of all curves of a page, so that a thousand long trials add less than a megabyte."""

STATUS_STYLES = {
    "finished": (PALETTE[0], "solid", "circle"),
    "stopped": (PALETTE[5], "solid", "square"),
    "failed": (PALETTE[1], "dash", "x"),
    "killed": (PALETTE[3], "dashdot", "triangle-down"),
    "running": (PALETTE[2], "dot", "diamond"),
}
FAMILY_SYMBOLS = ("circle", "square", "triangle-up", "diamond", "star", "pentagon", "hexagram")
REFERENCE_DASHES = ("dash", "dot", "dashdot", "longdash")


def learning_curves_chart(found: SearchRecords, space: SearchSpace) -> Chart | None:
    """Draw a line for each trial, its end marked by the trial's status; None if no trial has finished an epoch.

    The reader chooses between the space's metric, its further objectives and the training loss.
    """
    trials = found.family_trials(space)
    curves = found.curves[found.curves["family"] == space.family]
    metrics = dict.fromkeys([space.metric, *(each.metric for each in space.objectives), "train/loss"])
    share = MAX_POINTS // (len(found.spaces) * len(metrics))
    figures, thinned = {}, False
    for metric in metrics:
        rows = curves[(curves["metric"] == metric) & np.isfinite(curves["value"].astype(float))]
        if not rows.empty:
            kept = _subsample_epochs(rows, share)
            thinned |= len(kept) < len(rows)
            figures[metric_title(metric)] = _curves_figure(kept, trials, space, metric)
    if not figures:
        return None
    return Chart(space.family, _curve_caption(trials, curves, thinned=thinned), figures)


def _curve_caption(trials: pd.DataFrame, curves: pd.DataFrame, *, thinned: bool) -> str:
    drawn = trials["name"].isin(set(curves["run"]))
    text = f"One line per trial of {trials['family'].iloc[0]}; the mark at its end shows its status."
    if not drawn.all():
        text += f" {format_count(int((~drawn).sum()), 'trial')} ended before the first epoch and can't be drawn."
    return text + (" Long curves are thinned out." if thinned else "")


def _subsample_epochs(rows: pd.DataFrame, most: int) -> pd.DataFrame:
    """Keep every nth epoch, counted back from the last, if there are too many points."""
    ordered = rows.sort_values(["run", "epoch"], kind="stable")
    step = -(-len(ordered) // most)
    if step <= 1:
        return ordered
    places = ordered.groupby("run", sort=False).cumcount(ascending=False)
    return ordered[places % step == 0]


def _curves_figure(rows: pd.DataFrame, trials: pd.DataFrame, space: SearchSpace, metric: str) -> Figure:
    runs = {str(name): run for name, run in rows.groupby("run", sort=False)}
    best = best_trial(trials, space)
    traces: list[dict[str, Any]] = []
    for status in STATUS_STYLES:
        names = [name for name in trials.loc[trials["status"] == status, "name"] if name in runs]
        if names:
            traces += _curve_traces(names, [runs[name] for name in names], status, len(trials))
    if best is not None and best["name"] in runs:
        run = runs[best["name"]]
        line = {"x": run["epoch"].tolist(), "y": [json_number(value) for value in run["value"]], "mode": "lines"}
        label = f"the best, {html.escape(best['name'])}"
        traces.append(line | {"name": label, "line": {"color": INK, "width": 3}, "hoverinfo": "skip"})
    y = axis(metric_title(metric), rows["value"].tolist())
    return figure(traces, height=440, xaxis=axis("epoch", rangemode="tozero"), yaxis=y)


def _curve_traces(names: Sequence[str], runs: Sequence[pd.DataFrame], status: str, count: int) -> list[dict[str, Any]]:
    """Two traces for all trials, lines and their ends: one trace for each trial would take a browser minutes."""
    colour, dash, symbol = STATUS_STYLES[status]
    x: list[float | None] = []
    y: list[float | None] = []
    for run in runs:
        x += [*run["epoch"].tolist(), None]
        y += [*(json_number(value) for value in run["value"]), None]
    hover = {"hovertemplate": "%{text}<br>epoch %{x}: %{y:.4g}<extra></extra>", "legendgroup": status}
    lines = hover | {
        "x": x, "y": y, "mode": "lines", "showlegend": False, "opacity": 0.75 if count <= 50 else 0.3,
        "line": {"color": colour, "dash": dash, "width": 1.5 if count <= 50 else 1},
        "meta": trace_meta(names, [len(run) + 1 for run in runs]),
    }  # fmt: skip
    ends = hover | {
        "x": [run["epoch"].iloc[-1].item() for run in runs], "y": [json_number(run["value"].iloc[-1]) for run in runs],
        "mode": "markers", "name": f"{STATUSES[status]} ({len(names)})", "meta": trace_meta(names),
        "marker": {"color": colour, "symbol": symbol, "size": 9 if status == "failed" else 6},
    }  # fmt: skip
    return [lines, ends]


def reference_comparison(found: SearchRecords) -> Chart | None:
    """Draw a dot for each trial and a line for each reference, in all metrics that both have; None if there is none."""
    figures = {}
    for metric in COMPARED_METRICS:
        rows = [(row, value) for row in found.references if math.isfinite(value := finite_value(row, metric))]
        families = {space.family: _family_scores(found, space, metric) for space in found.spaces}
        families = {family: values for family, values in families.items() if values}
        if rows and families:
            figures[metric_title(f"val/{metric}")] = _comparison_figure(families, rows, metric)
    if not figures:
        return None
    return Chart(
        "", "One mark per trial; lines are references that need no network, on the same validation data.", figures
    )


def _family_scores(found: SearchRecords, space: SearchSpace, metric: str) -> list[tuple[str, float]]:
    trials = found.family_trials(space)
    values = [finite_value(metrics, f"val/{metric}") for metrics in trials["metrics"]]
    return [(str(name), value) for name, value in zip(trials["name"], values, strict=True) if math.isfinite(value)]


def _comparison_figure(
    families: dict[str, list[tuple[str, float]]], rows: Sequence[tuple[Any, float]], metric: str
) -> Figure:
    traces: list[dict[str, Any]] = []
    for place, (family, colour) in enumerate(class_colours(list(families)).items()):
        names, values = [name for name, _ in families[family]], [value for _, value in families[family]]
        traces.append({
            "x": [json_number(value) for value in values],
            "y": [place + step for step in jitter_offsets(len(values), 0.5)],
            "mode": "markers", "name": html.escape(family), "showlegend": False, "meta": trace_meta(names),
            "marker": {"color": colour, "symbol": FAMILY_SYMBOLS[place % 7], "size": 9, "opacity": 0.7},
            "hovertemplate": "%{text}: %{x:.4g}<extra></extra>",
        })  # fmt: skip
    for place, (row, value) in enumerate(rows):
        line = {"color": MUTED if place else INK, "dash": REFERENCE_DASHES[place % len(REFERENCE_DASHES)], "width": 2}
        label = f"{html.escape(reference_name(row))} ({format_value(value)})"
        ends = {"x": [value, value], "y": [-0.5, len(families) - 0.5], "mode": "lines", "name": label, "line": line}
        traces.append(ends | {"hoverinfo": "skip"})
    ticks: dict[str, Any] = {
        "tickvals": list(range(len(families))),
        "ticktext": [html.escape(family) for family in families],
    }
    y = axis("", showgrid=False, zeroline=False, range=[len(families) - 0.4, -0.6], **ticks)
    values = [value for found in families.values() for _, value in found] + [value for _, value in rows]
    x = axis(metric_title(f"val/{metric}"), values, range=padded_range(values))
    return figure(traces, height=170 + 70 * len(families), xaxis=x, yaxis=y)
