"""Searches that last seconds."""

import copy
import math
import threading
from typing import Any

from leigh_mlops.events import Outcome, TrialEvent
from leigh_mlops.search import SearchRequest
from leigh_mlops.search.run_search import run_search
from leigh_mlops.settings import SearchSpace
from leigh_mlops.trials import Trial, update_trials


def space(**changes: Any) -> SearchSpace:
    values = {
        "family": "autoencoder",
        "metric": "val/mse",
        "early_stopping": "none",
        "trials": 3,
        "image_size": 32,
        "published": {"learning_rate": 0.001, "batch_size": 8, "epochs": 2, "flip": 0.5},
        "space": {"learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}, "flip": [0.0, 0.5]},
    }
    return SearchSpace.model_validate(values | changes)


def found(
    request: SearchRequest, stop: threading.Event | None = None, longest_wait_s: float = math.inf
) -> tuple[Outcome, list[Trial], list[TrialEvent]]:
    """Search; returns how it ended, its trials and what was told."""
    told: list[TrialEvent] = []
    trials = {trial.number: trial for trial in copy.deepcopy(request.trials)}
    how = run_search(request, told.append, stop, longest_wait_s)
    for event in told:
        update_trials(trials, event)
    return how, [trials[number] for number in sorted(trials)], told
