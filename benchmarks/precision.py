"""Training epochs in fp32 and bf16 autocast, contiguous and with channels last, of each family on real fields.

``python -m benchmarks.precision FOLDER`` trains the networks of the preset ``quick`` on all training fields; each seed
has its own weights and order. ``--preset published --image-size 224 --fields 64 --epochs 2`` times the published
networks on a few fields; losses then say nothing. Ways alternate by epoch. The bar is that bf16 with channels last
takes at most 0.9 of the processor time of fp32; its score should be at most one standard deviation between the seeds of
fp32 worse, which is printed.
"""

import argparse
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console

from benchmarks.report import report
from benchmarks.turns import processor_seconds
from leigh_mlops.images import Augmentation
from leigh_mlops.settings import SearchSpace, TrainingSettings
from leigh_mlops.study.prepare import DataSource, divide_data, find_data, prepare_data
from leigh_mlops.train import assignments
from leigh_mlops.training import EpochResult, PreparedData, TrainingState, build_network, fit
from leigh_mlops.tune import configure_search, load_spaces

LAYOUTS = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last}
REFERENCE, CHOSEN = "fp32, contiguous", "bf16, channels last"
WAYS = (REFERENCE, "fp32, channels last", "bf16, contiguous", CHOSEN)
MOST_TIME = 0.9


@dataclass
class EpochFigures:
    """Times and scores of epochs that are trained in one way.

    Attributes:
        seconds: Processor seconds of each epoch after the first, in which kernels are chosen.
        scores: Score of the last epoch of each seed.
        inverse_errors: Error of the inverse after the last epoch of each seed; empty without an inverse.
        bounds: Largest certified Lipschitz bound of a residual block of each seed; empty without one.
    """

    seconds: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    inverse_errors: list[float] = field(default_factory=list)
    bounds: list[float] = field(default_factory=list)

    def add_epoch(self, seconds: float, result: EpochResult, metric: str, *, first: bool, last: bool) -> None:
        """Add an epoch; scores are those of the last one."""
        if not first:
            self.seconds.append(seconds)
        if not last:
            return
        self.scores.append(result.metrics[metric])
        if "val/inverse_error" in result.metrics:
            self.inverse_errors.append(result.metrics["val/inverse_error"])
            self.bounds.append(max(result.state.model.eval().certificate()["lipschitz"].values()))

    def describe(self) -> str:
        """Describe the medians and means in a line."""
        text = f"{statistics.median(self.seconds):8.2f} s, score {statistics.fmean(self.scores):.4f}"
        if self.inverse_errors:
            text += f", inverse error {max(self.inverse_errors):.1e}, largest bound {max(self.bounds):.3f}"
        return text


def spread_rows(rows: npt.NDArray[np.int64], count: int | None) -> npt.NDArray[np.int64]:
    """Take so many rows, spread over all of them; all where no number is given."""
    return rows if count is None else rows[:: max(1, len(rows) // count)][:count]


def train_epochs(
    space: SearchSpace, data: PreparedData, way: str, seed: int, args: argparse.Namespace
) -> Iterator[EpochResult]:
    """Train a network in one way from the weights of a seed; yield each epoch."""
    precision, layout = way.split(", ")
    settings = TrainingSettings.from_flat(space.published | {"init": "random"})
    model = build_network(space.family, settings, data, seed).to(memory_format=LAYOUTS[layout])
    state = TrainingState.start(
        model,
        optimizer=settings.optimizer,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        seed=seed,
        momentum=settings.momentum,
    )
    scale, size = data.scale(settings.intensity), settings.batch_size
    train, val = (spread_rows(data.rows(part), args.fields) for part in ("train", "val"))
    augmentation = Augmentation(settings.flip, settings.rotation_degrees, settings.quarter_turns)
    yield from fit(
        state,
        data.batches_from_rows(train, scale, size, augmentation=augmentation, seed=seed),
        data.batches_from_rows(val, scale, size),
        wells=list(data.wells),
        epochs=settings.epochs,
        metric=space.metric,
        mode=space.mode,
        lr_schedule=settings.lr_schedule,
        lr_step_epochs=settings.lr_step_epochs,
        lr_step_factor=settings.lr_step_factor,
        warmup_epochs=settings.warmup_epochs,
        precision=precision,
        beta=settings.loss_weight,
    )


def measure(space: SearchSpace, data: PreparedData, args: argparse.Namespace) -> dict[str, EpochFigures]:
    """Train in all ways from each seed, in turns of one epoch."""
    found = {way: EpochFigures() for way in args.ways}
    epochs = TrainingSettings.from_flat(space.published).epochs
    for seed in range(args.seeds):
        trainings = {way: train_epochs(space, data, way, seed, args) for way in args.ways}
        for number in range(1, epochs + 1):
            for way, training in trainings.items():
                before = processor_seconds()
                result = next(training)
                took, is_last = processor_seconds() - before, number == epochs
                found[way].add_epoch(took, result, space.metric, first=number == 1, last=is_last)
    return found


def summarise(space: SearchSpace, found: dict[str, EpochFigures]) -> None:
    """Print the ways of a family, and how far the chosen one is from the reference."""
    for way, measured in found.items():
        print(f"  {way:20} {measured.describe()}", flush=True)
    ours, reference = found[CHOSEN], found[REFERENCE]
    share = statistics.median(ours.seconds) / statistics.median(reference.seconds)
    sign = 1 if space.mode == "min" else -1
    worse = sign * (statistics.fmean(ours.scores) - statistics.fmean(reference.scores))
    spread = statistics.stdev(reference.scores) if len(reference.scores) > 1 else 0.0
    print(f"  time {share:.2f} of fp32; {space.metric} worse by {worse:.4f}, seeds of fp32 differ by {spread:.4f}")
    report(f"epoch of {space.family} in bf16", ours=share, reference=1.0, unit="of the time in fp32", bar=MOST_TIME)


def main() -> None:
    """Measure each family."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--families", nargs="+", default=["resnext", "backbone", "autoencoder", "iresnet", "deepcluster"]
    )
    parser.add_argument("--preset", choices=["quick", "published"], default="quick")
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--fields", type=int, help="training and validation fields, each; by default all")
    parser.add_argument(
        "--set", nargs="+", default=[], help="hyperparameters, such as architecture.backbone=densenet121"
    )
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    args = parser.parse_args()
    if not {REFERENCE, CHOSEN} <= set(args.ways):
        parser.error(f"--ways needs {REFERENCE!r} and {CHOSEN!r}, which are compared")
    console, source = Console(), DataSource(args.folder)
    divided = divide_data(find_data(source, console), source, console)
    data = prepare_data(source, *divided, args.image_size, console)
    for space in load_spaces(None, requested=True):
        if space.family in args.families:
            limits = {"trials": None, "epochs": args.epochs, "image_size": args.image_size}
            chosen = configure_search(space, args.preset, **limits).fix_hyperparameters(assignments(args.set))
            print(f"{space.family}, {args.preset}, {args.image_size} px, epochs of {args.fields or 'all'} fields")
            summarise(chosen, measure(chosen, data, args))


if __name__ == "__main__":
    main()
