"""Parallel coordinates of the varied hyperparameters and the score of every trial."""

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pandas as pd

from leigh_mlops.report.search.plotly_charts import (
    GRID,
    GROUND,
    INK,
    MUTED,
    Chart,
    Figure,
    figure,
    jitter_offsets,
    needs_log_axis,
    trace_meta,
    wrap_title,
)
from leigh_mlops.report.search.search_records import SearchRecords, best_trial, finite_value, format_value, metric_title
from leigh_mlops.report.style import PALETTE
from leigh_mlops.settings import Range, SearchSpace

__all__ = ["parallel_coordinates", "hyperparameter_label", "drawn_value"]

PIXELS_PER_AXIS = 120
AXES_PER_ROW = 10  # as many as fit on a screen of 1280 pixels
ROW_HEIGHT = 1.6
MAX_LABEL_LENGTH = 18
UNUSED = "not used"
UNUSED_HEIGHT = -0.12


@dataclass(frozen=True)
class ParallelAxis:
    """Vertical axis of the parallel coordinates.

    Attributes:
        label: Name of the axis.
        heights: Height at which each trial crosses it, 0 to 1, below 0 if the trial has no value.
        ticks: Height of a tick to its text.
    """

    label: str
    heights: Sequence[float]
    ticks: Mapping[float, str]


def parallel_coordinates(found: SearchRecords, space: SearchSpace) -> Chart | None:
    """Draw a line for each trial that has a score, over all varied hyperparameters, the score last.

    The chart uses ordinary lines: Plotly's own parallel coordinates need WebGL, do not print, and do not
    support missing values, which conditional hyperparameters have.

    Returns:
        The chart; None if fewer than two trials have a score or nothing is varied.
    """
    trials = found.family_trials(space)
    trials = trials[trials["score"].notna()].sort_values("score", ascending=space.mode == "min", kind="stable")
    if len(trials) < 2 or not space.space:
        return None
    axes = [_hyperparameter_axis(key, space, trials) for key in space.space]
    scores = [_score_axis(trials, each.metric, each.mode) for each in space.objectives]
    scores.append(_score_axis(trials, space.metric, space.mode))
    rows = _divide_axes(axes, scores)
    names = trials["name"].tolist()
    traces = _rank_traces(rows, names)
    best = best_trial(trials, space)
    if best is not None:
        x, y = _trial_line(rows, names.index(best["name"]))
        line = {"x": x, "y": y, "mode": "lines", "line": {"color": INK, "width": 3}}
        traces.append(line | {"name": f"the best, {html.escape(best['name'])}", "hoverinfo": "skip"})
    caption = (
        f"One line per trial of {space.family} that has a score; the better end of a score is at the top. "
        f"A hyperparameter that a trial did not use stands at “{UNUSED}”."
    )
    if len(rows) > 1:
        caption += " Each row continues the same lines with further hyperparameters, and ends with the score."
    return Chart(space.family, caption, {"": _axes_figure(rows, traces)}, PIXELS_PER_AXIS * max(map(len, rows)))


def drawn_value(key: str, space: SearchSpace, config: Mapping[str, Any]) -> object:
    """Value of a trial's hyperparameter; None if its condition does not hold.

    Lists and null are converted to text, so that None always means "not used".
    """
    if key not in config or not space.space[key].is_active(dict(config)):
        return None
    value = config[key]
    return value if isinstance(space.space[key], Range) else format_value(value)


def hyperparameter_label(key: str) -> str:
    """Readable name of a hyperparameter.

    Example:
        >>> hyperparameter_label("architecture.power_iterations")
        'power iterations'
    """
    return key.removeprefix("architecture.").replace("_", " ")


def _hyperparameter_axis(key: str, space: SearchSpace, trials: pd.DataFrame) -> ParallelAxis:
    domain, label = space.space[key], hyperparameter_label(key)
    values = [drawn_value(key, space, config) for config in trials["config"]]
    if isinstance(domain, Range):
        numbers = [math.nan if value is None else float(str(value)) for value in values]
        return _numeric_axis(label, numbers, [domain.low, domain.high], log=domain.log)
    texts = [format_value(value) for value in domain.values]  # noqa: PD011
    texts += [str(value) for value in dict.fromkeys(values) if value is not None and value not in texts]
    places = {text: place / max(1, len(texts) - 1) for place, text in enumerate(texts)}
    apart = jitter_offsets(len(values), 0.3 / max(4, len(texts)))
    heights = [
        UNUSED_HEIGHT + step if value is None else places[str(value)] + step
        for value, step in zip(values, apart, strict=True)
    ]
    ticks = {place: _tick_text(text) for text, place in places.items()}
    return ParallelAxis(label, heights, _add_unused_tick(ticks, heights))


def _score_axis(trials: pd.DataFrame, metric: str, mode: str) -> ParallelAxis:
    values = [finite_value(metrics, metric) for metrics in trials["metrics"]]
    return _numeric_axis(metric_title(metric), values, [], log=needs_log_axis(values), best_on_top=mode == "min")


