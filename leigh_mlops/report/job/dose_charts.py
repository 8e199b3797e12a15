"""Dose-response charts as coordinates of an SVG drawing."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from leigh_mlops.report.job.charts import ChartAxis, axis_ticks, linear_scale

__all__ = ["DoseChart", "dose_charts"]

WIDTH, HEIGHT, LEFT, FOOT = 340, 160, 46, 34
MIN_RESCUE, MAX_RESCUE = -50.0, 150.0
MIN_DOSES = 3
MAX_CHARTS = 24


@dataclass(frozen=True)
class DoseChart:
    """Rescue of one compound over its doses.

    Attributes:
        name: Name of the compound.
        points: For each dose x, y, y of the interval's low end and y of its high end.
        curve: Points of the fitted response, empty if there is none.
        description: The same in words.
    """

    name: str
    points: Sequence[tuple[float, float, float, float]]
    curve: str
    x: ChartAxis
    y: ChartAxis
    description: str


def dose_charts(doses: pd.DataFrame) -> list[DoseChart]:
    """Build a chart for each compound with at least three doses above 0, the strongest rescue first.

    All share one scale of rescue, -50 to 150 %; values beyond are clipped. At most 24 charts are built.

    Args:
        doses: Columns ``compound``, ``dose``, ``rescue`` and, where they are known, ``rescue_low``,
            ``rescue_high`` and ``fitted``, percent.
    """
    if not {"compound", "dose", "rescue"} <= set(doses):
        return []
    known = doses[(doses["dose"] > 0) & doses["rescue"].notna()]
    several = [(str(name), rows) for name, rows in known.groupby("compound") if len(rows) >= MIN_DOSES]
    ranked = sorted(several, key=lambda each: -float(each[1]["rescue"].max()))
    return [_dose_chart(name, rows.sort_values("dose")) for name, rows in ranked[:MAX_CHARTS]]


def _dose_chart(name: str, rows: pd.DataFrame) -> DoseChart:
    logs = np.log10(rows["dose"].to_numpy(float))
    x = linear_scale(logs.min() - 0.15, logs.max() + 0.15, LEFT, WIDTH - 10)
    y = linear_scale(MIN_RESCUE, MAX_RESCUE, HEIGHT - FOOT, 10)
    rescue = rows["rescue"].to_numpy(float)
    low, high = (rows.get(end, rows["rescue"]).fillna(rows["rescue"]) for end in ("rescue_low", "rescue_high"))
    ends = (map(y, each) for each in (rescue, low, high))
    points = list(zip(map(x, logs), *ends, strict=True))
    fitted = rows.get("fitted", pd.Series(math.nan, rows.index)).to_numpy(float)
    curve = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in zip(logs, fitted, strict=True) if math.isfinite(b))
    powers = range(math.ceil(logs.min() - 0.15), math.floor(logs.max() + 0.15) + 1)
    said = ", ".join(f"{dose:g}: {value:.0f} %" for dose, value in zip(rows["dose"], rescue, strict=True))
    across = [(x(float(power)), f"{10.0**power:g}") for power in powers]
    up = [(y(tick), f"{tick:g}") for tick in axis_ticks(MIN_RESCUE, MAX_RESCUE, 5)]
    return DoseChart(name, points, curve, ChartAxis(across, "dose"), ChartAxis(up, "rescue (%)"), said)
