"""Charts of a search as Plotly takes them: plain dictionaries, whose colours the page's scheme fills in."""

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
    "number",
    "padded",
    "points",
    "spread",
    "wide",
    "wrapped",
]

Figure = dict[str, Any]
"""``data`` and ``layout``."""

INK, MUTED, GRID, GROUND = "var(--ink)", "var(--muted)", "var(--line)", "var(--ground)"


@dataclass(frozen=True)
class Chart:
    """A chart, or several of one kind of which the reader chooses one.

    Attributes:
        title: Its heading.
        caption: What it shows, in words; blind readers are told the same.
        figures: Name of the choice to the figure, the first shown at first.
        width: Least width in pixels; narrower screens scroll. 0 fits any screen.
    """

    title: str
    caption: str
    figures: Mapping[str, Figure]
    width: int = 0

    @property
    def height(self) -> int:
        """The largest of the figures' heights, in pixels."""
        return max(int(each["layout"]["height"]) for each in self.figures.values())


def figure(traces: Sequence[Mapping[str, Any]], *, height: int = 400, **layout: Any) -> Figure:  # noqa: ANN401
    """A figure with the project's looks and what ``layout`` adds or replaces."""
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
    """An axis in the project's looks, logarithmic where the values are positive and ``wide``."""
    lines = {"gridcolor": GRID, "linecolor": MUTED, "zerolinecolor": GRID, "automargin": True, "exponentformat": "e"}
    text = {"text": wrapped(title), "standoff": 8}
    return lines | {"title": text, "type": "log" if wide(values) else "linear"} | more


def wrapped(title: str) -> str:
    """A metric's name as Plotly takes it, its unit and its part on lines of their own.

    Example:
        >>> wrapped("log loss (nats), validation fields")
        'log loss<br>(nats),<br>validation fields'
    """
    return html.escape(title).replace(" (", "<br>(").replace(", ", ",<br>")


def points(names: Sequence[str], lengths: Sequence[int] | None = None) -> dict[str, Any]:
    """Whose points a trace draws: the page shows the trial when asked, and finds it for the reader.

    Args:
        names: Trials in the order of the points.
        lengths: How many points each has; one by default.
    """
    counts = [1] * len(names) if lengths is None else list(lengths)
    return {"names": [html.escape(name) for name in names], "lengths": counts}


def number(value: float) -> float | None:
    """A number in five digits, which JSON can hold; None where it is not finite.

    Example:
        >>> number(0.12345678), number(float("nan"))
        (0.12346, None)
    """
    return float(f"{value:.5g}") if math.isfinite(value) else None


def padded(values: Sequence[float]) -> list[float]:
    """The range of an axis of :func:`axis` that leaves a tenth free beyond the values, (low, high).

    Example:
        >>> padded([0.0, 1.0])
        [-0.1, 1.1]
    """
    ends = [math.log10(value) if wide(values) else value for value in (min(values), max(values))]
    beyond = 0.1 * (ends[1] - ends[0]) or 0.1 * abs(ends[0]) or 1.0
    return [ends[0] - beyond, ends[1] + beyond]


def wide(values: Sequence[float]) -> bool:
    """Whether values are all above 0 and span more than a factor of 100."""
    known = [value for value in values if math.isfinite(value)]
    return bool(known) and min(known) > 0 and max(known) > 100 * min(known)


def spread(count: int, width: float) -> list[float]:
    """Offsets that keep marks at one place apart, evenly and without chance, shape (count,), -width/2 to width/2."""
    return [float(step) for step in ((np.arange(count) * 0.618034) % 1 - 0.5) * width]
