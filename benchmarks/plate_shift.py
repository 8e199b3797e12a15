"""Accuracy on plates that a network has not seen, adapted to them by their negative controls or not.

Draws six plates that differ in gain, offset, focus and density of the cells, trains a compact ResNeXt on wells of
four of them, and scores it on the other wells of these plates and on the two other plates. ``python -m
benchmarks.plate_shift`` takes half an hour on one core; ``--seeds 1`` a third of it.

Prints means over the sets of plates with their standard errors. The exit code is 1 if the adapted network loses more
than 0.02 of its accuracy on new plates or more than half of what the network that is not adapted loses, or if its
balanced accuracy on plates with 90 % of one class is lower than that of the latter.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from leigh_mlops.images import open_cache
from leigh_mlops.models import Network
from leigh_mlops.plates import DemoDesign, find_images, fold_split, write_demo_plate
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.scores import all_scores
from leigh_mlops.settings import TrainingSettings
from leigh_mlops.training import PreparedData, predict, run_trial

Doubles = npt.NDArray[np.float64]

CLASSES = ("DS", "WT")
MOST_LOST = 0.02
SETTINGS = {
    "intensity": "log",
    "batch_size": 24,
    "quarter_turns": True,
    "architecture.layers": [1, 1, 1, 1],
    "architecture.groups": 8,
    "lr_schedule": "cosine",
}
METHODS = {
    "nothing": ("training", "none"),
    "adaptation": ("training", "controls"),
    "intensity scale by controls": ("controls", "none"),
    "both": ("controls", "controls"),
}
"""Values of --scale-by and adaptation."""


def draw_plates(folder: Path, design: DemoDesign, new_shift: float) -> Path:
    """Draw six plates, of which the last two differ from the average plate by a shift of their own."""
    plates = write_demo_plate(folder, design)
    shifted = write_demo_plate(folder.with_name(f"{folder.name}-shifted"), replace(design, plate_shift=new_shift))
    for name in ("plate5", "plate6"):
        shutil.rmtree(plates / name)
        (shifted / name).rename(plates / name)
    return plates


def prepare(folder: Path, seed: int, asked: argparse.Namespace) -> PreparedData:
    """Draw six plates and read them."""
    design = DemoDesign(
        classes=CLASSES, wells_per_class=asked.wells, fields_per_well=2, image_size_px=asked.size, seed=seed, plates=6,
        plate_shift=asked.shift,
    )  # fmt: skip
    new_shift = asked.shift if asked.new_shift is None else asked.new_shift
    found = find_images(draw_plates(folder / f"plates-{seed}", design, new_shift))
    table = found.table.assign(Metadata_Split=None)
    return PreparedData(
        table, tuple(found.channels), CLASSES, open_cache(table, found.channels, asked.size, folder / "cache")
    )


def keep_rows(data: PreparedData, rows: npt.NDArray[np.int64]) -> PreparedData:
    """Data of some rows alone."""
    cache = replace(
        data.cache, pixels=data.cache.pixels[rows], digests=data.cache.digests[rows],
        quality=data.cache.quality.iloc[rows].reset_index(drop=True), failures=(),
    )  # fmt: skip
    return replace(data, table=data.table.iloc[rows].reset_index(drop=True), cache=cache)


def one_sided(data: PreparedData, label: int, share: float = 0.9) -> PreparedData:
    """Data in which each plate has so large a share of wells of one class, the others' wells being taken away."""
    kept = []
    plates = data.table[Metadata.PLATE].to_numpy(str)
    for plate in np.unique(plates):
        many, few = (
            np.unique(data.wells[(plates == plate) & chosen]) for chosen in (data.labels == label, data.labels != label)
        )
        kept += [*many, *few[: max(2, round(len(many) * (1 - share) / share))]]
    return keep_rows(data, np.flatnonzero(np.isin(data.wells, kept)))


def train(data: PreparedData, adaptation: str, seed: int, epochs: int) -> Network:
    """Train a network, and keep its best epoch."""
    settings = TrainingSettings.from_flat(SETTINGS | {"adaptation": adaptation, "epochs": epochs})
    for result in run_trial("resnext", settings, data, metric="val/log_loss", seed=seed):
        state = result.state
    state.model.load_state_dict(state.best_weights)
    return state.model


def score(
    model: Network, learned: PreparedData, data: PreparedData, part: str | None, adaptation: str
) -> dict[str, float]:
    """Scores per well of a part of some data, of plates that the network knows or not."""
    known = (data.table[Metadata.SPLIT] == "train").to_numpy(bool, na_value=False)
    controls = data.plate_controls(known) if adaptation == "controls" else None
    scale, rows = learned.scale(str(SETTINGS["intensity"])), data.rows(part)
    outputs = predict(model, data.batches_from_rows(rows, scale, 16, controls=controls))
    wells = list(data.wells[outputs.rows])
    scores = all_scores(wells, outputs.labels, outputs.values, data.classes)
    return {name: scores[f"wells/{name}"] for name in ("accuracy", "balanced_accuracy", "auc")}


