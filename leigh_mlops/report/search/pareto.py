"""Pareto front of a search with several objectives."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from leigh_mlops.report.search.plotly_charts import INK, MUTED, Chart, Figure, axis, figure, json_number, trace_meta
from leigh_mlops.report.search.search_records import SearchRecords, finite_value, format_value, metric_title
from leigh_mlops.report.sentences import format_count
from leigh_mlops.report.style import PALETTE
from leigh_mlops.settings import SearchSpace

__all__ = ["front_chart", "front_rows", "pareto_front"]


def pareto_front(costs: ArrayLike) -> NDArray[np.bool_]:
    """Mask of the rows that no other row dominates, being nowhere worse and somewhere better.

    Args:
        costs: Shape (N, K), finite, lower is better.

    Returns:
        Shape (N,).

    Example:
        >>> pareto_front([[1, 3], [2, 2], [2, 3]]).tolist()
        [True, True, False]
    """
    values = np.asarray(costs, dtype=np.float64)
    return np.array(
        [not ((values <= row).all(axis=1) & (values < row).any(axis=1)).any() for row in values], dtype=np.bool_
    )


def front_rows(found: SearchRecords, space: SearchSpace) -> list[dict[str, Any]]:
    """Trials on the front, sorted by the first objective: ``name``, ``family`` and ``values`` of all objectives."""
    trials, values = _complete_trials(found, space)
    kept = trials[_front_mask(values, space)]
    places = values[_front_mask(values, space)]
    order = np.argsort(places[:, 0], kind="stable")
    names = kept["name"].tolist()
    return [
        {
            "name": names[place],
            "family": space.family,
            "values": [format_value(float(value)) for value in places[place]],
        }
        for place in order
    ]


def front_chart(found: SearchRecords, space: SearchSpace) -> Chart | str:
    """Plot the main metric against each other objective, the front marked; a sentence if no trial has all of them."""
    trials, values = _complete_trials(found, space)
    if trials.empty:
        return f"{space.family}: no trial has a score in all objectives."
    front = _front_mask(values, space)
    figures = {
        metric_title(each.metric): _front_figure(trials["name"].tolist(), values[:, [0, place]], front, space, place)
        for place, each in enumerate(space.all_objectives)
        if place > 0
    }
    objectives = ", ".join(
        f"{metric_title(each.metric)} ({'low' if each.mode == 'min' else 'high'} is better)"
        for each in space.all_objectives
    )
    caption = (
        f"{format_count(int(front.sum()), 'trial')} of {len(trials)} of {space.family}: "
        f"no other trial is at least as good in every objective and better in one. Objectives: {objectives}."
    )
    return Chart(space.family, caption, figures)


def _complete_trials(found: SearchRecords, space: SearchSpace) -> tuple[pd.DataFrame, NDArray[np.float64]]:
    trials = found.family_trials(space)
    names = [each.metric for each in space.all_objectives]
    rows = [[finite_value(metrics, name) for name in names] for metrics in trials["metrics"]]
    values = np.array(rows, dtype=np.float64).reshape(len(trials), len(names))
    whole = np.flatnonzero(np.isfinite(values).all(axis=1))
    return trials.iloc[whole], values[whole]


def _front_mask(values: NDArray[np.float64], space: SearchSpace) -> NDArray[np.bool_]:
    signs = [1 if each.mode == "min" else -1 for each in space.all_objectives]
    return pareto_front(values * signs)


def _front_figure(
    names: Sequence[str], values: NDArray[np.float64], front: NDArray[np.bool_], space: SearchSpace, place: int
) -> Figure:
    looks: list[tuple[str, NDArray[np.bool_], Mapping[str, Any]]] = [
        ("dominated", ~front, {"color": MUTED, "symbol": "circle-open", "size": 7}),
        (
            "on the front",
            front,
            {"color": PALETTE[1], "symbol": "diamond", "size": 10, "line": {"color": INK, "width": 1}},
        ),
    ]
    traces = []
    for label, mask, marker in looks:
        chosen = values[mask][np.argsort(values[mask][:, 0], kind="stable")]
        ordered = [names[row] for row in np.flatnonzero(mask)[np.argsort(values[mask][:, 0], kind="stable")]]
        # With three objectives or more, the front is not a line in two of them.
        line = {"mode": "lines+markers", "line": {"color": PALETTE[1], "dash": "dot", "width": 1.5}}
        joined = line if label == "on the front" and len(space.objectives) == 1 else {"mode": "markers"}
        traces.append(joined | {
            "x": [json_number(value) for value in chosen[:, 0]], "y": [json_number(value) for value in chosen[:, 1]],
            "name": f"{html.escape(label)} ({len(chosen)})", "marker": marker, "meta": trace_meta(ordered),
            "hovertemplate": "%{text}<br>%{x:.4g}, %{y:.4g}<extra></extra>",
        })  # fmt: skip
    first, other = space.all_objectives[0].metric, space.all_objectives[place].metric
    x, y = axis(metric_title(first), values[:, 0].tolist()), axis(metric_title(other), values[:, 1].tolist())
    return figure(traces, height=420, xaxis=x, yaxis=y)
