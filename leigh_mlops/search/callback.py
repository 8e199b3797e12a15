"""Callback that turns reports of Tune into events."""

import math
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.experiment import Trial as TuneTrial

from leigh_mlops.errors import LeighError
from leigh_mlops.events import Drawn, Ended, EpochDone, Outcome, TrialEvent
from leigh_mlops.sampling import draw
from leigh_mlops.search.request import NUMBER_KEY, EventHandler, SearchRequest
from leigh_mlops.search.trainable import trial_hyperparameters
from leigh_mlops.search.trial_pool import TrialPool
from leigh_mlops.trials import Trial, update_trials

__all__ = ["SearchCallback", "StalledError"]

_MAX_DEATHS = 3


class StalledError(RuntimeError):
    """No trial runs, and those that wait get no worker."""


class SearchCallback(tune.Callback, tune.Stopper):  # type: ignore[misc]
    """Publishes the reports of Tune as events, keeps the state of all trials, and stops them on request.

    Args:
        request: The search.
        handle: Event handler.
        stop: Set once the search shall stop.
        pool: The trials of all families that are searched in this process.
        longest_wait_s: How long trials may wait for a worker while none runs.

    Attributes:
        running: Trials that have a worker.
    """

    def __init__(
        self,
        request: SearchRequest,
        handle: EventHandler,
        stop: threading.Event,
        pool: TrialPool,
        longest_wait_s: float = math.inf,
    ) -> None:
        self.request, self.space, self._handle, self.stopping = request, request.space, handle, stop
        self.pool, self.running = pool, 0
        self.trials = {trial.number: trial for trial in request.trials}
        # A member of a population that continues from another takes over its configuration, including its number.
        self._numbers: dict[str, int] = {}
        self._deaths: Counter[int] = Counter()
        self._deadline = time.monotonic() + (request.time_budget_s or math.inf)
        self._halt = ""
        self._idle = False
        self._longest_wait_s = longest_wait_s
        self._last_run = time.monotonic()

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles the callback with the search, but the event handler exists in this process only.
        return {}

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Return whether a trial stops after this result."""
        return self.stopping.is_set() or "failed" in result

    def stop_all(self) -> bool:
        """Return whether all trials stop now."""
        return bool(self._halt) or self._idle or self.pool.is_abandoned

    def on_step_end(self, iteration: int, trials: list[TuneTrial], **info: Any) -> None:  # noqa: ANN401
        """Mark the search as idle if it was asked to stop and no trial is running.

        Raises:
            StalledError: Trials have waited too long. Ray may lose the resources of a worker that dies at the moment
                at which they are returned, and then starts no other.
        """
        self.running = sum(trial.status == TuneTrial.RUNNING for trial in trials)
        self._idle = self.stopping.is_set() and not self.running
        waiting = any(trial.status == TuneTrial.PENDING for trial in trials)
        # Trials of another family may hold all workers.
        if not waiting or self.running or self.pool.is_training():
            self._last_run = time.monotonic()
        elif time.monotonic() > self._last_run + self._longest_wait_s:
            raise StalledError(f"no worker started for {self._longest_wait_s:.0f} s")

    def publish(self, event: TrialEvent) -> None:
        """Publish an event and update its trial, unless it is known already."""
        if update_trials(self.trials, event):
            self._handle(event)

    def publish_finish(self, number: int, stopped: str | None = None) -> None:
        """Publish that a trial finished, or which limit stopped it."""
        seconds = self.trials[number].seconds
        self.publish(Ended(self.space.family, number, state="finished", stopped=stopped, seconds=seconds))

    def publish_failure(self, number: int, error: str, trace: str | None = None) -> None:
        """Publish why a trial failed."""
        seconds = self.trials[number].seconds
        self.publish(Ended(self.space.family, number, state="failed", error=error, trace=trace, seconds=seconds))

    def unfinished_trials(self) -> list[Trial]:
        """Trials that were drawn and have not ended."""
        return [trial for trial in self.trials.values() if not trial.has_ended]

    @property
    def trials_left(self) -> int:
        """Number of trials that have not ended, including those that are not drawn yet."""
        return self.space.trials - sum(trial.has_ended for trial in list(self.trials.values()))

    @property
    def are_all_drawn(self) -> bool:
        """State of the drawing: whether no trial is left to draw."""
        return len(self.trials) >= self.space.trials

    def draw_trial(self, choose_threads: Callable[[int], int]) -> Trial:
        """Draw the next trial.

        Args:
            choose_threads: Returns the threads of a trial when so many trials have not ended.
        """
        number = len(self.trials) + 1
        first = dict(enumerate(self.request.first_configs, start=2))
        config = first.get(number) or draw(self.space, number, self.trials.values(), seed=self.request.seed)
        threads = choose_threads(self.pool.count_trials(self.space.family))
        self.publish(Drawn(self.space.family, number, config, threads))
        return self.trials[number]

    def _trial_number(self, trial: TuneTrial) -> int:
        return self._numbers.setdefault(trial.trial_id, trial.config[NUMBER_KEY])

    def on_trial_start(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:  # noqa: ANN401
        """Remember the number of the trial, which a population may overwrite later."""
        self._trial_number(trial)

    def on_trial_result(
        self,
        iteration: int,
        trials: list[TuneTrial],
        trial: TuneTrial,
        result: dict[str, Any],
        **info: Any,  # noqa: ANN401
    ) -> None:
        """Publish an epoch or a failure, or record the reason to halt the search."""
        number = self._trial_number(trial)
        if result.get("halt"):
            self._halt = result["halt"]
        elif "failed" in result:
            self.publish_failure(number, result["failed"], result["trace"])
        else:
            event = EpochDone(
                self.space.family,
                number,
                config=trial_hyperparameters(trial.config),
                checkpoint=str(Path(trial.storage.trial_fs_path, result["checkpoint_dir_name"])),
                epoch=result["epoch"],
                metrics=result["metrics"],
                best_epoch=result["best_epoch"],
                best=result["best"],
            )
            self.publish(event)
            self._deaths[number], trial.max_failures = 0, -1

    def on_trial_recover(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:  # noqa: ANN401
        """Count the deaths of a trial's workers; after repeated deaths in one epoch the trial fails."""
        self._deaths[self._trial_number(trial)] += 1
        if self._deaths[self._trial_number(trial)] >= _MAX_DEATHS - 1:
            trial.max_failures = 0

    def on_trial_complete(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:  # noqa: ANN401
        """Publish the end of a trial, unless it was stopped."""
        if not self.stopping.is_set() and not self._halt and not self.pool.is_abandoned:
            self.publish_finish(self._trial_number(trial))

    def on_trial_error(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:  # noqa: ANN401
        """Publish the failure of a trial whose worker died too often."""
        number = self._trial_number(trial)
        epoch = len(self.trials[number].epochs) + 1
        reason = f"its worker died {_MAX_DEATHS} times in epoch {epoch}, as it does where memory runs out"
        self.publish_failure(number, reason)

    def close(self) -> Outcome:
        """Return how the search ended, and end the remaining trials if its time is over.

        Raises:
            LeighError: A machine can't run any trial.
        """
        if self._halt:
            raise LeighError(self._halt)
        if self.stopping.is_set() or self.pool.is_abandoned:
            return "stopped"
        if time.monotonic() < self._deadline:
            return "complete"
        for trial in self.unfinished_trials():
            if trial.epochs:
                self.publish_finish(trial.number, stopped="time budget")
            else:
                self.publish_failure(trial.number, "the time ended before its first epoch")
        return "time"
