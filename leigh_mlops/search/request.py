"""What a search is asked for, and what it says meanwhile."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from leigh_mlops.settings import SearchSpace
from leigh_mlops.trials import Event, Trial

__all__ = ["CHECKPOINT", "NUMBER", "STOP", "SearchRequest", "Tell"]

STOP = "stop"
NUMBER, CHECKPOINT = "trial.number", "trial.checkpoint"
"""What a trial's configuration says beside its hyperparameters."""

Tell = Callable[[Event], None]


@dataclass(frozen=True)
class SearchRequest:
    """One family's search, or what is left of it.

    Attributes:
        space: What is varied and how the best is chosen.
        data: Folder of prepared data that every worker sees.
        folder: New folder for trials and checkpoints that every worker sees.
        seed: Of the sampling and of every trial's training.
        workers: Most trials at once; by default as many as the cluster holds.
        time_budget_s: All trials end after so many seconds.
        trials: What is known of earlier trials; those that are not over go on from their checkpoints.
    """

    space: SearchSpace
    data: Path
    folder: Path
    seed: int = 0
    workers: int | None = None
    time_budget_s: float | None = None
    trials: list[Trial] = field(default_factory=list)
