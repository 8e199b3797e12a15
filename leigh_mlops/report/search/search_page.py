"""HTML page of a search: one file that opens from disk, without a network."""

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup
from plotly.offline import get_plotlyjs

from leigh_mlops.report.html_page import create_environment, script_hash
from leigh_mlops.report.search.importance import importance_chart
from leigh_mlops.report.search.learning_curves import learning_curves_chart, reference_comparison
from leigh_mlops.report.search.parallel_coordinates import drawn_value, parallel_coordinates
from leigh_mlops.report.search.pareto import front_chart, front_rows
from leigh_mlops.report.search.plotly_charts import Chart
from leigh_mlops.report.search.search_records import (
    STATUSES,
    SearchRecords,
    best_trial,
    finite_value,
    format_value,
    metric_title,
    reference_name,
)
from leigh_mlops.report.search.search_summary import summary
from leigh_mlops.settings import SearchSpace

__all__ = ["SearchRecords", "search_page"]

SHARED_METRICS = (
    "val/wells/accuracy", "val/wells/balanced_accuracy", "val/wells/z_prime_log_odds", "val/wells/z_prime",
    "val/log_loss", "val/mse",
)  # fmt: skip
HEADINGS = {
    "beside": "Comparison with references that need no network",
    "axes": "Hyperparameters and scores",
    "curves": "Learning curves",
    "importance": "Importance of hyperparameters",
    "front": "Pareto front",
}
LEADING_COLUMNS, TRAILING_COLUMNS = ("trial", "family", "status"), ("minutes", "epochs", "best epoch")


def search_page(found: SearchRecords) -> str:
    """Render the page of a search: summary, leaderboard, charts, importance, failures.

    The page loads nothing from a server, escapes all text, and allows no scripts
    but its own two. About 5 MB of it are Plotly's. Without scripts, everything
    but the charts is shown.

    Args:
        found: Records of the search; trials that still run are shown as such.

    Returns:
        A complete HTML document, which can be written as UTF-8.
    """
    environment = create_environment(escaped_key=html.escape)
    plotly, script = get_plotlyjs(), environment.get_template("search_script.html").render()
    page = environment.get_template("search.html").render(
        **_content(found),
        plotly=Markup(plotly),
        script=Markup(script),
        hashes=[script_hash(plotly), script_hash(script)],
    )
    # A file name in an error need not be valid UTF-8, but the page must be.
    return page.encode("utf-8", errors="replace").decode("utf-8")


def _content(found: SearchRecords) -> dict[str, Any]:
    several = [space for space in found.spaces if space.objectives]
    sections = [
        _section("beside", [reference_comparison(found) or "No score is known for both a trial and a reference."]),
        _section("axes", [_coordinates_chart(found, space) for space in found.spaces]),
        _section("curves", [_curves_chart(found, space) for space in found.spaces]),
        _section("importance", [importance_chart(found, space) for space in found.spaces]),
        _section("front", [front_chart(found, space) for space in several]),
    ]
    return {
        "title": found.title,
        "facts": found.facts,
        "sentences": summary(found),
        "beside": _reference_table(found),
        "board": _leaderboard(found),
        "sections": {section["key"]: section for section in sections},
        "figures": {key: list(chart.figures.values()) for each in sections for key, chart in each["charts"].items()},
        "fronts": [_front_table(found, space) for space in several],
        "failures": _failures(found),
    }


def _failures(found: SearchRecords) -> list[dict[str, Any]]:
    failed = found.trials[found.trials["status"].isin(["failed", "killed"])]
    return [
        {"name": name, "ended": STATUSES[status], "epochs": epochs, "error": error if isinstance(error, str) else "-"}
        for name, status, epochs, error in zip(
            failed["name"], failed["status"], failed["epochs"], failed["error"], strict=True
        )
    ]


def _section(key: str, drawn: Sequence[Chart | str]) -> dict[str, Any]:
    """Section of the page: charts by their identifier, and sentences in place of missing charts."""
    charts = [each for each in drawn if isinstance(each, Chart)]
    return {
        "key": key,
        "heading": HEADINGS[key],
        "charts": {f"{key}-{place}": chart for place, chart in enumerate(charts)},
        "notes": [each for each in drawn if isinstance(each, str)],
    }


def _coordinates_chart(found: SearchRecords, space: SearchSpace) -> Chart | str:
    missing = f"{space.family}: fewer than two trials have a score, or nothing is varied."
    return parallel_coordinates(found, space) or missing


def _curves_chart(found: SearchRecords, space: SearchSpace) -> Chart | str:
    return learning_curves_chart(found, space) or f"{space.family}: no trial has finished an epoch."


def _front_table(found: SearchRecords, space: SearchSpace) -> dict[str, Any]:
    columns = ["trial", *(metric_title(each.metric) for each in space.all_objectives)]
    return {"family": space.family, "columns": columns, "rows": front_rows(found, space)}


def _metrics(found: SearchRecords) -> list[str]:
    """Metrics that get a column: the objectives of the search and the scores that families share, if measured."""
    searched = [each.metric for space in found.spaces for each in space.all_objectives]
    known = {name for metrics in found.trials["metrics"] for name in metrics}
    return [name for name in dict.fromkeys([*searched, *SHARED_METRICS]) if name in known]


def _leaderboard(found: SearchRecords) -> dict[str, Any]:
    metrics = _metrics(found)
    rows = []
    for space in found.spaces:
        trials = found.family_trials(space).sort_values("score", ascending=space.mode == "min", kind="stable")
        best = best_trial(trials, space)
        rows += [_leaderboard_row(row, space, metrics, best) for row in trials.to_dict("records")]
    columns = [(name, False) for name in LEADING_COLUMNS] + [(metric_title(name), True) for name in metrics]
    columns += [(name, True) for name in TRAILING_COLUMNS] + [("varied hyperparameters", False)]
    return {"columns": columns, "rows": rows}


def _leaderboard_row(
    row: Mapping[Any, Any], space: SearchSpace, metrics: Sequence[str], best: Mapping[str, Any] | None
) -> dict[str, Any]:
    values = [finite_value(row["metrics"], name) for name in metrics]
    numbers = [*values, float(row["seconds"]) / 60, float(row["epochs"]), float(row["best_epoch"])]
    drawn = {key: drawn_value(key, space, row["config"]) for key in space.space}
    config = ", ".join(f"{key} {format_value(value)}" for key, value in drawn.items() if value is not None)
    return {
        "name": row["name"],
        "family": row["family"],
        "ended": STATUSES[row["status"]],
        "best": best is not None and row["name"] == best["name"],
        "numbers": [_cell_text(value) for value in numbers],
        "config": config or "-",
    }


def _cell_text(value: float) -> str:
    return "-" if math.isnan(value) else format_value(value)


def _reference_table(found: SearchRecords) -> dict[str, Any]:
    """Table of the best trial of each family and the references, with the scores that any of them has."""
    rows = []
    for space in found.spaces:
        best = best_trial(found.family_trials(space), space)
        if best is not None:
            rows.append(
                (str(best["name"]), {key.removeprefix("val/"): value for key, value in best["metrics"].items()})
            )
    rows += [(reference_name(row), dict(row)) for row in found.references]
    metrics = [name.removeprefix("val/") for name in SHARED_METRICS]
    shown = [metric for metric in metrics if any(not math.isnan(finite_value(scores, metric)) for _, scores in rows)]
    cells = [(name, [_cell_text(finite_value(scores, metric)) for metric in shown]) for name, scores in rows]
    return {"columns": [metric_title(f"val/{metric}") for metric in shown], "rows": cells}