def measure(seed: int, folder: Path, asked: argparse.Namespace) -> Iterator[dict[str, object]]:
    """Scores of each method on one set of plates."""
    data = prepare(folder, seed, asked)
    plates = data.table[Metadata.PLATE].to_numpy(str)
    names = np.unique(plates)
    inside, outside = (keep_rows(data, np.flatnonzero(np.isin(plates, some))) for some in (names[:4], names[4:]))
    split = fold_split(inside.table, 1, 4, "well", seed)
    inside = replace(inside, table=inside.table.assign(Metadata_Split=split))
    unseen = {"new plates": outside}
    unseen |= {f"90 % {name}": one_sided(outside, label) for label, name in enumerate(CLASSES)}
    for method in asked.methods:
        scale_by, adaptation = METHODS[method]
        learned, sets = inside, dict(unseen)
        if scale_by == "controls":
            learned = inside.scale_by_controls((split == "train").to_numpy(bool))
            sets = {
                name: each.scale_by_controls(np.zeros(len(each.table), bool), learned.controls)
                for name, each in sets.items()
            }
        begun = time.perf_counter()
        model = train(learned, adaptation, seed, asked.epochs)
        seconds = time.perf_counter() - begun
        scores = {"within plates": score(model, learned, learned, "test", adaptation)}
        scores |= {name: score(model, learned, each, None, adaptation) for name, each in sets.items()}
        for name, found in scores.items():
            yield {"seed": seed, "method": method, "wells": name, **found, "seconds": seconds}


def scores_by_set(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """A score by method and set of plates (rows) and by wells (columns)."""
    return table.pivot_table(index=["method", "seed"], columns="wells", values=name, sort=False)


def show_means(title: str, scores: pd.DataFrame | pd.Series) -> None:
    """Print means over the sets of plates with their standard errors."""
    sets = pd.DataFrame(scores).groupby("method", sort=False)
    shown = sets.mean().map("{:.3f} ± ".format) + sets.sem().map("{:.3f}".format)
    print(f"\n{title}\n{shown.to_string()}")


def missed_bars(table: pd.DataFrame) -> list[str]:
    """Print what is lost on new plates and what adaptation gains; name the bars that it misses."""
    accuracy, balanced = (scores_by_set(table, name) for name in ("accuracy", "balanced_accuracy"))
    lost = (accuracy["within plates"] - accuracy["new plates"]).rename("lost")
    show_means("accuracy lost on new plates", lost)
    missed = []
    if "adaptation" in lost.index and lost.loc["adaptation"].mean() > MOST_LOST:
        missed.append("accuracy on new plates")
    if {"nothing", "adaptation"} <= set(table["method"]):
        adapted, plain = lost.loc["adaptation"], lost.loc["nothing"]
        if not plain.mean() > 2 * plain.sem():
            print("\nhalved loss not judged: without adaptation, less than two standard errors are lost")
        elif adapted.mean() > plain.mean() / 2:
            missed.append("halved loss")
        gained = {
            name: scores.loc["adaptation"] - scores.loc["nothing"]
            for name, scores in (("accuracy", accuracy), ("balanced accuracy", balanced))
        }
        show_means("gained by adaptation", pd.concat(gained, names=["method"]))
        uneven = gained["balanced accuracy"].filter(like="90 %").mean()
        missed += [f"balanced accuracy, {name}" for name in uneven.index[uneven < 0]]
    return missed


def main() -> int:
    """Measure and print the means over the sets of plates; 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="sets of six plates")
    parser.add_argument("--first", type=int, default=0, help="seed of the first set")
    parser.add_argument("--size", type=int, default=32, help="image side in pixels")
    parser.add_argument("--wells", type=int, default=24, help="wells per class and plate")
    parser.add_argument("--shift", type=float, default=1.0, help="plate_shift of the plates")
    parser.add_argument("--new-shift", type=float, default=None, help="plate_shift of the two new plates, if different")
    parser.add_argument("--epochs", type=int, default=14)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--json", type=Path, default=None)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as temporary:
        for seed in range(asked.first, asked.first + asked.seeds):
            for row in measure(seed, Path(temporary), asked):
                print(json.dumps(row), flush=True)
                rows.append(row)
    if asked.json is not None:
        asked.json.write_text(json.dumps(rows, indent=2) + "\n")
    table = pd.DataFrame(rows)
    for name in ("accuracy", "balanced_accuracy", "auc"):
        show_means(f"{name} per well, mean of {asked.seeds} sets of plates", scores_by_set(table, name))
    missed = missed_bars(table)
    print(f"\nbars missed: {', '.join(missed) or 'none'}")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
