"""Plotly charts of a search as plain dictionaries; their colours are CSS variables of the page."""

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = [
    "GRID",
    "INK",
    "MUTED",
    "Chart",
    "Figure",
    "axis",
    "figure",
    "json_number",
    "padded_range",
    "trace_meta",
    "jitter_offsets",
    "needs_log_axis",
    "wrap_title",
]

Figure = dict[str, Any]
"""Plotly figure: ``data`` and ``layout``."""

INK, MUTED, GRID, GROUND = "var(--ink)", "var(--muted)", "var(--line)", "var(--ground)"


@dataclass(frozen=True)
class Chart:
    """Chart with one figure, or with several from which the reader chooses.

    Attributes:
        title: Heading of the chart.
        caption: Description of the content, also used as alternative text.
        figures: Name of each choice to its figure, the default first.
        width: Minimal width in pixels; narrower screens scroll. 0 fits any screen.
    """

    title: str
    caption: str
    figures: Mapping[str, Figure]
    width: int = 0

    @property
    def height(self) -> int:
        """Largest height of the figures, in pixels."""
        return max(int(each["layout"]["height"]) for each in self.figures.values())


def figure(traces: Sequence[Mapping[str, Any]], *, height: int = 400, **layout: Any) -> Figure:  # noqa: ANN401
    """Build a figure in the project's style; ``layout`` adds to it or replaces parts of it."""
    base = {
        "height": height,
        "autosize": True,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": INK, "size": 13, "family": "system-ui, sans-serif"},
        "hoverlabel": {"bgcolor": GROUND, "bordercolor": MUTED, "font": {"color": INK}, "align": "left"},
        "hovermode": "closest",
        "margin": {"l": 60, "r": 20, "t": 16, "b": 48},
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": MUTED, "activecolor": INK},
        "legend": {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom"},
    }
    return {"data": list(traces), "layout": base | layout}


def axis(title: str, values: Sequence[float] = (), **more: Any) -> dict[str, Any]:  # noqa: ANN401
    """Build an axis in the project's style; logarithmic for positive values that span more than a factor of 100."""
    lines = {"gridcolor": GRID, "linecolor": MUTED, "zerolinecolor": GRID, "automargin": True, "exponentformat": "e"}
    text = {"text": wrap_title(title), "standoff": 8}
    return lines | {"title": text, "type": "log" if needs_log_axis(values) else "linear"} | more


def wrap_title(title: str) -> str:
    """Wrap the name of a metric for Plotly, with its unit and its part of the data on lines of their own.

    Example:
        >>> wrap_title("log loss (nats), validation fields")
        'log loss<br>(nats),<br>validation fields'
    """
    return html.escape(title).replace(" (", "<br>(").replace(", ", ",<br>")


def trace_meta(names: Sequence[str], lengths: Sequence[int] | None = None) -> dict[str, Any]:
    """Metadata that assign the points of a trace to trials; the page uses them for hover texts and highlighting.

    Args:
        names: Trials in the order of the points.
        lengths: Number of points of each trial; one by default.
    """
    counts = [1] * len(names) if lengths is None else list(lengths)
    return {"names": [html.escape(name) for name in names], "lengths": counts}


def json_number(value: float) -> float | None:
    """Round a number to five digits for JSON; None if it is not finite.

    Example:
        >>> json_number(0.12345678), json_number(float("nan"))
        (0.12346, None)
    """
    return float(f"{value:.5g}") if math.isfinite(value) else None


def padded_range(values: Sequence[float]) -> list[float]:
    """Range (low, high) for an axis of :func:`axis` that leaves a margin of a tenth beyond the values.

    Example:
        >>> padded_range([0.0, 1.0])
        [-0.1, 1.1]
    """
    ends = [math.log10(value) if needs_log_axis(values) else value for value in (min(values), max(values))]
    beyond = 0.1 * (ends[1] - ends[0]) or 0.1 * abs(ends[0]) or 1.0
    return [ends[0] - beyond, ends[1] + beyond]


def needs_log_axis(values: Sequence[float]) -> bool:
    """Return whether all values are above 0 and span more than a factor of 100."""
    known = [value for value in values if math.isfinite(value)]
    return bool(known) and min(known) > 0 and max(known) > 100 * min(known)


def jitter_offsets(count: int, width: float) -> list[float]:
    """Deterministic, evenly spread offsets that separate marks at one position, (count,), -width/2 to width/2."""
    return [float(step) for step in ((np.arange(count) * 0.618034) % 1 - 0.5) * width]
