"""Estimates of the time and memory that a search takes."""

import heapq
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from leigh_mlops.images import FieldBatches
from leigh_mlops.models import MODELS
from leigh_mlops.models.device import default_device
from leigh_mlops.models.precision import resolve_precision
from leigh_mlops.search.checkpoint_count import checkpoints_to_keep
from leigh_mlops.search.core_division import divide_cores
from leigh_mlops.settings import SearchSpace, TrainingSettings
from leigh_mlops.study.spaces import weight_bytes
from leigh_mlops.training import (
    PreparedData,
    TrainingState,
    build_network,
    estimate_trial_memory,
    fit,
    is_adapted,
    place_network,
)
from leigh_mlops.training.epoch import LossOptions, train_batch
from leigh_mlops.training.objective import move_batch

__all__ = [
    "FamilyPlan",
    "count_processors",
    "divide_machine",
    "estimate_duration",
    "plan_families",
    "seconds_per_epoch",
]

# An image costs a forward pass and two passes back in training, and one forward pass in validation.
_VALIDATION_COST = 1 / 3

_STATES_OF_A_CHECKPOINT = 4  # weights, best weights, and two moments of each weight


@dataclass(frozen=True)
class FamilyPlan:
    """Extent of a family's search, as estimated from its published configuration on this machine.

    Attributes:
        space: Search space.
        epochs: Epochs of a trial.
        concurrent_trials: Trials at once.
        machine_share: Share of the machine, or of the workers, that each trial takes, above 0, at most 1.
        memory_bytes: Main memory of a trial.
        epoch_s: Seconds of an epoch.
        weights_bytes: Size of the weights of a network.
    """

    space: SearchSpace
    epochs: int
    concurrent_trials: int
    machine_share: float
    memory_bytes: int
    epoch_s: float
    weights_bytes: int

    def stored_networks(self, checkpoints: str) -> int:
        """Count the networks that the store keeps at most, by the choice of checkpoints."""
        return 1 if checkpoints == "none" else 2 * min(self.space.keep, self.space.trials)

    @property
    def checkpoint_bytes(self) -> int:
        """Estimate the bytes of all checkpoints while the search runs: network, best network and optimizer of each."""
        running = self.space.trials if self.space.algorithm == "pbt" else self.concurrent_trials
        kept = 0 if self.space.algorithm == "pbt" else min(self.space.keep, self.space.trials)
        states = _STATES_OF_A_CHECKPOINT * self.weights_bytes * self.space.folds
        return states * (running * checkpoints_to_keep(self.space) + kept)

    @property
    def trial_s(self) -> float:
        """Seconds of a trial, if it does not stop early."""
        return self.epoch_s * self.epochs

    @property
    def search_s(self) -> float:
        """Seconds of all trials, if the family is searched alone and none stops early."""
        return self.trial_s * math.ceil(self.space.trials / self.concurrent_trials)


def estimate_duration(plans: Sequence[FamilyPlan]) -> float:
    """Seconds of all families, which share the machine where there is room, if no trial stops early.

    Trials start in order as soon as their share of the machine is free. A population shares with nobody, see
    :func:`~leigh_mlops.search.run_families.run_families`.
    """
    now, running = 0.0, list[tuple[float, float]]()
    for plan in plans:
        if plan.space.algorithm == "pbt":
            now = max([now, *(end for end, _ in running)]) + plan.search_s
            running.clear()
            continue
        for _ in range(plan.space.trials):
            while running and sum(share for _, share in running) + plan.machine_share > 1 + 1e-9:
                now = max(now, heapq.heappop(running)[0])
            heapq.heappush(running, (now + plan.trial_s, plan.machine_share))
    return max([now, *(end for end, _ in running)])


def count_processors() -> tuple[int, int]:
    """Count the cores and GPUs of this machine that may be used."""
    return len(os.sched_getaffinity(0)), torch.cuda.device_count()


