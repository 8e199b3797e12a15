"""Artifacts of a search's run: data, references, trials, and the page that shows them."""

import json
import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from leigh_mlops.plates import count_treated, describe_layout, leaked_wells
from leigh_mlops.plates.columns import Metadata, is_metadata
from leigh_mlops.plates.spreadsheet_text import write_csv
from leigh_mlops.report.figures import baseline_comparison, learning_curves
from leigh_mlops.report.layout_picture import layout_picture
from leigh_mlops.report.run_notes import reference_note
from leigh_mlops.report.search.search_page import SearchRecords, search_page
from leigh_mlops.settings import SearchSpace
from leigh_mlops.study.model_selection import Winner
from leigh_mlops.study.prepare import DataSource
from leigh_mlops.tracking import Run, Store
from leigh_mlops.training import PreparedData
from leigh_mlops.trials import Trial

__all__ = [
    "metric_curves",
    "log_data",
    "log_references",
    "log_summary",
    "rank_trials",
    "leaderboard_row",
    "search_page_row",
]


def rank_trials(space: SearchSpace, trials: Sequence[Trial]) -> list[Trial]:
    """Finished trials with a network, the best first."""
    finished = [trial for trial in trials if trial.state == "finished" and trial.best]
    sign = 1 if space.mode == "min" else -1
    return sorted(finished, key=lambda trial: sign * trial.best[space.metric])


def leaderboard_row(trial: Trial, winners: Collection[Winner]) -> dict[str, Any]:
    """A trial's row of the leaderboard."""
    record = {"model": trial.name, "family": trial.family, "kind": "network", "seconds": trial.seconds}
    won = {winner.trial: winner for winner in winners}
    record["winner"] = trial.name in won
    if trial.name in won:
        record |= won[trial.name].by_plate
    return record | {name.removeprefix("val/"): value for name, value in trial.best.items() if name.startswith("val/")}


def log_data(
    run: Run,
    source: DataSource,
    data: PreparedData,
    spaces: Sequence[SearchSpace],
    confounds: Mapping[str, Mapping[str, float]],
    *,
    seed: int,
    at: float,
) -> None:
    """Log the images, their split and facts of both; ``at`` is when the search began."""
    split = {"group": source.group, "split_seed": source.seed, "fold": source.fold or "none"}
    treated = {"train_on_compounds": source.train_on_compounds}
    images = {"classes": list(data.classes), "channels": list(data.channels)}
    run.log_params({"seed": seed, "scale_by": source.scale_by} | treated | split | images)
    leaked = leaked_wells(data.table, data.table[Metadata.SPLIT])
    metrics: dict[str, float] = {"data/fields": len(data.table), "data/leaked_wells": len(leaked)}
    metrics["data/treated_wells"] = count_treated(data.table).wells
    metrics["data/excluded"] = int(data.table[Metadata.EXCLUDED].sum())
    metrics |= {f"data/{kind}_auc": scores["auc"] for kind, scores in confounds.items() if scores}
    run.log_metrics(metrics, at=at)
    run.log_dataset(
        source.path.name if source.path else "demo",
        data.fingerprint,
        {"split": data.split_fingerprint, "fields": len(data.table), "wells": len(set(data.wells))},
        "training",
    )
    run.log_figure(layout_picture(data.table, describe_layout(data.table).sentence), "figures/layout.png")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        table = Path(temporary) / "split.csv"
        columns = [name for name in data.table if is_metadata(name)]
        write_csv(data.table[columns], table)
        run.log_file(table, "data")
    written = {space.family: space.model_dump(mode="json") for space in spaces}
    run.log_text(json.dumps(written, indent=2), "settings/spaces.json")


def log_references(
    store: Store, parent: Run, scores_by_kind: Mapping[str, Mapping[str, float]], facts: Mapping[str, Any], *, at: float
) -> list[dict[str, Any]]:
    """Log the baselines as runs of the same search; return their rows of the leaderboard."""
    existing, rows = store.children(parent), []
    for kind, scores in scores_by_kind.items():
        tags = {"model": kind, "task": "reconstruct" if kind == "pca" else "classify"} | dict(facts)
        note = reference_note(kind, str(facts["data"]))
        run = existing.get(kind) or store.start(kind, parent=parent, at=at, note=note, **tags)
        run.log_metrics({f"val/{name}": value for name, value in scores.items()}, at=at)
        run.end(at=at)
        rows.append({"model": kind, "family": kind, "kind": kind} | dict(scores))
    return rows


def log_summary(
    run: Run,
    spaces: Sequence[SearchSpace],
    trials: Sequence[Trial],
    rows: Sequence[dict[str, Any]],
    lines: Sequence[str],
    facts: Mapping[str, Any],
) -> None:
    """Log the figures, the summary and the page of a search."""
    curves = metric_curves(trials)
    metrics = [metric for metric in ("train/loss", "val/log_loss", "val/mse") if metric in set(curves["metric"])]
    if metrics:
        run.log_figure(learning_curves(curves, metrics), "figures/learning_curves.png")
    if classified := [row for row in rows if "wells/accuracy" in row]:
        run.log_figure(baseline_comparison(classified), "figures/baseline.png")
    run.log_text("\n".join(lines) + "\n", "summary.txt")
    won = {row["model"] for row in rows if row.get("winner")}
    records = SearchRecords(
        title="Search",
        spaces=spaces,
        trials=pd.DataFrame([search_page_row(trial, trial.name in won) for trial in trials]),
        curves=curves,
        references=[row for row in rows if row["kind"] != "network"],
        facts={key: str(value) for key, value in facts.items()},
    )
    run.log_text(search_page(records), "search.html")


def metric_curves(trials: Sequence[Trial]) -> pd.DataFrame:
    """Metrics of every epoch in long form."""
    rows = [
        (trial.name, trial.family, epoch, metric, value)
        for trial in trials
        for epoch, metrics in enumerate(trial.epochs, start=1)
        for metric, value in metrics.items()
    ]
    return pd.DataFrame(rows, columns=["run", "family", "epoch", "metric", "value"])


def search_page_row(trial: Trial, winner: bool) -> dict[str, Any]:
    """A trial's row of the search's page."""
    row: dict[str, Any] = {"name": trial.name, "number": trial.number, "family": trial.family, "status": trial.state}
    row |= {"error": trial.error or "", "seconds": trial.seconds}
    row |= {"epochs": len(trial.epochs), "best_epoch": trial.best_epoch, "winner": winner}
    return row | {"config": trial.config, "metrics": trial.best}
