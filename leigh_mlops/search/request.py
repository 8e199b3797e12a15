"""Request for a search, and the messages exchanged with its process."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from leigh_mlops.events import Config, Outcome, TrialEvent
from leigh_mlops.settings import SearchSpace
from leigh_mlops.trials import Trial

__all__ = [
    "CHECKPOINT_KEY",
    "NUMBER_KEY",
    "STOP",
    "EventHandler",
    "Heartbeat",
    "Message",
    "ProcessFailure",
    "SearchCompletion",
    "SearchRefusal",
    "SearchPlan",
    "SearchRequest",
    "SearchStart",
    "StartFailure",
    "THREADS_KEY",
]

STOP = "stop"
NUMBER_KEY, CHECKPOINT_KEY, THREADS_KEY = "trial.number", "trial.checkpoint", "trial.threads"
"""Keys of a trial's configuration that are not hyperparameters."""

EventHandler = Callable[[TrialEvent], None]


@dataclass(frozen=True)
class Heartbeat:
    """The process and its cluster respond."""


@dataclass(frozen=True)
class SearchStart:
    """The search of a family starts, with its share of the time budget in seconds."""

    family: str
    time_budget_s: float | None


@dataclass(frozen=True)
class SearchCompletion:
    """The search of a family ended."""

    family: str
    how: Outcome


@dataclass(frozen=True)
class SearchRefusal:
    """The search can't go on before the user has acted; the reason says how."""

    reason: str


@dataclass(frozen=True)
class ProcessFailure:
    """The process is of no more use, and another may succeed; the reason is empty where it just ended."""

    reason: str = ""


@dataclass(frozen=True)
class StartFailure:
    """Ray did not start, and another attempt may succeed."""

    reason: str


Message = TrialEvent | Heartbeat | SearchStart | SearchCompletion | SearchRefusal | ProcessFailure | StartFailure
"""Message of the search's process to the driver; only events of trials go to the journal."""


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
        first_configs: Configurations of the trials after the published one, before others are drawn.
    """

    space: SearchSpace
    data: Path
    folder: Path
    seed: int = 0
    workers: int | None = None
    time_budget_s: float | None = None
    trials: list[Trial] = field(default_factory=list)
    first_configs: Sequence[Config] = ()


@dataclass(frozen=True)
class SearchPlan:
    """Request to search some families.

    Attributes:
        requests: Requests in the order in which the families start; without time budgets of their own.
        time_budget_s: Seconds after which all trials end; families share it by their ``time_share``.
    """

    requests: list[SearchRequest]
    time_budget_s: float | None = None

    @property
    def spaces(self) -> dict[str, SearchSpace]:
        """Search space of each family."""
        return {request.space.family: request.space for request in self.requests}