def _numeric_axis(
    label: str, values: Sequence[float], ends: Sequence[float], *, log: bool, best_on_top: bool = False
) -> ParallelAxis:
    known = [*ends, *(value for value in values if not math.isnan(value))] or [0.0]
    scaled = math.log10 if log else float
    low, high = scaled(min(known)), scaled(max(known))
    width = (high - low) or 1.0

    def height(value: float) -> float:
        share = (scaled(value) - low) / width
        return round(1 - share if best_on_top else share, 4)

    heights = [UNUSED_HEIGHT if math.isnan(value) else height(value) for value in values]
    marks = [low + share * (high - low) for share in (0, 0.25, 0.5, 0.75, 1)]
    ticks = {height(10**mark if log else mark): f"{10**mark if log else mark:.3g}" for mark in marks}
    return ParallelAxis(label, heights, _add_unused_tick(ticks, heights))


def _add_unused_tick(ticks: dict[float, str], heights: Sequence[float]) -> dict[float, str]:
    return ticks | ({UNUSED_HEIGHT: UNUSED} if min(heights) < UNUSED_HEIGHT / 2 else {})


def _tick_text(text: str) -> str:
    """Format the text of a tick for Plotly: one line for each part, long parts shortened."""
    parts = [part if len(part) <= MAX_LABEL_LENGTH else part[: MAX_LABEL_LENGTH - 1] + "…" for part in text.split(", ")]
    return "<br>".join(html.escape(part) for part in parts)


def _divide_axes(axes: Sequence[ParallelAxis], scores: Sequence[ParallelAxis]) -> list[list[ParallelAxis]]:
    """Rows of axes that fit on a screen, of about equal length, each with the scores at its end."""
    count = math.ceil(len(axes) / max(1, AXES_PER_ROW - len(scores)))
    ends = [round(len(axes) * row / count) for row in range(count + 1)]
    return [[*axes[first:last], *scores] for first, last in pairwise(ends)]


def _trial_line(rows: Sequence[Sequence[ParallelAxis]], trial: int) -> tuple[list[int | None], list[float | None]]:
    """Line of one trial through all rows, with a gap after each; lower rows begin below 0."""
    x: list[int | None] = []
    y: list[float | None] = []
    for number, axes in enumerate(rows):
        x += [*range(len(axes)), None]
        y += [*(axis.heights[trial] - ROW_HEIGHT * number for axis in axes), None]
    return x, y


def _rank_traces(rows: Sequence[Sequence[ParallelAxis]], names: Sequence[str]) -> list[dict[str, Any]]:
    """Traces of the lower half, the upper half and the best tenth, in this order; ``names`` begins with the best."""
    tenth, half = max(1, round(len(names) / 10)), max(1, len(names) // 2)
    groups = [
        ("lower half", half, len(names), MUTED, 0.8, "dot"),
        ("upper half", tenth, half, PALETTE[0], 1.2, "solid"),
        ("best tenth", 0, tenth, PALETTE[1], 2.4, "solid"),
    ]
    traces = []
    for label, first, last, colour, line_width, dash in groups:
        if last > first:
            lines = [_trial_line(rows, trial) for trial in range(first, last)]
            traces.append({
                "x": [place for x, _ in lines for place in x], "y": [height for _, y in lines for height in y],
                "mode": "lines", "name": f"{label} ({len(lines)})",
                "opacity": 0.9 if line_width > 2 or len(names) <= 50 else 0.45,
                "line": {"color": colour, "width": line_width, "dash": dash},
                "meta": trace_meta(names[first:last], [len(x) for x, _ in lines]),
                "hovertemplate": "%{text}<extra></extra>",
            })  # fmt: skip
    return traces


def _axes_figure(rows: Sequence[Sequence[ParallelAxis]], traces: Sequence[dict[str, Any]]) -> Figure:
    lines = [
        {
            "type": "line", "x0": place, "x1": place, "y0": -ROW_HEIGHT * row, "y1": 1 - ROW_HEIGHT * row,
            "layer": "below", "line": {"color": INK if place == len(axes) - 1 else GRID, "width": 2},
        }
        for row, axes in enumerate(rows)
        for place in range(len(axes))
    ]  # fmt: skip
    notes = [
        note | {"y": note["y"] - ROW_HEIGHT * row}
        for row, axes in enumerate(rows)
        for place, axis in enumerate(axes)
        for note in _axis_annotations(place, axis)
    ]
    hidden = {"visible": False, "fixedrange": True}
    return figure(
        traces,
        height=470 * len(rows),
        annotations=notes,
        shapes=lines,
        xaxis=hidden | {"range": [-0.5, max(map(len, rows)) - 0.4]},
        yaxis=hidden | {"range": [-0.18 - ROW_HEIGHT * (len(rows) - 1), 1.3]},
        margin={"l": 4, "r": 4, "t": 30, "b": 4},
    )


def _axis_annotations(place: int, axis: ParallelAxis) -> list[dict[str, Any]]:
    """Annotations of an axis: its name above it and its ticks next to it."""
    common: dict[str, Any] = {"x": place, "showarrow": False}
    name = {"y": 1.08, "yanchor": "bottom", "text": f"<b>{wrap_title(axis.label)}</b>", "font": {"size": 12}}
    looks = {
        "xanchor": "left", "xshift": 3, "align": "left", "font": {"size": 11, "color": INK}, "bgcolor": GROUND,
        "opacity": 0.85, "borderpad": 1,
    }  # fmt: skip
    return [common | name, *(common | looks | {"y": height, "text": text} for height, text in axis.ticks.items())]
