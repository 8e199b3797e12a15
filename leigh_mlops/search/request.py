"""Request for a search, and the messages exchanged with its process."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from leigh_mlops.settings import SearchSpace
from leigh_mlops.trials import Event, Trial

__all__ = ["CHECKPOINT_KEY", "NUMBER_KEY", "STOP", "SearchRequest", "EventHandler"]

STOP = "stop"
NUMBER_KEY, CHECKPOINT_KEY = "trial.number", "trial.checkpoint"
"""Keys of a trial's configuration that are not hyperparameters."""

EventHandler = Callable[[Event], None]


@dataclass(frozen=True)
class SearchRequest:
    """Request to search one family, or to resume such a search.

    Attributes:
        space: Search space and criterion for the best trial.
        data: Folder of prepared data that all workers can access.
        folder: New folder for trials and checkpoints that all workers can access.
        seed: Seed of the sampling and of the training of each trial.
        workers: Maximal number of concurrent trials; by default as many as the cluster holds.
        time_budget_s: Seconds after which all trials end.
        trials: Earlier trials; unfinished ones resume from their checkpoints.
    """

    space: SearchSpace
    data: Path
    folder: Path
    seed: int = 0
    workers: int | None = None
    time_budget_s: float | None = None
    trials: list[Trial] = field(default_factory=list)
