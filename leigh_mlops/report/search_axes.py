"""Parallel coordinates: the varied hyperparameters and the score of every trial."""

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from leigh_mlops.report.search_charts import (
    GRID,
    GROUND,
    INK,
    MUTED,
    Chart,
    Figure,
    figure,
    points,
    spread,
    wide,
    wrapped,
)
from leigh_mlops.report.search_records import SearchRecords, best_of, finite, metric_title, short
from leigh_mlops.report.style import PALETTE
from leigh_mlops.settings import Range, SearchSpace

__all__ = ["parallel_coordinates", "spoken", "value_of"]

PIXELS_PER_AXIS = 120
LONGEST_LABEL = 18
UNUSED = "not used"
UNUSED_HEIGHT = -0.12


@dataclass(frozen=True)
class Axis:
    """One upright axis.

    Attributes:
        label: Its name.
        heights: Where each trial crosses it, 0 to 1, below 0 where the trial has no value.
        ticks: Height to its text.
    """

    label: str
    heights: Sequence[float]
    ticks: Mapping[float, str]


def parallel_coordinates(found: SearchRecords, space: SearchSpace) -> Chart | None:
    """A line per trial that has a score, over all hyperparameters that are varied, the score last.

    Drawn as ordinary lines: Plotly's own kind needs WebGL, does not print, and knows no missing values,
    which conditional hyperparameters have.

    Returns:
        The chart; None where fewer than two trials have a score or nothing is varied.
    """
    trials = found.of(space)
    trials = trials[trials["score"].notna()].sort_values("score", ascending=space.mode == "min", kind="stable")
    if len(trials) < 2 or not space.space:
        return None
    axes = [_hyperparameter(key, space, trials) for key in space.space]
    axes += [_score(trials, each.metric, each.mode) for each in space.objectives]
    axes.append(_score(trials, space.metric, space.mode))
    traces = _groups(axes, trials["name"].tolist())
    best = best_of(trials, space)
    if best is not None:
        heights = [axis.heights[trials["name"].tolist().index(best["name"])] for axis in axes]
        line = {"x": list(range(len(axes))), "y": heights, "mode": "lines", "line": {"color": INK, "width": 3}}
        traces.append(line | {"name": f"the best, {html.escape(best['name'])}", "hoverinfo": "skip"})
    caption = (
        f"One line per trial of {space.family} that has a score; the better end of a score is at the top. "
        f"A hyperparameter that a trial did not use stands at “{UNUSED}”."
    )
    return Chart(space.family, caption, {"": _drawn(axes, traces)}, PIXELS_PER_AXIS * len(axes))


def value_of(key: str, space: SearchSpace, config: Mapping[str, Any]) -> object:
    """What a trial's hyperparameter was drawn as; None where its condition does not hold.

    Lists become text, and so does null, so that None is left for what is not used.
    """
    if key not in config or not space.space[key].active(dict(config)):
        return None
    value = config[key]
    return value if isinstance(space.space[key], Range) else short(value)


def spoken(key: str) -> str:
    """A hyperparameter's name as a reader wants it.

    Example:
        >>> spoken("architecture.power_iterations")
        'power iterations'
    """
    return key.removeprefix("architecture.").replace("_", " ")


def _hyperparameter(key: str, space: SearchSpace, trials: pd.DataFrame) -> Axis:
    domain, label = space.space[key], spoken(key)
    values = [value_of(key, space, config) for config in trials["config"]]
    if isinstance(domain, Range):
        numbers = [math.nan if value is None else float(str(value)) for value in values]
        return _numeric(label, numbers, [domain.low, domain.high], log=domain.log)
    texts = [short(value) for value in domain.values]  # noqa: PD011
    texts += [str(value) for value in dict.fromkeys(values) if value is not None and value not in texts]
    places = {text: place / max(1, len(texts) - 1) for place, text in enumerate(texts)}
    apart = spread(len(values), 0.3 / max(4, len(texts)))
    heights = [
        UNUSED_HEIGHT + step if value is None else places[str(value)] + step
        for value, step in zip(values, apart, strict=True)
    ]
    ticks = {place: _tick(text) for text, place in places.items()}
    return Axis(label, heights, _with_unused(ticks, heights))


