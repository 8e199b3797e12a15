"""Page of the trends over nights: separation of the controls, flags and counterfactuals of many finished jobs."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num

from leigh_mlops.report.job.charts import WIDTH, PageChart, new_axes
from leigh_mlops.report.job.html_tables import table_from_columns
from leigh_mlops.report.job.templating import write_page
from leigh_mlops.report.sentences import format_count
from leigh_mlops.report.style import INK, PALETTE, escape_dollars
from leigh_mlops.report.table_columns import Columns, float_values

__all__ = ["write_trends"]

_HEIGHT = 2.4
_CHARTS = {
    "z_prime_log_odds": (
        "Separation of the controls",
        "Z' of log-odds",
        "One dot for each plate; 0.5 (dashed) is the usual bar for a screen, and below 0 the controls overlap",
    ),
    "flagged": (
        "Flagged fields",
        "share of fields",
        "Share of the fields of each plate that have a flag, such as defocus or another order of stains",
    ),
    "failed": (
        "Fields that failed",
        "share of fields",
        "Share of the fields of each job that could not be read or explained",
    ),
    "believed": (
        "Counterfactuals believed",
        "share of fields",
        "Share of the counterfactuals of each job that most independent classifiers take for the target class",
    ),
}
_JOB_VALUES = ("failed", "believed")
"""Columns that each plate of a job repeats."""
_Z_PRIME_BAR = 0.5


def write_trends(path: Path, nights: Columns, sentences: Sequence[str]) -> Path:
    """Write one static page, which runs no script and loads nothing.

    Args:
        path: The file to write.
        nights: Columns of `jobs.reporting.nights.collect_nights`: one row for each plate of each job, at least one.
        sentences: Sentences to show above the charts.
    """
    jobs = len(set(nights["folder"]))
    first, last = (_day(moment) for moment in (nights["begun"][0], nights["begun"][-1]))
    plates = (
        f"{format_count(sum(map(bool, nights['plate'])), 'plate')} in {format_count(jobs, 'job')}, {first} to {last}"
    )
    charts = [_trend_chart(nights, name) for name in _CHARTS if np.isfinite(float_values(nights[name])).any()]
    table = table_from_columns("jobs", "One row for each plate of a job, the newest last", nights)
    return write_page(
        path,
        "trends.html",
        None,
        title="Trends over nights",
        sentences=[plates, *sentences],
        charts=charts,
        table=table,
    )


def _day(moment: str) -> str:
    return moment[:10]


def _trend_chart(nights: Columns, name: str) -> PageChart:
    """Draw one column over the times at which the jobs began, with the median of each model as a line."""
    title, unit, description = _CHARTS[name]
    if name in _JOB_VALUES:
        nights = _first_rows(nights)
    values = float_values(nights[name])
    moments = [datetime.fromisoformat(moment) for moment in nights["begun"]]
    times = np.asarray(date2num(moments), np.float64)  # type: ignore[no-untyped-call]
    models = np.array([str(model) for model in nights["model"]], object)
    figure, axes = new_axes(WIDTH, _HEIGHT, x="", y=unit)
    for place, model in enumerate(dict.fromkeys(models)):
        own = (models == model) & np.isfinite(values)
        colour = PALETTE[place % len(PALETTE)]
        axes.plot(times[own], values[own], "o", color=colour, markersize=5, label=escape_dollars(str(model)))
        if own.any():
            middle = float(np.median(values[own]))
            axes.plot([times[own].min(), times[own].max()], [middle] * 2, color=colour, linewidth=1)
    if name == "z_prime_log_odds":
        axes.axhline(_Z_PRIME_BAR, color=INK, linestyle="--", linewidth=1)
    else:
        axes.set_ylim(0, max(0.05, 1.1 * float(np.nanmax(values))) if np.nanmax(values) < 0.9 else 1.02)
    # The charts share their times, also where some nights lack a value.
    margin = max(0.5, 0.03 * float(times.max() - times.min()))
    axes.set_xlim(times.min() - margin, times.max() + margin)
    locator = AutoDateLocator(maxticks=8)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    axes.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1.0, 0.5))
    units = "jobs" if name in _JOB_VALUES else "plates"
    return PageChart(title, figure, f"{description}. Each line is the median of a model's {units}.")


def _first_rows(nights: Columns) -> dict[str, list[object]]:
    """First row of each job."""
    first: dict[str, int] = {}
    for row, folder in enumerate(nights["folder"]):
        first.setdefault(folder, row)
    return {name: [values[row] for row in first.values()] for name, values in nights.items()}
