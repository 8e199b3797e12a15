"""Preview of a search, with estimates of its time and memory."""

import os
from collections.abc import Callable, Sequence

import torch
from rich.console import Console
from rich.table import Table

from leigh_mlops.report.sentences import format_count
from leigh_mlops.settings import Choice, SearchSpace, TrainingSettings
from leigh_mlops.training import PreparedData, TrainingState, build_network, estimate_trial_memory, fit

__all__ = ["seconds_per_epoch", "show_plan"]

# An image costs a forward pass and two passes back in training, and one forward pass in validation.
_VALIDATION_COST = 1 / 3


def show_plan(
    spaces: Sequence[SearchSpace],
    at_size: Callable[[int], PreparedData],
    console: Console,
    *,
    workers: int | None,
    address: str | None,
    time_budget_s: float | None = None,
) -> None:
    """Show each family's trials, varied settings, memory, and time on this machine."""
    cores, gpus = len(os.sched_getaffinity(0)), torch.cuda.device_count()
    where = (
        f"the Ray cluster {address}"
        if address
        else f"this machine ({format_count(cores, 'core')}, {format_count(gpus, 'GPU')})"
    )
    console.print(f"Would search on {where}; times and memory are of the published configurations here.", markup=False)
    table = Table("family", "trials", "epochs", "px", "at once", "memory", "s per epoch", "in all, at most")
    total = 0.0
    for space in spaces:
        data, settings = at_size(space.image_size), TrainingSettings.from_flat(space.published)
        held = gpus / space.resources.gpus if gpus and space.resources.gpus else cores // space.resources.cpus
        at_once = max(1, min(workers or int(held), space.trials))
        seconds = seconds_per_epoch(space, data) * space.folds
        whole = seconds * settings.epochs * space.trials / at_once
        total += whole
        memory = estimate_trial_memory(space.family, settings, data, folds=space.folds)
        cells = (
            space.trials,
            settings.epochs,
            space.image_size,
            at_once,
            f"{memory / 2**30:.1f} GiB",
            f"{seconds:.1f}",
        )
        table.add_row(space.family, *map(str, cells), _duration(whole))
    console.print(table)
    for space in spaces:
        console.print(
            f"{space.family} varies {', '.join(map(_describe_domain, space.ordered_space)) or 'nothing'}.", markup=False
        )
    total = min(total, time_budget_s or total)
    stops = " (early stopping ends most trials before)" if any(s.early_stopping != "none" for s in spaces) else ""
    console.print(f"In all at most {_duration(total)}{stops}. Nothing was trained; leave out --dry-run to begin.")


def seconds_per_epoch(space: SearchSpace, data: PreparedData) -> float:
    """Estimate the seconds of an epoch of the published configuration on this machine from two batches."""
    settings = TrainingSettings.from_flat(space.published | {"init": "random"})
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = build_network(space.family, settings, data, seed=0).to(device)
    state = TrainingState.start(
        model,
        optimizer=settings.optimizer,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        seed=0,
    )
    scale, size = data.scale(settings.intensity), settings.batch_size
    train, val = data.rows("train"), data.rows("val")
    tried = train[: 2 * size], val[:size]
    batches = [data.batches_from_rows(rows, scale, size) for rows in tried]
    epochs = list(
        fit(state, *batches, wells=list(data.wells), epochs=2, metric=space.metric, precision=settings.precision)
    )
    done, all_of_it = (len(first) + _VALIDATION_COST * len(second) for first, second in (tried, (train, val)))
    return epochs[-1].metrics["train/seconds"] * all_of_it / done


def _describe_domain(item: tuple[str, object]) -> str:
    key, domain = item
    return f"{key} ({len(domain.values)} choices)" if isinstance(domain, Choice) else key


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