def plan_families(
    spaces: Sequence[SearchSpace], at_size: Callable[[int], PreparedData], workers: int | None
) -> list[FamilyPlan]:
    """Estimate time and memory of each family's search.

    Args:
        spaces: One search space per family.
        at_size: Returns the study's data at an image size.
        workers: Maximal number of concurrent trials; by default as many as this machine holds.
    """
    return [_plan_family(space, at_size(space.image_size), workers) for space in spaces]


def _plan_family(space: SearchSpace, data: PreparedData, workers: int | None) -> FamilyPlan:
    settings = TrainingSettings.from_flat(space.published)
    cores, gpus = count_processors()
    concurrent, share = divide_machine(space, cores, gpus, workers)
    # Each of several GPUs of a trial takes its part of every batch.
    divisor = max(1, int(space.resources.gpus)) if gpus else 1
    return FamilyPlan(
        space=space,
        epochs=settings.epochs,
        concurrent_trials=concurrent,
        machine_share=share,
        memory_bytes=estimate_trial_memory(space.family, settings, data, folds=space.folds),
        epoch_s=seconds_per_epoch(space, data) * space.folds / divisor,
        weights_bytes=weight_bytes(space, len(data.channels)),
    )


def divide_machine(space: SearchSpace, cores: int, gpus: int, workers: int | None) -> tuple[int, float]:
    """Number of trials of a family at once, and share of the machine, or of the workers, that each takes.

    Args:
        space: Search space.
        cores: Cores of the machine.
        gpus: Its GPUs.
        workers: Maximal number of concurrent trials; by default as many as the machine holds.
    """
    resources = space.resources
    if gpus and resources.gpus:
        fit, share = int(gpus / resources.gpus), resources.gpus / gpus
    else:
        fit = int(cores // resources.cpus)
        places = max(1, min(workers or fit, fit))
        # Where the user says how many trials run at once, those of other families make up the number.
        trials = max(space.trials, places) if workers else space.trials
        share = divide_cores(cores, cores, trials, places, resources.cpus) / cores
    concurrent = max(1, min(workers or fit, fit, space.trials))
    return concurrent, min(1.0, max(share, 1 / workers if workers else 0.0))


def seconds_per_epoch(space: SearchSpace, data: PreparedData) -> float:
    """Estimate the seconds of an epoch of the published configuration on this machine from two batches."""
    settings = TrainingSettings.from_flat(space.published | {"init": "random"})
    device = default_device()
    precision = resolve_precision(settings.precision, device.type, MODELS[space.family].trains_in_bf16)
    model = place_network(build_network(space.family, settings, data, seed=0), device, precision)
    state = TrainingState.start(
        model,
        optimizer=settings.optimizer,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        seed=0,
    )
    scale, size = data.scale(settings.intensity), settings.batch_size
    train, val = data.rows("train"), data.rows("val")
    sample = train[: 2 * size], val[:size]
    controls = data.plate_controls() if is_adapted(space.family, settings, data) else None
    batches = [data.batches_from_rows(rows, scale, size, controls=controls) for rows in sample]
    if model.task == "cluster":  # a sample has too few fields for its clusters
        images = len(train) + _VALIDATION_COST * (len(train) + len(val))
        return _seconds_per_image(state, batches[0], precision) * images
    epochs = list(fit(state, *batches, wells=list(data.wells), epochs=2, metric=space.metric, precision=precision))
    sample_cost, epoch_cost = (len(first) + _VALIDATION_COST * len(second) for first, second in (sample, (train, val)))
    return epochs[-1].metrics["train/seconds"] * epoch_cost / sample_cost


def _seconds_per_image(state: TrainingState, batches: FieldBatches, precision: str) -> float:
    """Seconds of a training step by images, in the second of two epochs, whatever the labels."""
    device, options = next(state.model.parameters()).device, LossOptions(precision=precision)
    same, started = replace(batches, labels=np.zeros(len(batches.rows), np.int64)), 0.0
    state.model.train()
    for epoch in range(2):
        started = time.perf_counter()
        for batch in same.epoch(epoch):
            train_batch(state, move_batch(batch, device), options, None)
    return (time.perf_counter() - started) / len(same.rows)
