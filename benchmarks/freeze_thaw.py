"""Epochs until a search finds the best of 32 random trials: random search, halving, median stop, freeze-thaw.

``python -m benchmarks.freeze_thaw record FOLDER CURVES`` trains random trials of a compact i-ResNet at 32 px to the
end and writes their learning curves to a JSON file, which it continues where it exists. ``python -m
benchmarks.freeze_thaw compare CURVES…`` replays the schedulers on these curves with two workers. Each of ten seeds
draws 32 of the recorded trials; schedulers "of the pool" may start the others as well. It exits with 1 where
freeze-thaw misses the bar.
"""

import json
import math
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, Protocol

import numpy as np
import pandas as pd
import torch
import typer
from rich.console import Console

from benchmarks.learning_curves import CurveModel, choose_trial, encode_configs
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.sampling import draw
from leigh_mlops.search import SearchRequest
from leigh_mlops.search.request import NUMBER_KEY
from leigh_mlops.search.schedulers import ResumableASHA
from leigh_mlops.settings import SearchSpace, TrainingSettings
from leigh_mlops.settings.search_files import find_search_files, load_space
from leigh_mlops.study.prepare import DataSource, divide_data, find_data, prepare_data
from leigh_mlops.training import PreparedData, run_trial
from leigh_mlops.training.epoch import DivergenceError

SIZE_PX, EPOCHS = 32, 16
TRIALS, SEEDS, WORKERS = 32, 10, 2
SHARE, WANTED_SEEDS = 0.25, 7
"""Bar: share of the epochs of all trials, and the number of seeds that need no more."""
MOST_SHARE = 0.5
"""Share of the epochs after which a search is given up."""
GRACE_EPOCHS, MEDIAN_TRIALS = 3, 3
TUNING_GROWTH = 1.25
"""Growth of the number of epochs after which the parameters of the process are tuned anew."""
COMPACT = {
    "epochs": EPOCHS,
    "lr_step_epochs": 5,
    "precision": "fp32",
    "architecture.blocks": [1, 1],
    "architecture.widths": [16, 32],
}

Curves = Sequence[Sequence[float]]

app = typer.Typer(help=__doc__, add_completion=False)


def search_space() -> SearchSpace:
    """Search space of the i-ResNet for a quick search, with a compact network."""
    (file,) = find_search_files([Path("tuning/iresnet.yaml")])
    return load_space(file).apply_preset("quick").fix_hyperparameters(COMPACT).replace_fields(early_stopping="asha")


def read_plate(folder: Path, wells: int | None) -> PreparedData:
    """Read a plate, or so many wells of each class, the first in their order."""
    source, console = DataSource(folder), Console(quiet=True)
    table, channels, classes = find_data(source, console)
    if wells is not None:
        first = table.groupby(Metadata.CONDITION)[Metadata.WELL].unique().map(lambda each: sorted(each)[:wells])
        table = table[table[Metadata.WELL].isin(first.sum())].reset_index(drop=True)
    return prepare_data(source, *divide_data((table, channels, classes), source, console), SIZE_PX, console)


def train_trial(space: SearchSpace, number: int, data: PreparedData) -> dict[str, Any]:
    """Train one random trial to its end; one that diverges has a shorter curve."""
    config, losses, seconds = draw(space, number), list[float](), list[float]()
    settings = TrainingSettings.from_flat(config)
    try:
        for epoch in run_trial(space.family, settings, data, metric=space.metric, mode=space.mode):
            losses.append(epoch.metrics[space.metric])
            seconds.append(epoch.metrics["train/seconds"])
    except DivergenceError as error:
        typer.echo(str(error))
    return {"number": number, "config": config, "losses": losses, "seconds": seconds}


@app.command()
def record(
    folder: Path, curves: Path, trials: int = 120, wells: Annotated[int | None, typer.Option(help="per class")] = None
) -> None:
    """Train random trials to the end, and write their validation log losses."""
    torch.set_num_threads(1)
    space, data = search_space(), read_plate(folder, wells)
    recorded = json.loads(curves.read_text()) if curves.exists() else []
    for number in range(len(recorded) + 1, trials + 1):
        recorded.append(train_trial(space, number, data))
        partial = curves.with_suffix(".part")
        partial.write_text(json.dumps(recorded))
        partial.replace(curves)
        last = recorded[-1]
        typer.echo(f"{number}: {min(last['losses'], default=math.nan):.4f} in {sum(last['seconds']):.1f} s")


class Scheduler(Protocol):
    """Choice of the trial that a worker trains for its next epoch."""

    def choose(self, seen: Curves, busy: Collection[int], last: int | None) -> int | None:
        """Choose a trial by the losses so far, none of the ``busy`` ones; ``last`` is what the worker has trained."""


class RandomSearch:
    """One trial after the other, each to its end."""

    def __init__(self, space: SearchSpace, trials: Sequence[dict[str, Any]], seed: int) -> None:
        self.lengths = [len(trial["losses"]) for trial in trials]
        self._waiting = list(range(len(trials)))

    def choose(self, seen: Curves, busy: Collection[int], last: int | None) -> int | None:
        """Continue the trial, unless it ends or is stopped."""
        if last is not None and len(seen[last]) < self.lengths[last] and not self.stops(last, seen):
            return last
        return self._waiting.pop(0) if self._waiting else None

    def stops(self, trial: int, seen: Curves) -> bool:
        """Return whether a trial is stopped after its last epoch."""
        return False


