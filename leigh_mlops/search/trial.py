"""A trial in its worker: epochs and their checkpoints, told to Tune."""

import functools
import json
import math
import os
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from ray import tune

from leigh_mlops.errors import LeighError
from leigh_mlops.search.failures import halt, is_full, is_lost
from leigh_mlops.search.request import CHECKPOINT, NUMBER, SearchRequest
from leigh_mlops.settings import SearchSpace, TrainingSettings
from leigh_mlops.training import PreparedData, run_trial, save_checkpoint

__all__ = ["hyperparameters_of", "trainable"]

_BEST = "best.json"


def hyperparameters_of(config: dict[str, Any]) -> dict[str, Any]:
    """A trial's configuration without what Tune alone needs to know."""
    return {key: value for key, value in config.items() if key not in (NUMBER, CHECKPOINT)}


def trainable(request: SearchRequest) -> Callable[[dict[str, Any]], None]:
    """What a worker runs for each trial."""
    return functools.partial(_trial, space=request.space, data=str(request.data), seed=request.seed)


def _trial(config: dict[str, Any], *, space: SearchSpace, data: str, seed: int) -> None:
    """Runs in a worker; what goes wrong by itself would go wrong again, and is a result."""
    try:
        prepared = PreparedData.load(Path(data))
    except (LeighError, OSError) as error:
        tune.report({space.metric: math.nan, "failed": str(error), "trace": "", "halt": halt(error)})
        return
    try:
        _run(config, space, prepared, seed)
    except Exception as error:
        ill = is_full(error) or is_lost(error)
        trace = "" if isinstance(error, LeighError) else traceback.format_exc()
        failed = " ".join(str(error).split()) or type(error).__name__
        report = {"failed": failed, "trace": trace, "halt": halt(error) if ill else ""}
        tune.report({space.metric: math.nan} | report)


def _run(config: dict[str, Any], space: SearchSpace, data: PreparedData, seed: int) -> None:
    torch.set_num_threads(max(1, int(os.environ.get("OMP_NUM_THREADS", "1"))))
    resumed = tune.get_checkpoint()
    start = Path(resumed.path) if resumed else Path(config[CHECKPOINT]) if config[CHECKPOINT] else None
    best = json.loads((start / _BEST).read_text()) if start else {}
    epochs = run_trial(
        space.family,
        TrainingSettings.from_flat(hyperparameters_of(config)),
        data,
        metric=space.metric,
        mode=space.mode,
        seed=seed,
        checkpoint=start,
        folds=space.folds,
    )
    for epoch in epochs:
        for objective in space.all_objectives:
            if objective.metric not in epoch.metrics:
                raise LeighError(
                    f"{objective.metric!r} is no score of {space.family}; choose one of {', '.join(epoch.metrics)}."
                )
        if epoch.state.best_epoch == epoch.number:
            best = epoch.metrics
        with tempfile.TemporaryDirectory() as temporary:
            save_checkpoint(epoch.state, Path(temporary))
            (Path(temporary) / _BEST).write_text(json.dumps(best))
            report = {"epoch": epoch.number, "best_epoch": epoch.state.best_epoch, "best": best}
            report |= {"metrics": epoch.metrics} | {space.metric: epoch.metrics[space.metric]}
            tune.report(report, checkpoint=tune.Checkpoint.from_directory(temporary))
