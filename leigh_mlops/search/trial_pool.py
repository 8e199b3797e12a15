"""Trials of all families that one process searches, and the places that they share."""

import threading
from collections.abc import Collection, Sequence
from typing import Protocol

import ray

from leigh_mlops.search.request import SearchRequest
from leigh_mlops.search.resources import TrialCores

__all__ = ["FamilyState", "TrialPool"]


class FamilyState(Protocol):
    """State of a family's search."""

    @property
    def running(self) -> int:
        """Number of trials that have a worker."""

    @property
    def trials_left(self) -> int:
        """Number of trials that have not ended, including those that are not drawn yet."""


class TrialPool:
    """Places that the trials of several families share.

    Args:
        requests: The search of each family.
    """

    def __init__(self, requests: Sequence[SearchRequest]) -> None:
        self.workers = requests[0].workers
        self._left = {request.space.family: _trials_left(request) for request in requests}
        self._families: dict[str, FamilyState] = {}
        self._held: dict[str, int] = dict.fromkeys(self._left, 0)
        self._lock = threading.Lock()
        self.is_abandoned = False

    def enter(self, family: str, state: FamilyState) -> None:
        """Add the state of a family whose search starts."""
        self._families[family] = state

    def leave(self, family: str) -> None:
        """Remove a family whose search has ended, with its places."""
        self._families.pop(family, None)
        self._left[family] = self._held[family] = 0

    def claim_place(self, family: str) -> bool:
        """Take a place for a trial; return False where the limit of the workers is reached."""
        with self._lock:
            if self.workers is not None and sum(self._held.values()) >= self.workers:
                return False
            self._held[family] += 1
            return True

    def free_place(self, family: str) -> None:
        """Give the place of a trial back."""
        with self._lock:
            self._held[family] = max(0, self._held[family] - 1)

    def is_training(self) -> bool:
        """Return whether a trial of any family runs."""
        return any(state.running for state in list(self._families.values()))

    def count_trials(self, family: str) -> int:
        """Number of trials among which the cores are divided when a trial of this family starts.

        They are those of the family, since the next families wait while it uses all cores. Where the user says how
        many trials run at once, those of the other families make up the number.
        """
        if self.workers is None:
            return self._count_left(family)
        return sum(self._count_left(each) for each in self._left)

    def _count_left(self, family: str) -> int:
        state = self._families.get(family)
        return self._left[family] if state is None else state.trials_left

    def has_room(self, request: SearchRequest, present: Collection[str]) -> bool:
        """Return whether all trials of the present families run, and leave a place, cores and GPUs for the next."""
        states = [self._families.get(family) for family in present]
        if any(state is None or state.trials_left > state.running for state in states):
            return False
        if self.workers is not None and sum(self._held.values()) >= self.workers:
            return False
        cores, idle = TrialCores(request), ray.available_resources()
        cpus = cores.reserved_cores(cores.choose_threads(self.count_trials(request.space.family)))
        return bool(idle.get("CPU", 0.0) >= cpus and idle.get("GPU", 0.0) >= cores.gpus)


def _trials_left(request: SearchRequest) -> int:
    return request.space.trials - sum(trial.has_ended for trial in request.trials)