class Halving(RandomSearch):
    """Asynchronous successive halving, as searches use it."""

    def __init__(self, space: SearchSpace, trials: Sequence[dict[str, Any]], seed: int) -> None:
        super().__init__(space, trials, seed)
        self._metric, self._asha = space.metric, ResumableASHA(SearchRequest(space, Path(), Path()))
        self._asha.set_search_properties(space.metric, space.mode)
        self._trials = [SimpleNamespace(trial_id=str(each), config={NUMBER_KEY: each}) for each in range(len(trials))]
        for trial in self._trials:
            self._asha.on_trial_add(None, trial)

    def stops(self, trial: int, seen: Curves) -> bool:
        """Return whether the halving stops the trial."""
        result = {"epoch": len(seen[trial]), self._metric: seen[trial][-1]}
        return bool(self._asha.on_trial_result(None, self._trials[trial], result) == "STOP")


class MedianStop(RandomSearch):
    """Stop of trials whose best loss is above the median of the others' mean losses up to the same epoch."""

    def stops(self, trial: int, seen: Curves) -> bool:
        """Return whether the trial is worse than the median."""
        epochs = len(seen[trial])
        others = [losses for each, losses in enumerate(seen) if each != trial and len(losses) >= epochs]
        if epochs < GRACE_EPOCHS or len(others) < MEDIAN_TRIALS:
            return False
        return min(seen[trial]) > np.median([np.mean(losses[GRACE_EPOCHS - 1 : epochs]) for losses in others])


class FreezeThaw:
    """One epoch of the most promising trial at a time."""

    def __init__(self, space: SearchSpace, trials: Sequence[dict[str, Any]], seed: int) -> None:
        self._model = CurveModel(encode_configs(space, [trial["config"] for trial in trials]), EPOCHS)
        self._lengths, self._seed, self._tuned = [len(trial["losses"]) for trial in trials], seed, 0

    def choose(self, seen: Curves, busy: Collection[int], last: int | None) -> int | None:
        """Choose the trial by its curve and configuration."""
        left = [each for each, length in enumerate(self._lengths) if each not in busy and len(seen[each]) < length]
        epochs = sum(map(len, seen))
        if not left or not epochs:
            return left[0] if left else None
        if epochs > TUNING_GROWTH * self._tuned:
            self._model.tune(seen)
            self._tuned = epochs
        return choose_trial(self._model.fit(seen), seen, left, seed=self._seed)


SCHEDULERS: dict[str, tuple[type[RandomSearch | FreezeThaw], bool]] = {
    "random search": (RandomSearch, False),
    "halving": (Halving, False),
    "median stop": (MedianStop, False),
    "freeze-thaw": (FreezeThaw, False),
    "halving of the pool": (Halving, True),
    "freeze-thaw of the pool": (FreezeThaw, True),
}
"""Schedulers, and whether they may start trials beyond the 32."""


def replay(curves: Curves, scheduler: Scheduler) -> Iterator[float]:
    """Yield the losses of all epochs in the order in which the workers end them."""
    seen: list[list[float]] = [[] for _ in curves]
    workers = dict[int, int | None].fromkeys(range(WORKERS))
    for worker in workers:
        workers[worker] = scheduler.choose(seen, set(workers.values()) - {None}, None)
    while any(trial is not None for trial in workers.values()):
        for worker, trial in workers.items():
            if trial is not None:
                seen[trial].append(curves[trial][len(seen[trial])])
                yield seen[trial][-1]
            busy = {each for other, each in workers.items() if other != worker} - {None}
            workers[worker] = scheduler.choose(seen, busy, trial)


def count_epochs(curves: Curves, scheduler: Scheduler, goal: float, most: int | None = None) -> float:
    """Number of epochs until a loss is as low as the goal, infinite where the search ends without it."""
    for epochs, loss in enumerate(islice(replay(curves, scheduler), most), start=1):
        if loss <= goal:
            return epochs
    return math.inf


def compare_schedulers(trials: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Shares of the epochs of 32 trials that each scheduler needs, one row per seed, infinite where it does not end."""
    space, rows = search_space(), []
    for seed in range(SEEDS):
        pool = [trials[each] for each in np.random.default_rng(seed).permutation(len(trials))]
        curves = [trial["losses"] for trial in pool]
        goal, total = min(map(min, curves[:TRIALS])), sum(map(len, curves[:TRIALS]))
        row = {}
        for name, (kind, is_wide) in SCHEDULERS.items():
            many = len(pool) if is_wide else TRIALS
            most = round(MOST_SHARE * total)
            row[name] = count_epochs(curves[:many], kind(space, pool[:many], seed), goal, most) / total
        rows.append(row)
        typer.echo(f"seed {seed}: " + ", ".join(f"{name} {share:.3f}" for name, share in row.items()))
    return pd.DataFrame(rows)


@app.command()
def compare(curves: list[Path]) -> None:
    """Compare the shares of the epochs of random search after which each scheduler has found the best."""
    is_missed = False
    for path in curves:
        shares = compare_schedulers([trial for trial in json.loads(path.read_text()) if trial["losses"]])
        summary = pd.DataFrame(
            {
                "median share": shares.median(),
                f"within {SHARE:.0%}": (shares <= SHARE).sum(),
                f"within {MOST_SHARE:.0%}": np.isfinite(shares).sum(),
            }
        )
        typer.echo(f"{path.name}\n{summary.round(3).to_string()}")
        is_missed |= int((shares["freeze-thaw"] <= SHARE).sum()) < WANTED_SEEDS
    raise typer.Exit(int(is_missed))


if __name__ == "__main__":
    app()
