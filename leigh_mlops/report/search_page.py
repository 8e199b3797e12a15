"""The page that a search leaves behind: one file that opens from disk, without a network."""

import base64
import hashlib
import html
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from leigh_mlops.report.search_axes import parallel_coordinates, value_of
from leigh_mlops.report.search_charts import Chart
from leigh_mlops.report.search_curves import beside_references, learning_curves
from leigh_mlops.report.search_front import front_chart, front_rows
from leigh_mlops.report.search_importance import importance_chart
from leigh_mlops.report.search_records import (
    STATUSES,
    SearchRecords,
    best_of,
    finite,
    metric_title,
    reference_name,
    short,
)
from leigh_mlops.report.search_words import summary
from leigh_mlops.settings import SearchSpace

__all__ = ["SearchRecords", "search_page"]

ALSO_SHOWN = ("val/wells/accuracy", "val/wells/z_prime", "val/log_loss", "val/mse")
HEADINGS = {
    "beside": "Beside what needs no network",
    "axes": "Hyperparameters and scores",
    "curves": "Learning curves",
    "importance": "Importance of hyperparameters",
    "front": "Pareto front",
}
BEFORE, AFTER = ("trial", "family", "how it ended"), ("minutes", "epochs", "best epoch")


def search_page(found: SearchRecords) -> str:
    """Write the page of a search: summary, leaderboard, charts, importance, failures.

    The page asks no server for anything, shows whatever text it is given as text,
    never as HTML, and lets no script run but its own two. About 5 MB of it are
    Plotly's. Readers without scripts have all but the charts.

    Args:
        found: What is known of the search; trials that still run are shown as such.

    Returns:
        A whole HTML document, which can be written as UTF-8.
    """
    environment = _environment()
    plotly, script = get_plotlyjs(), environment.get_template("search_script.html").render()
    page = environment.get_template("search.html").render(
        **_content(found), plotly=Markup(plotly), script=Markup(script), hashes=[_digest(plotly), _digest(script)]
    )
    # A file name in an error need not be valid UTF-8; the page is, all the same.
    return page.encode("utf-8", errors="replace").decode("utf-8")


def _content(found: SearchRecords) -> dict[str, Any]:
    several = [space for space in found.spaces if space.objectives]
    sections = [
        _section("beside", [beside_references(found) or "No trial and no reference have a score in common."]),
        _section("axes", [_axes(found, space) for space in found.spaces]),
        _section("curves", [_curves(found, space) for space in found.spaces]),
        _section("importance", [importance_chart(found, space) for space in found.spaces]),
        _section("front", [front_chart(found, space) for space in several]),
    ]
    return {
        "title": found.title,
        "facts": found.facts,
        "sentences": summary(found),
        "beside": _beside(found),
        "board": _board(found),
        "sections": {section["key"]: section for section in sections},
        "figures": {key: list(chart.figures.values()) for each in sections for key, chart in each["charts"].items()},
        "fronts": [_front(found, space) for space in several],
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


def _environment() -> Environment:
    loader = PackageLoader("leigh_mlops.report", "templates")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["json"] = lambda value: htmlsafe_json_dumps(value, dumps=_strict_json)
    environment.filters["escaped_key"] = html.escape
    return environment


def _strict_json(value: object, **_: object) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"))


def _digest(script: str) -> str:
    """A script's hash as a content security policy names it."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")


def _section(key: str, drawn: Sequence[Chart | str]) -> dict[str, Any]:
    """Charts by their place on the page, and sentences where there is none."""
    charts = [each for each in drawn if isinstance(each, Chart)]
    return {
        "key": key,
        "heading": HEADINGS[key],
        "charts": {f"{key}-{place}": chart for place, chart in enumerate(charts)},
        "notes": [each for each in drawn if isinstance(each, str)],
    }


def _axes(found: SearchRecords, space: SearchSpace) -> Chart | str:
    missing = f"{space.family}: fewer than two trials have a score, or nothing is varied."
    return parallel_coordinates(found, space) or missing


def _curves(found: SearchRecords, space: SearchSpace) -> Chart | str:
    return learning_curves(found, space) or f"{space.family}: no trial has finished an epoch."


def _front(found: SearchRecords, space: SearchSpace) -> dict[str, Any]:
    columns = ["trial", *(metric_title(each.metric) for each in space.all_objectives)]
    return {"family": space.family, "columns": columns, "rows": front_rows(found, space)}


def _metrics(found: SearchRecords) -> list[str]:
    """Metrics worth a column: those that are searched by, and the scores that families share, where there are any."""
    searched = [each.metric for space in found.spaces for each in space.all_objectives]
    known = {name for metrics in found.trials["metrics"] for name in metrics}
    return [name for name in dict.fromkeys([*searched, *ALSO_SHOWN]) if name in known]


def _board(found: SearchRecords) -> dict[str, Any]:
    metrics = _metrics(found)
    rows = []
    for space in found.spaces:
        trials = found.of(space).sort_values("score", ascending=space.mode == "min", kind="stable")
        best = best_of(trials, space)
        rows += [_row(row, space, metrics, best) for row in trials.to_dict("records")]
    columns = [(name, False) for name in BEFORE] + [(metric_title(name), True) for name in metrics]
    columns += [(name, True) for name in AFTER] + [("varied hyperparameters", False)]
    return {"columns": columns, "rows": rows}


def _row(
    row: Mapping[Any, Any], space: SearchSpace, metrics: Sequence[str], best: Mapping[str, Any] | None
) -> dict[str, Any]:
    values = [finite(row["metrics"], name) for name in metrics]
    numbers = [*values, float(row["seconds"]) / 60, float(row["epochs"]), float(row["best_epoch"])]
    drawn = {key: value_of(key, space, row["config"]) for key in space.space}
    config = ", ".join(f"{key} {short(value)}" for key, value in drawn.items() if value is not None)
    return {
        "name": row["name"],
        "family": row["family"],
        "ended": STATUSES[row["status"]],
        "best": best is not None and row["name"] == best["name"],
        "numbers": [_cell(value) for value in numbers],
        "config": config or "-",
    }


def _cell(value: float) -> str:
    return "-" if math.isnan(value) else short(value)


def _beside(found: SearchRecords) -> dict[str, Any]:
    """The best of each family and the references, over the scores that any of them has."""
    rows = []
    for space in found.spaces:
        best = best_of(found.of(space), space)
        if best is not None:
            rows.append(
                (str(best["name"]), {key.removeprefix("val/"): value for key, value in best["metrics"].items()})
            )
    rows += [(reference_name(row), dict(row)) for row in found.references]
    metrics = [name.removeprefix("val/") for name in ALSO_SHOWN]
    shown = [metric for metric in metrics if any(not math.isnan(finite(scores, metric)) for _, scores in rows)]
    cells = [(name, [_cell(finite(scores, metric)) for metric in shown]) for name, scores in rows]
    return {"columns": [metric_title(f"val/{metric}") for metric in shown], "rows": cells}
