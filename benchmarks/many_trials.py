"""The leaderboard and the page of a search of 1,000 trials.

    python -m benchmarks.many_trials [--trials 1000] [--epochs 10]

Fills an embedded store through the delivery of a search, then times the leaderboard command as a user starts it, and
the making of the search's page. The last line is one JSON object.
"""

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from benchmarks.report import report
from leigh_mlops.events import Drawn, Ended, EpochDone
from leigh_mlops.report.search.search_page import SearchRecords, search_page
from leigh_mlops.sampling import draw
from leigh_mlops.study.delivery import Delivery
from leigh_mlops.study.run_artifacts import metric_curves, search_page_row
from leigh_mlops.tracking import Store
from leigh_mlops.trials import Journal, collect_trials
from leigh_mlops.tune import load_spaces

BAR_S = 10.0


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=10)
    given = parser.parse_args()
    space = next(space for space in load_spaces(None) if space.family == "resnext")
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        journal = Journal(place / "journal.jsonl")
        for number in range(1, given.trials + 1):
            _record_trial(journal, number, draw(space, number), given.epochs)
        store = Store.open(str(place / "store"))
        parent = store.start("search", kind="search")
        started = time.monotonic()
        spaces, facts = {space.family: space.model_dump(mode="json")}, {"data": "demo"}
        with Delivery(journal, store, parent, facts=facts, spaces=spaces, done=place / "delivered") as delivery:
            if not delivery.flush(3600):
                raise RuntimeError(f"{delivery.waiting} events were not delivered")
        print(f"{len(journal.events)} events delivered in {time.monotonic() - started:.1f} s")
        started = time.monotonic()
        command = [sys.executable, "-m", "leigh_mlops.leaderboard", "--store", str(place / "store")]
        subprocess.run(command, check=True, capture_output=True)
        board_s = time.monotonic() - started
        started = time.monotonic()
        trials = list(collect_trials(journal.events, space.family).values())
        table = pd.DataFrame([search_page_row(trial, trial.number == 1) for trial in trials])
        page = search_page(SearchRecords("Search", [space], table, metric_curves(trials), [], {}))
        page_s = time.monotonic() - started
        print(f"leaderboard {board_s:.1f} s; page {page_s:.1f} s, {len(page) / 2**20:.1f} MiB")
    report("1,000 trials", ours=max(board_s, page_s), reference=BAR_S, unit="s", bar=1.0)


def _record_trial(journal: Journal, number: int, config: dict[str, object], epochs: int) -> None:
    """Record a trial in the journal as a search would."""
    dice, family = random.Random(number), "resnext"
    journal.append(Drawn(family, number, config))
    for epoch in range(1, epochs + 1):
        loss = dice.random() / epoch
        metrics = {"val/log_loss": loss, "val/accuracy": 1 - loss, "val/wells/accuracy": 1 - loss, "train/seconds": 1.0}
        journal.append(EpochDone(family, number, config, "c", epoch, metrics, best_epoch=epoch, best=metrics))
    journal.append(Ended(family, number, "finished", seconds=float(epochs)))


if __name__ == "__main__":
    main()
