"""Trial in a worker: epochs and their checkpoints, reported to Tune."""

import json
import math
import os
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ray
import torch
import torch._dynamo  # otherwise imported by the first estimate of memory and the first step of each trial
from ray import tune

from leigh_mlops.errors import LeighError
from leigh_mlops.search.machine_faults import halt_reason, is_disk_full, is_machine_lost
from leigh_mlops.search.request import CHECKPOINT_KEY, NUMBER_KEY, THREADS_KEY, SearchRequest
from leigh_mlops.settings import SearchSpace, TrainingSettings
from leigh_mlops.training import (
    DividedTrial,
    EpochResult,
    LostProcessError,
    PreparedData,
    run_divided_trial,
    run_trial,
    save_checkpoint,
)

__all__ = ["trial_hyperparameters", "build_trainable"]

_BEST_FILE = "best.json"


def trial_hyperparameters(config: dict[str, Any]) -> dict[str, Any]:
    """Hyperparameters of a trial: its configuration without the keys for Tune."""
    return {key: value for key, value in config.items() if key not in (NUMBER_KEY, CHECKPOINT_KEY, THREADS_KEY)}


def build_trainable(request: SearchRequest) -> Callable[[dict[str, Any]], None]:
    """Build the function that a worker runs for each trial."""
    space, data, seed = request.space, str(request.data), request.seed

    def train(config: dict[str, Any]) -> None:
        _run_safely(config, space=space, data=data, seed=seed)

    # Tune finds functions by their names, of which each family that is searched at the same time needs its own.
    train.__name__ = request.folder.name
    return train


def _run_safely(config: dict[str, Any], *, space: SearchSpace, data: str, seed: int) -> None:
    """Run a trial in a worker; errors of the trial would recur and are reported as its result."""
    try:
        prepared = PreparedData.load(Path(data))
    except (LeighError, OSError) as error:
        tune.report({space.metric: math.nan, "failed": str(error), "trace": "", "halt": halt_reason(error)})
        return
    try:
        _train_and_report(config, space, prepared, Path(data), seed)
    except LostProcessError:
        os._exit(1)  # Tune repeats the epoch, as after the death of the worker itself
    except Exception as error:
        machine_fault = is_disk_full(error) or is_machine_lost(error)
        trace = "" if isinstance(error, LeighError) else traceback.format_exc()
        failed = " ".join(str(error).split()) or type(error).__name__
        report = {"failed": failed, "trace": trace, "halt": halt_reason(error) if machine_fault else ""}
        tune.report({space.metric: math.nan} | report)


def _train_and_report(config: dict[str, Any], space: SearchSpace, data: PreparedData, folder: Path, seed: int) -> None:
    torch.set_num_threads(config[THREADS_KEY])
    resumed = tune.get_checkpoint()
    start = Path(resumed.path) if resumed else Path(config[CHECKPOINT_KEY]) if config[CHECKPOINT_KEY] else None
    best = json.loads((start / _BEST_FILE).read_text()) if start else {}
    settings = TrainingSettings.from_flat(trial_hyperparameters(config))
    for epoch in _train_on_gpus(space, settings, data, folder, seed, start):
        for objective in space.all_objectives:
            if objective.metric not in epoch.metrics:
                raise LeighError(
                    f"{objective.metric!r} is not a score of {space.family}; choose one of {', '.join(epoch.metrics)}."
                )
        if epoch.state.best_epoch == epoch.number:
            best = epoch.metrics
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
            save_checkpoint(epoch.state, Path(temporary))
            (Path(temporary) / _BEST_FILE).write_text(json.dumps(best))
            report = {"epoch": epoch.number, "best_epoch": epoch.state.best_epoch, "best": best}
            report |= {"metrics": epoch.metrics} | {space.metric: epoch.metrics[space.metric]}
            tune.report(report, checkpoint=tune.Checkpoint.from_directory(temporary))


def _train_on_gpus(
    space: SearchSpace, settings: TrainingSettings, data: PreparedData, folder: Path, seed: int, start: Path | None
) -> Iterator[EpochResult]:
    """Train on all GPUs that Ray gave to this worker, with a process for each where they are several."""
    options: dict[str, Any] = {"metric": space.metric, "mode": space.mode, "folds": space.folds}
    options |= {"seed": seed, "checkpoint": start}
    gpus = len(ray.get_gpu_ids())
    if gpus > 1:
        torch.set_num_threads(max(1, torch.get_num_threads() // gpus))
        return run_divided_trial(DividedTrial(space.family, settings, folder, options), gpus)
    return run_trial(space.family, settings, data, **options)
