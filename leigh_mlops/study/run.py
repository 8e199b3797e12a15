"""The main job: searches over prepared data, winners tested, registered and shown beside the baseline."""

import json
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console

from leigh_mlops.errors import LeighError
from leigh_mlops.plates import describe_layout, leaked_wells
from leigh_mlops.report.figures import beside_baseline, learning_curves
from leigh_mlops.report.layout import layout_picture
from leigh_mlops.report.words import counted
from leigh_mlops.search import TrialResult, ray_cluster, run_search, state_folder
from leigh_mlops.settings import SearchSpace, TrainingSettings
from leigh_mlops.study.baselines import Baselines, fit_baselines, fit_latent_baseline
from leigh_mlops.study.board import Board
from leigh_mlops.study.finalists import Winner, crown, log_package, make_package
from leigh_mlops.study.prepare import DataSource, confounds_of, divided_table, prepare, with_cache
from leigh_mlops.study.said import say_baseline, say_result, winner_lines
from leigh_mlops.study.spaces import check_spaces, digests_of_starts, latent_size, local_starts
from leigh_mlops.tracking import Run, Store
from leigh_mlops.training import PreparedData, build_network, trained_network

__all__ = ["Study"]

Searched = tuple[SearchSpace, Board, list[TrialResult]]


@dataclass
class Study:
    """One search over several families.

    Attributes:
        source: Images and split.
        spaces: One search space per family.
        store: Address of the store; ``None`` for the embedded one.
        console: Where words go.
        seed: Of trials; the split has its own in ``source``.
        workers: Most trials at once.
        time_budget_s: For all searches together; families share it by their ``time_share``.
        line: First part of the registered names.
        ray_address: Cluster; by default this machine.
        verbose: Let Ray and MLflow speak.
    """

    source: DataSource
    spaces: Sequence[SearchSpace]
    store: str | None
    console: Console
    seed: int = 0
    workers: int | None = None
    time_budget_s: float | None = None
    line: str = "leigh"
    ray_address: str | None = None
    verbose: bool = False

    def run(self) -> list[Winner]:
        """Search, test, register, and say what came out.

        Raises:
            LeighError: The data, the store or a search can't be used, or no family gave a network.
        """
        if not re.fullmatch(r"[\w.-]+", self.line):
            raise LeighError(f"--name {self.line!r} is no name; use letters, digits, '-', '_' and '.'.")
        divided = divided_table(self.source, self.console)
        check_spaces(self.spaces, len(divided[1]))
        self._tracking = Store.open(self.store, verbose=self.verbose)
        folder = state_folder() / "searches" / f"{time.time_ns():x}"
        try:
            data = self._prepared(divided, folder)
            with self._tracking.run(f"search {self._families}", kind="search", **self._facts(data)) as parent:
                winners, rows = self._study(parent, data, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        where, source = self._tracking.words, self.source.path
        say_result(self.console, rows, winners, data, self._confounds, where=where, source=source)
        return winners

    @property
    def _families(self) -> str:
        return ", ".join(space.family for space in self.spaces)

    def _prepared(self, divided: tuple[pd.DataFrame, Any, Any], folder: Path) -> PreparedData:
        """Images, without those validation and test wells that the starting weights have seen."""
        data = prepare(self.source, *divided, self.spaces[0].image_size, self.console)
        starts = local_starts(self._tracking, self.spaces, folder)
        before = len(np.unique(data.wells[np.concatenate([data.rows("val"), data.rows("test")])]))
        data = replace(data.without_wells_seen_by(*digests_of_starts(starts.values())), starts=starts)
        left = [len(np.unique(data.wells[data.rows(part)])) for part in ("val", "test")]
        if sum(left) < before:
            self.console.print(
                f"{before - sum(left)} validation and test wells are left out: the starting weights have seen them."
            )
        if min(left) == 0:
            raise LeighError("The starting weights have seen every validation or test well; start from others.")
        self._sizes = {data.image_size: data}
        self._baselines: dict[int, Baselines] = {}
        for space in self.spaces:
            self._check_start(space)
        return data

    def _check_start(self, space: SearchSpace) -> None:
        """Weights that can't be had or do not fit are found here, not in every trial."""
        settings = TrainingSettings.from_flat(space.published)
        if settings.init != "random":
            build_network(space.family, settings, self.at_size(space.image_size), self.seed)

    def at_size(self, image_size: int) -> PreparedData:
        """The study's data at another image size, the same rows and the same split."""
        if image_size not in self._sizes:
            known = next(iter(self._sizes.values()))
            made = with_cache(known.table, known.channels, known.classes, image_size, self.console, demo=known.demo)
            if known.controls is not None:
                made = made.scaled_by_controls((made.table["Metadata_Split"] == "train").to_numpy(bool))
            self._sizes[image_size] = replace(made, starts=known.starts)
        return self._sizes[image_size]

    def baselines_at(self, image_size: int) -> Baselines:
        """Baselines that saw the images at the size at which a network sees them."""
        if image_size not in self._baselines:
            self._baselines[image_size] = fit_baselines(self.at_size(image_size), self.seed)
        return self._baselines[image_size]

    def _study(self, parent: Run, data: PreparedData, folder: Path) -> tuple[list[Winner], list[dict[str, Any]]]:
        beside = self.baselines_at(data.image_size).scores(data, data.rows("val"))
        self._confounds = confounds_of(data)
        say_baseline(self.console, beside, self._confounds)
        self._log_data(parent, data)
        references = self._log_references(parent, data, beside)
        with ray_cluster(self.ray_address, workers=self.workers, verbose=self.verbose):
            searched = self._search_all(parent, folder)
        rows = [_record(space, board, result) for space, board, results in searched for result in results]
        winners = self._finish_all(searched)
        curves = pd.concat([board.curves for _, board, _ in searched])
        rows = [row | {"winner": row["model"] in {winner.trial for winner in winners}} for row in rows] + references
        self._log_summary(parent, curves, rows, winners, data)
        return winners, rows

    def _search_all(self, parent: Run, folder: Path) -> list[Searched]:
        deadline = None if self.time_budget_s is None else time.monotonic() + self.time_budget_s
        searched = []
        for number, space in enumerate(self.spaces):
            data = self.at_size(space.image_size)
            place = folder / f"data-{space.image_size}"
            data.save(place)
            share = space.time_share / sum(later.time_share for later in self.spaces[number:])
            left = None if deadline is None else max(1.0, share * (deadline - time.monotonic()))
            budget = f", at most {left / 60:.1f} minutes" if left else ""
            epochs = TrainingSettings.from_flat(space.published).epochs
            self.console.print(
                f"[bold]{space.family}[/]: {counted(space.trials, 'trial')} of {counted(epochs, 'epoch')} "
                f"at {space.image_size} px{budget}"
            )
            with Board(self._tracking, parent, space, self._facts(data), self.console) as board:
                results = run_search(
                    space,
                    place,
                    folder=folder / space.family,
                    listener=board,
                    seed=self.seed,
                    workers=self.workers,
                    time_budget_s=left,
                )
            searched.append((space, board, results))
        return searched

    def _finish_all(self, searched: list[Searched]) -> list[Winner]:
        """One winner per family; a family without one is said and does not take the others with it."""
        winners = []
        problem = None
        for space, board, results in searched:
            try:
                winners.append(self._finish(space, board, results))
            except LeighError as error:
                problem = error
                self.console.print(f"{space.family}: {error}", style="red", markup=False)
        if problem is not None and not winners:
            raise problem
        return winners

    def _finish(self, space: SearchSpace, board: Board, results: list[TrialResult]) -> Winner:
        finished = {result.trial: result.checkpoint for result in results if result.best and result.checkpoint}
        for result in results:
            board.runs[result.trial].log_metrics({f"best/{key}": value for key, value in result.best.items()})
            board.runs[result.trial].set_tags({"best_epoch": result.best_epoch})
        if not finished:
            reason = next((result.error for result in results if result.error), "no trial finished an epoch")
            raise LeighError(
                f"No trial of {space.family} gave a network ({reason}); give it more time or mend its file."
            )
        sign = 1 if space.mode == "min" else -1
        ranked = sorted(
            (result for result in results if result.trial in finished),
            key=lambda result: sign * result.best[space.metric],
        )
        data, baselines = self.at_size(space.image_size), self.baselines_at(space.image_size)
        packages = []
        for result in ranked[: space.keep]:
            settings = TrainingSettings.from_flat(result.config)
            model, scale, epoch = trained_network(space.family, settings, data, finished[result.trial])
            run = board.runs[result.trial]
            about = {"run": run.id, "best_epoch": epoch, "val": result.best, "seed": self.seed, "git": revision()}
            about |= {"exclude": list(self.source.rule), "beta": settings.beta}
            package = make_package(model, scale, data, baselines, about, [*data.starts.values()])
            packages.append((run, package, log_package(self._tracking, run, package)))
        run, package, uri = packages[0]
        winner = crown(self._tracking, run, package, uri, f"{self.line}-{space.family}", data, self.at_size)
        return replace(winner, trial=board.names[ranked[0].trial])

    def _facts(self, data: PreparedData) -> dict[str, Any]:
        return {
            "demo": data.demo,
            "data": self.source.path.name if self.source.path else "demo",
            "data_fingerprint": data.fingerprint,
            "split_fingerprint": data.split_fingerprint,
            "git": revision(),
        }

    def _log_data(self, parent: Run, data: PreparedData) -> None:
        source = self.source
        split = {"group": source.group, "split_seed": source.seed, "fold": source.fold or "none"}
        parent.log_params({"seed": self.seed, "scale_by": source.scale_by} | split)
        leaked = leaked_wells(data.table, data.table["Metadata_Split"])
        metrics: dict[str, float] = {"data/fields": len(data.table), "data/leaked_wells": len(leaked)}
        metrics["data/excluded"] = int(data.table["Metadata_Excluded"].sum())
        metrics |= {f"data/{kind}_auc": scores["auc"] for kind, scores in self._confounds.items() if scores}
        parent.log_metrics(metrics)
        parent.log_figure(layout_picture(data.table, describe_layout(data.table).sentence), "figures/layout.png")
        with tempfile.TemporaryDirectory() as temporary:
            table = Path(temporary) / "split.csv"
            columns = [name for name in data.table if str(name).startswith("Metadata_")]
            data.table[columns].to_csv(table, index=False)
            parent.log_file(table, "data")
        spaces = {space.family: space.model_dump(mode="json") for space in self.spaces}
        parent.log_text(json.dumps(spaces, indent=2), "settings/spaces.json")

    def _log_references(
        self, parent: Run, data: PreparedData, beside: dict[str, dict[str, float]]
    ) -> list[dict[str, Any]]:
        """The baseline and the position as runs of the same search, with PCA where an autoencoder is searched."""
        rows = []
        for kind, scores in beside.items():
            metrics = {f"val/{name}": value for name, value in scores.items()}
            if kind == "baseline":
                metrics |= self._latent_score()
            tags = {"model": kind} | self._facts(data)
            with self._tracking.run(kind, parent=parent, **tags) as run:
                run.log_metrics(metrics)
            rows.append({"model": kind, "family": kind, "kind": kind} | _short(metrics))
        return rows

    def _latent_score(self) -> dict[str, float]:
        for space in self.spaces:
            if space.family == "autoencoder":
                data = self.at_size(space.image_size)
                scale = data.scale(TrainingSettings.from_flat(space.published).intensity)
                return {"val/mse": fit_latent_baseline(data, scale, latent_size(space, len(data.channels)))[1]}
        return {}

    def _log_summary(
        self, parent: Run, curves: pd.DataFrame, rows: list[dict[str, Any]], winners: list[Winner], data: PreparedData
    ) -> None:
        metrics = [metric for metric in ("train/loss", "val/log_loss", "val/mse") if metric in set(curves["metric"])]
        if metrics:
            parent.log_figure(learning_curves(curves, metrics), "figures/learning_curves.png")
        parent.log_figure(beside_baseline([row for row in rows if "wells/accuracy" in row]), "figures/baseline.png")
        lines = [line for winner in winners for line in winner_lines(winner, data, self._confounds)]
        parent.log_text("\n".join(lines) + "\n", "summary.txt")


def _record(space: SearchSpace, board: Board, result: TrialResult) -> dict[str, Any]:
    seconds = sum(epoch.get("train/seconds", 0.0) for epoch in result.epochs)
    record = {"model": board.names[result.trial], "family": space.family, "kind": "network", "seconds": seconds}
    return record | _short(result.best)


def _short(metrics: dict[str, float]) -> dict[str, float]:
    return {name.removeprefix("val/"): value for name, value in metrics.items() if name.startswith("val/")}


def revision() -> str:
    """Git revision of the package's source, ``-dirty`` where it has changes, or ``unknown`` outside a checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
