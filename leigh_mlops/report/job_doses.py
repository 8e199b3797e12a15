"""Dose responses as places in a drawing."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from leigh_mlops.report.job_charts import Axis, scale_of, ticks_of

__all__ = ["DoseChart", "dose_charts"]

WIDTH, HEIGHT, LEFT, FOOT = 340, 160, 46, 34
LOWEST, HIGHEST = -50.0, 150.0
FEWEST_DOSES = 3
MOST_CHARTS = 24


@dataclass(frozen=True)
class DoseChart:
    """Rescue of one compound over its doses.

    Attributes:
        name: Of the compound.
        points: Of each dose its place and both ends of its interval: x, y, y of the low end, y of the high end.
        curve: Points of the fitted response, empty where there is none.
        said: The same in words.
    """

    name: str
    points: Sequence[tuple[float, float, float, float]]
    curve: str
    x: Axis
    y: Axis
    said: str


def dose_charts(doses: pd.DataFrame) -> list[DoseChart]:
    """A chart for each compound with at least three doses above 0, those of the strongest rescue first.

    All have one scale of rescue, -50 to 150 %; what lies beyond stands on its edge. At most 24 are drawn.

    Args:
        doses: Columns ``compound``, ``dose``, ``rescue`` and, where they are known, ``rescue_low``,
            ``rescue_high`` and ``fitted``, percent.
    """
    if not {"compound", "dose", "rescue"} <= set(doses):
        return []
    known = doses[(doses["dose"] > 0) & doses["rescue"].notna()]
    several = [(str(name), rows) for name, rows in known.groupby("compound") if len(rows) >= FEWEST_DOSES]
    ranked = sorted(several, key=lambda each: -float(each[1]["rescue"].max()))
    return [_chart(name, rows.sort_values("dose")) for name, rows in ranked[:MOST_CHARTS]]


def _chart(name: str, rows: pd.DataFrame) -> DoseChart:
    logs = np.log10(rows["dose"].to_numpy(float))
    x = scale_of(logs.min() - 0.15, logs.max() + 0.15, LEFT, WIDTH - 10)
    y = scale_of(LOWEST, HIGHEST, HEIGHT - FOOT, 10)
    rescue = rows["rescue"].to_numpy(float)
    low, high = (rows.get(end, rows["rescue"]).fillna(rows["rescue"]) for end in ("rescue_low", "rescue_high"))
    ends = (map(y, each) for each in (rescue, low, high))
    points = list(zip(map(x, logs), *ends, strict=True))
    fitted = rows.get("fitted", pd.Series(math.nan, rows.index)).to_numpy(float)
    curve = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in zip(logs, fitted, strict=True) if math.isfinite(b))
    powers = range(math.ceil(logs.min() - 0.15), math.floor(logs.max() + 0.15) + 1)
    said = ", ".join(f"{dose:g}: {value:.0f} %" for dose, value in zip(rows["dose"], rescue, strict=True))
    across = [(x(float(power)), f"{10.0**power:g}") for power in powers]
    up = [(y(tick), f"{tick:g}") for tick in ticks_of(LOWEST, HIGHEST, 5)]
    return DoseChart(name, points, curve, Axis(across, "dose"), Axis(up, "rescue (%)"), said)
