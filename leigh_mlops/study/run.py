"""The main job: searches over prepared data, winners tested, registered and shown beside the baseline."""

import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console

from leigh_mlops.errors import LeighError
from leigh_mlops.plates import leaked_wells
from leigh_mlops.report.figures import beside_baseline, learning_curves
from leigh_mlops.report.tables import leaderboard
from leigh_mlops.report.words import verdict
from leigh_mlops.search import TrialResult, ray_cluster, run_search, state_folder
from leigh_mlops.settings import SearchSpace, TrainingSettings
from leigh_mlops.study.baselines import Baselines, fit_baselines, fit_latent_baseline
from leigh_mlops.study.board import Board
from leigh_mlops.study.finalists import Winner, crown, log_package, make_package
from leigh_mlops.study.prepare import DataSource, divided_table, prepare, with_cache
from leigh_mlops.tracking import Run, Store
from leigh_mlops.training import PreparedData, trained_network

__all__ = ["Study"]


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
        time_budget_s: For all searches together; what is left is shared evenly.
        line: First part of the registered names.
        ray_address: Cluster; by default this machine.
        verbose: Let Ray speak.
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
        """Search, test, register, and say what came out."""
        table = divided_table(self.source, self.console)
        self._tracking = Store.open(self.store, verbose=self.verbose)
        data = prepare(self.source, *table, self.spaces[0].image_size, self.console)
        self._sizes = {data.image_size: data}
        baselines = fit_baselines(data, self.seed)
        beside = baselines.scores(data, data.rows("val"))
        self._say_baseline(beside)
        families = ", ".join(space.family for space in self.spaces)
        with self._tracking.run(f"search {families}", kind="search", **self._facts(data)) as parent:
            self._log_data(parent, data)
            references = self._log_references(parent, data, beside)
            folder = state_folder() / "searches" / parent.id
            rows, curves, winners = [], [], []
            with ray_cluster(self.ray_address, workers=self.workers, verbose=self.verbose):
                searched = self._search_all(parent, folder)
            for space, board, results in searched:
                curves.append(board.curves)
                rows += [_record(space, board, result) for result in results]
                winners.append(self._finish(space, board, results, baselines))
            self._log_summary(parent, pd.concat(curves), rows + references, winners)
            shutil.rmtree(folder, ignore_errors=True)
        self._say_result(rows + references, winners)
        return winners

    def at_size(self, image_size: int) -> PreparedData:
        """The study's data at another image size, the same rows and the same split."""
        if image_size not in self._sizes:
            known = next(iter(self._sizes.values()))
            self._sizes[image_size] = with_cache(
                known.table, known.channels, known.classes, image_size, self.console, demo=known.demo
            )
        return self._sizes[image_size]

    def _search_all(self, parent: Run, folder: Path) -> list[tuple[SearchSpace, Board, list[TrialResult]]]:
        deadline = None if self.time_budget_s is None else time.monotonic() + self.time_budget_s
        searched = []
        for number, space in enumerate(self.spaces):
            data = self.at_size(space.image_size)
            place = folder / f"data-{space.image_size}"
            data.save(place)
            share = space.time_share / sum(later.time_share for later in self.spaces[number:])
            left = None if deadline is None else max(1.0, share * (deadline - time.monotonic()))
            self.console.print(
                f"[bold]{space.family}[/]: {space.trials} trials of {_epochs(space)} epochs at {space.image_size} px"
                + (f", at most {left / 60:.0f} minutes" if left else "")
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

    def _finish(self, space: SearchSpace, board: Board, results: list[TrialResult], baselines: Baselines) -> Winner:
        finished = [result for result in results if result.best and result.checkpoint]
        if not finished:
            reason = next((result.error for result in results if result.error), "no trial finished an epoch")
            raise LeighError(
                f"No trial of {space.family} gave a network ({reason}); give it more time or mend its file."
            )
        sign = 1 if space.mode == "min" else -1
        ranked = sorted(finished, key=lambda result: sign * result.best[space.metric])
        data = self.at_size(space.image_size)
        packages = []
        for result in ranked[: space.keep]:
            assert result.checkpoint is not None
            settings = TrainingSettings.from_flat(result.config)
            model, scale, epoch = trained_network(space.family, settings, data, result.checkpoint)
            run = board.runs[result.trial]
            about = {"run": run.id, "best_epoch": epoch, "val": result.best, "seed": self.seed, "git": revision()}
            package = make_package(model, scale, data, baselines, about)
            run.set_tags({"best_epoch": epoch})
            run.log_metrics({f"best/{key}": value for key, value in result.best.items()})
            packages.append((run, package, log_package(self._tracking, run, package)))
        run, package, uri = packages[0]
        return crown(self._tracking, run, package, uri, f"{self.line}-{space.family}", data, self.at_size)

    def _facts(self, data: PreparedData) -> dict[str, Any]:
        return {
            "demo": data.demo,
            "data": self.source.path.name if self.source.path else "demo",
            "data_fingerprint": data.fingerprint,
            "split_fingerprint": data.split_fingerprint,
            "git": revision(),
        }

    def _log_data(self, parent: Run, data: PreparedData) -> None:
        parent.log_params({"seed": self.seed, "group": self.source.group, "split_seed": self.source.seed})
        leaked = leaked_wells(data.table, data.table["Metadata_Split"])
        parent.log_metrics({"data/fields": len(data.table), "data/leaked_wells": len(leaked)})
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
                latents = 2 * (space.image_size // 32) ** 2
                return {"val/mse": fit_latent_baseline(data, scale, latents)[1]}
        return {}

    def _log_summary(
        self, parent: Run, curves: pd.DataFrame, rows: list[dict[str, Any]], winners: list[Winner]
    ) -> None:
        metrics = [metric for metric in ("train/loss", "val/log_loss", "val/mse") if metric in set(curves["metric"])]
        parent.log_figure(learning_curves(curves, metrics), "figures/learning_curves.png")
        parent.log_figure(beside_baseline([row for row in rows if "wells/accuracy" in row]), "figures/baseline.png")
        lines = [line for winner in winners for line in self._lines(winner)]
        parent.log_text("\n".join(lines) + "\n", "summary.txt")

    def _say_baseline(self, beside: dict[str, dict[str, float]]) -> None:
        baseline, position = beside["baseline"], beside["position"]
        self.console.print(
            f"Without any network, on validation wells: a threshold on intensity has accuracy "
            f"{baseline['wells/accuracy']:.3f}, the position on the plate {position['wells/accuracy']:.3f}."
        )

    def _say_result(self, rows: list[dict[str, Any]], winners: list[Winner]) -> None:
        self.console.print()
        self.console.print(leaderboard(rows))
        for winner in winners:
            self.console.print()
            for line in self._lines(winner):
                self.console.print(line, markup=False)
        self.console.print()
        self.console.print(f"Everything is in {self._tracking.words}; look at it with: python -m leigh_mlops.ui")
        data = self.source.path or "demo"
        best = next((w for w in winners if w.version.name.endswith("iresnet")), winners[-1])
        self.console.print(
            f"Next: python -m leigh_mlops.explain {best.version.uri} --data {data} --out out", markup=False
        )

    def _lines(self, winner: Winner) -> list[str]:
        version, decision, test = winner.version, winner.decision, winner.test
        role = "champion" if decision.promote else "challenger"
        lines = [f"{version.uri} is {role}: {decision.reason}."]
        if "mse" in test.scores:
            pca = test.baseline.get("mse")
            beside = "" if pca is None else f", PCA with as many numbers {pca:.4f}"
            return [*lines, f"  test wells: mean squared error {test.scores['mse']:.4f}{beside}."]
        wells = len(set(self.at_any().wells[test.outputs.rows]))
        scores = [_of_wells(each, wells) for each in (test.scores, test.baseline, test.position)]
        return lines + ["  " + line for line in verdict(*scores, difference=winner.gain)]

    def at_any(self) -> PreparedData:
        """The data at the size that was read first; rows and wells are the same at all sizes."""
        return next(iter(self._sizes.values()))


def _of_wells(scores: dict[str, float], wells: int) -> dict[str, float]:
    chosen = {name.removeprefix("wells/"): value for name, value in scores.items() if name.startswith("wells/")}
    return chosen | {"wells": wells}


def _record(space: SearchSpace, board: Board, result: TrialResult) -> dict[str, Any]:
    seconds = sum(epoch.get("train/seconds", 0.0) for epoch in result.epochs)
    record = {"model": board.names[result.trial], "family": space.family, "kind": "network", "seconds": seconds}
    return record | _short(result.best)


def _short(metrics: dict[str, float]) -> dict[str, float]:
    return {name.removeprefix("val/"): value for name, value in metrics.items() if name.startswith("val/")}


def _epochs(space: SearchSpace) -> int:
    return TrainingSettings.from_flat(space.published).epochs


def revision() -> str:
    """Git revision of the package's source, ``-dirty`` where it has changes, or ``unknown`` outside a checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