def _score(trials: pd.DataFrame, metric: str, mode: str) -> Axis:
    values = [finite(metrics, metric) for metrics in trials["metrics"]]
    return _numeric(metric_title(metric), values, [], log=wide(values), best_on_top=mode == "min")


def _numeric(
    label: str, values: Sequence[float], ends: Sequence[float], *, log: bool, best_on_top: bool = False
) -> Axis:
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
    return Axis(label, heights, _with_unused(ticks, heights))


def _with_unused(ticks: dict[float, str], heights: Sequence[float]) -> dict[float, str]:
    return ticks | ({UNUSED_HEIGHT: UNUSED} if min(heights) < UNUSED_HEIGHT / 2 else {})


def _tick(text: str) -> str:
    """A tick's text as Plotly takes it: parts under one another, none too long."""
    parts = [part if len(part) <= LONGEST_LABEL else part[: LONGEST_LABEL - 1] + "…" for part in text.split(", ")]
    return "<br>".join(html.escape(part) for part in parts)


def _groups(axes: Sequence[Axis], names: Sequence[str]) -> list[dict[str, Any]]:
    """The lower half, the upper half and the best tenth, drawn in this order; ``names`` begins with the best."""
    tenth, half = max(1, round(len(names) / 10)), max(1, len(names) // 2)
    groups = [
        ("lower half", half, len(names), MUTED, 0.8, "dot"),
        ("upper half", tenth, half, PALETTE[0], 1.2, "solid"),
        ("best tenth", 0, tenth, PALETTE[1], 2.4, "solid"),
    ]
    traces = []
    for label, first, last, colour, line_width, dash in groups:
        if last > first:
            rows = range(first, last)
            x = [*range(len(axes)), None] * len(rows)
            y = [height for row in rows for height in [*(axis.heights[row] for axis in axes), None]]
            traces.append({
                "x": x, "y": y, "mode": "lines", "name": f"{label} ({len(rows)})",
                "opacity": 0.9 if line_width > 2 or len(names) <= 50 else 0.45,
                "line": {"color": colour, "width": line_width, "dash": dash},
                "meta": points([names[row] for row in rows], [len(axes) + 1] * len(rows)),
                "hovertemplate": "%{text}<extra></extra>",
            })  # fmt: skip
    return traces


def _drawn(axes: Sequence[Axis], traces: Sequence[dict[str, Any]]) -> Figure:
    lines = [
        {
            "type": "line", "x0": place, "x1": place, "y0": 0, "y1": 1, "layer": "below",
            "line": {"color": INK if place == len(axes) - 1 else GRID, "width": 2},
        }
        for place in range(len(axes))
    ]  # fmt: skip
    hidden = {"visible": False, "fixedrange": True}
    return figure(
        traces,
        height=470,
        annotations=[note for place, axis in enumerate(axes) for note in _notes(place, axis)],
        shapes=lines,
        xaxis=hidden | {"range": [-0.5, len(axes) - 0.4]},
        yaxis=hidden | {"range": [-0.18, 1.3]},
        margin={"l": 4, "r": 4, "t": 30, "b": 4},
    )


def _notes(place: int, axis: Axis) -> list[dict[str, Any]]:
    """An axis's name above it, and its ticks beside it."""
    common: dict[str, Any] = {"x": place, "showarrow": False}
    name = {"y": 1.08, "yanchor": "bottom", "text": f"<b>{wrapped(axis.label)}</b>", "font": {"size": 12}}
    looks = {
        "xanchor": "left", "xshift": 3, "align": "left", "font": {"size": 11, "color": INK}, "bgcolor": GROUND,
        "opacity": 0.85, "borderpad": 1,
    }  # fmt: skip
    return [common | name, *(common | looks | {"y": height, "text": text} for height, text in axis.ticks.items())]
