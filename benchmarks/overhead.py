"""Overhead of a search beyond its trials, and of tracking per trial.

    python -m benchmarks.overhead [--trials 8] [--seconds 30] [--workers 2] [--crowd 8]

A search of equal trials runs on two workers: its wall time after Ray's start, from the first trial drawn to the last
one ended, is divided by the time that the trials themselves need. Then as many trials as ``--crowd`` run at once and
are tracked in an embedded store: the processor time of the delivery per trial is divided by the trial's wall time.
The last two lines are JSON.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
from rich.console import Console

from benchmarks.report import report
from leigh_mlops.commands import ENVIRONMENT
from leigh_mlops.events import Drawn, Ended, EpochDone, Event
from leigh_mlops.search import SearchPlan, SearchProcess, SearchRequest
from leigh_mlops.settings import SearchSpace
from leigh_mlops.study.delivery import Delivery
from leigh_mlops.study.dry_run import seconds_per_epoch
from leigh_mlops.study.supervisor import Supervisor
from leigh_mlops.tracking import Store
from leigh_mlops.training import PreparedData
from leigh_mlops.trials import Journal, Trial
from tests.conftest import write_class_folders
from tests.training.conftest import prepared


def make_space(trials: int, epochs: int) -> SearchSpace:
    """Create a search space whose trials all have the same size."""
    return SearchSpace.model_validate(
        {
            "family": "autoencoder",
            "metric": "val/mse",
            "early_stopping": "none",
            "trials": trials,
            "image_size": 64,
            "published": {"learning_rate": 0.001, "batch_size": 8, "epochs": epochs},
            "space": {"learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}},
        }
    )


def run_search(folder: Path, data: Path, space: SearchSpace, workers: int) -> tuple[list[Event], list[Trial], float]:
    """Search; return the journal's events, the trials, and the processor time of the delivery in seconds."""
    journal = Journal(folder / "journal.jsonl")
    store = Store.open(str(folder / "store"))
    parent = store.start("search")
    spaces = {space.family: space.model_dump(mode="json")}
    delivery = Delivery(journal, store, parent, facts={"data": "demo"}, spaces=spaces, done=folder / "delivered")
    with delivery, SearchProcess(workers=workers) as process:
        supervisor = Supervisor(journal, Console(), process)
        request = SearchRequest(space, data, folder / space.family, workers=workers)
        trials = supervisor.search(SearchPlan([request]), lambda event: delivery.wake())[space.family]
        if not delivery.flush(60):
            raise RuntimeError(f"{delivery.waiting} events were not delivered")
        threads = {thread.id: thread for thread in psutil.Process().threads()}
        spent = threads[delivery.native_id]
        return journal.events, trials, spent.user_time + spent.system_time


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=30, help="of each trial, about")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--crowd", type=int, default=8, help="trials at once while tracking is measured")
    given = parser.parse_args()
    os.environ.update(ENVIRONMENT)
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        os.environ["LEIGH_CACHE"] = str(place / "cache")
        data = prepared(write_class_folders(place / "plate", size=64, wells=8, fields=40), 64)
        data.save(place / "data")
        epochs = max(1, round(given.seconds / seconds_per_epoch(make_space(1, 1), PreparedData.load(place / "data"))))
        space = make_space(given.trials, epochs)
        started = time.monotonic()
        events, trials, _ = run_search(place / "few", place / "data", space, given.workers)
        whole_s = time.monotonic() - started
        moments = [event.time for event in events if isinstance(event, Drawn | Ended)]
        wall, needed = max(moments) - min(moments), trial_seconds(trials).sum() / given.workers
        first = next(event.time for event in events if isinstance(event, EpochDone)) - events[0].time
        print(f"{given.trials} trials of {trial_seconds(trials).mean():.1f} s on {given.workers} workers: {wall:.1f} s")
        print(f"{whole_s:.1f} s with Ray's start; {first:.1f} s to the first epoch's metrics")
        crowded, trials, delivery_s = run_search(
            place / "many", place / "data", make_space(given.crowd, max(1, epochs // 4)), given.crowd
        )
        epochs_done = sum(isinstance(event, EpochDone) for event in crowded)
        print(f"{given.crowd} trials at once, {epochs_done} epochs delivered in {delivery_s:.2f} s of processor time")
        share = delivery_s / len(trials) / trial_seconds(trials).mean()
    report("search overhead", ours=wall, reference=needed, unit="s", bar=1.15)
    report("tracking", ours=share, reference=1.0, unit="share of a trial's time", bar=0.02)


def trial_seconds(trials: list[Trial]) -> np.ndarray:
    """Seconds that each trial's epochs took."""
    return np.array([sum(epoch["train/seconds"] for epoch in trial.epochs) for trial in trials])


if __name__ == "__main__":
    main()
