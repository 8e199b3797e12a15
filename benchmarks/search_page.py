"""Time to build the page of a search of 1,000 trials in one process, against ten seconds."""

import time

import numpy as np
import pandas as pd

from benchmarks.report import report
from leigh_mlops.report.search.search_page import SearchRecords, search_page
from leigh_mlops.settings import SearchSpace

TRIALS = 1000
EPOCHS = 40
SECONDS = 10.0
METRICS = ("val/log_loss", "val/inverse_error", "train/loss", "val/accuracy", "val/auc", "val/wells/accuracy")

SPACE = SearchSpace(
    family="resnext",
    metric="val/log_loss",
    objectives=[{"metric": "val/inverse_error"}],
    early_stopping="none",
    published={"learning_rate": 0.001, "batch_size": 15, "rotation_degrees": 10, "shift": 0.0},
    space={
        "learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
        "batch_size": [8, 15, 32],
        "rotation_degrees": {"low": 0, "high": 45},
        "shift": [0.0, 0.05],
    },
)


def simulate_records(rng: np.random.Generator) -> SearchRecords:
    """Simulate trials whose scores depend on their learning rate and noise."""
    rows, curves = [], []
    for number in range(1, TRIALS + 1):
        rate, batch = float(10 ** rng.uniform(-4, -2)), int(rng.choice([8, 15, 32]))
        config = {"learning_rate": rate, "batch_size": batch, "rotation_degrees": rng.uniform(0, 45), "shift": 0.05}
        values = 0.3 + abs(np.log10(rate) + 3) + np.exp(-np.arange(EPOCHS) / 6) + 0.02 * rng.normal(size=EPOCHS)
        metrics = {name: float(values.min() * rng.uniform(0.5, 1)) for name in METRICS}
        rows.append({
            "name": f"resnext-{number}", "number": number, "family": "resnext", "status": "finished", "error": None,
            "seconds": 60.0, "epochs": EPOCHS, "best_epoch": int(values.argmin()) + 1, "winner": number == 1,
            "config": config, "metrics": metrics,
        })  # fmt: skip
        about = {"run": f"resnext-{number}", "family": "resnext", "epoch": np.arange(1, EPOCHS + 1)}
        curves += [pd.DataFrame(about | {"metric": name, "value": values}) for name in METRICS]
    baseline = {"model": "baseline", "kind": "baseline", "wells/accuracy": 0.8}
    return SearchRecords("Search", [SPACE], pd.DataFrame(rows), pd.concat(curves), [baseline], {})


def main() -> None:
    """Build the page once, as a search does at its end."""
    found = simulate_records(np.random.default_rng(0))
    start = time.perf_counter()
    page = search_page(found)
    seconds = time.perf_counter() - start
    print(f"{len(page.encode()) / 1e6:.1f} MB, of which Plotly 4.8 MB")
    report("page of 1,000 trials", ours=seconds, reference=SECONDS, unit="s", bar=1.0)


if __name__ == "__main__":
    main()
