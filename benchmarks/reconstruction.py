"""Errors of plain and variational autoencoders, and how many fields the limit of errors flags.

Trains an autoencoder in patches for 20 epochs at 64 px on the DS/TT plate, plain and variational, and once on the
wells of DS alone, whose limit is then applied to wells that it has not seen, of DS and of TT. ``python -m
benchmarks.reconstruction LEIGH_DS_TT`` takes four minutes of one core.
"""

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from rich.console import Console

from leigh_mlops.images import IntensityScale
from leigh_mlops.models import Network
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.settings import TrainingSettings
from leigh_mlops.study.prepare import DataSource, divide_data, find_data, prepare_data
from leigh_mlops.study.reference_statistics import error_limit
from leigh_mlops.training import Outputs, PreparedData, predict, run_trial

SIZE_PX, BATCH = 64, 32
SETTINGS = {
    "learning_rate": 0.003,
    "batch_size": 20,
    "epochs": 20,
    "intensity": "log",
    "lr_schedule": "cosine",
    "warmup_epochs": 2,
    "quarter_turns": True,
    "architecture.design": "patches",
}
VARIANTS: dict[str, dict[str, object]] = {
    "plain": {},
    "variational, kl_weight 1": {"architecture.variational": True},
    "variational, kl_weight 0.1": {"architecture.variational": True, "kl_weight": 0.1},
}


def prepare(folder: Path, condition: str | None = None) -> PreparedData:
    """Read the plate without use of its labels, or the wells of one class alone."""
    source, console = DataSource(folder), Console(quiet=True)
    table, channels, classes = find_data(source, console)
    if condition is not None:
        table, classes = table[table[Metadata.CONDITION] == condition].reset_index(drop=True), (condition,)
    divided = divide_data((table, channels, classes), source, console, needs_labels=False)
    return prepare_data(source, *divided, SIZE_PX, console, needs_labels=False)


def train(data: PreparedData, changes: dict[str, object]) -> tuple[Network, IntensityScale]:
    """Train a network and return that of its best epoch, with its intensity scale."""
    settings = TrainingSettings.from_flat(SETTINGS | changes)
    for result in run_trial("autoencoder", settings, data, metric="val/mse", seed=0):
        state = result.state
    state.model.load_state_dict(state.best_weights)
    return state.model.eval(), data.scale(settings.intensity)


def share_above(limit: float, outputs: Outputs) -> float:
    """Share of the fields whose error exceeds a limit."""
    return float((mean_errors(outputs) > limit).mean())


def mean_errors(outputs: Outputs) -> npt.NDArray[np.float64]:
    """Mean squared error of each field, shape (n,)."""
    return outputs.values[:, 0]  # noqa: PD011


def compare(data: PreparedData) -> pd.DataFrame:
    """Errors of each variant on the test wells, parts of its ELBO, and the share of test fields that are flagged."""
    rows = []
    for name, changes in VARIANTS.items():
        model, scale = train(data, changes)
        outputs = predict(model, data.batches("test", scale, BATCH))
        flagged = share_above(error_limit(model, scale, data)["limit"], outputs)
        found = {"network": name, "mse": float(mean_errors(outputs).mean()), "flagged": flagged}
        rows.append(found | outputs.extra_measures)
    return pd.DataFrame(rows)


def main() -> None:
    """Print the errors of the variants, and the shares that a network of DS alone flags."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder of the DS/TT plate")
    folder = parser.parse_args().data
    torch.set_num_threads(1)
    whole = prepare(folder)
    print(compare(whole).round(4).to_string(index=False))
    single = prepare(folder, "DS")
    model, scale = train(single, {})
    limit = error_limit(model, scale, single)["limit"]
    others = whole.rows()[whole.labels[whole.rows()] == whole.classes.index("TT")]
    for name, data, rows in (("unseen DS", single, single.rows("test")), ("TT", whole, others)):
        outputs = predict(model, data.batches_from_rows(rows, scale, BATCH))
        median = np.median(mean_errors(outputs))
        print(f"{name}: {share_above(limit, outputs):.3f} of {len(rows)} fields are flagged; median error {median:.3f}")


if __name__ == "__main__":
    main()
