"""Search algorithm that resumes earlier trials before it draws new ones."""

import functools
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.search import Searcher

from leigh_mlops.errors import LeighError
from leigh_mlops.search.callback import SearchCallback
from leigh_mlops.search.request import CHECKPOINT_KEY, NUMBER_KEY, THREADS_KEY
from leigh_mlops.search.resources import Resources
from leigh_mlops.trials import Trial

__all__ = ["JournalSearcher", "draw_population", "trial_config"]


def trial_config(trial: Trial) -> dict[str, Any]:
    """Configuration of a trial for Tune, with its number, its threads and the checkpoint from which it resumes."""
    # Tune may be ahead of the journal and have deleted the checkpoint named there: the trial then starts over.
    checkpoint = trial.checkpoint if trial.checkpoint and (trial.checkpoint / "state.json").exists() else ""
    return trial.config | {NUMBER_KEY: trial.number, CHECKPOINT_KEY: str(checkpoint), THREADS_KEY: trial.threads}


class JournalSearcher(Searcher):  # type: ignore[misc]
    """Suggests the unfinished trials of an earlier search first, then new ones."""

    def __init__(self, callback: SearchCallback, resources: Resources) -> None:
        super().__init__()
        self._callback, self._resources, self._pool = callback, resources, callback.pool
        self._waiting = callback.unfinished_trials()

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any) -> bool:  # noqa: ANN401
        """Accept any properties: metric and mode come from the search space."""
        return True

    def suggest(self, trial_id: str) -> Any:  # noqa: ANN401
        """Return the next configuration, ``Searcher.FINISHED`` if there is none, or None if there is no place now."""
        family, choose_threads = self._callback.space.family, self._resources.cores.choose_threads
        while self._waiting or not self._callback.are_all_drawn:
            if self._callback.stopping.is_set() or self._pool.is_abandoned:
                break
            if not self._pool.claim_place(family):
                return None
            trial = self._waiting.pop(0) if self._waiting else self._callback.draw_trial(choose_threads)
            try:
                self._resources.check(trial.config)
            except LeighError as error:
                self._pool.free_place(family)
                self._callback.publish_failure(trial.number, str(error))
            else:
                return trial_config(trial)
        return Searcher.FINISHED

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Give the place of the trial back; the callback handles the rest."""
        self._pool.free_place(self._callback.space.family)

    def save(self, checkpoint_path: str) -> None:
        """Write an empty file: drawn trials are recorded in the journal."""
        Path(checkpoint_path).touch()

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing: a search resumes from its journal."""


def draw_population(callback: SearchCallback, resources: Resources) -> dict[str, Any]:
    """Draw a whole population, whose members are compared with each other, as a parameter space for Tune."""
    while not callback.are_all_drawn:
        callback.draw_trial(resources.cores.choose_threads)
    for trial in callback.unfinished_trials():
        try:
            resources.check(trial.config)
        except LeighError as error:
            callback.publish_failure(trial.number, str(error))
    members = {trial.number: trial_config(trial) for trial in callback.unfinished_trials()}
    keys = sorted({key for member in members.values() for key in member} - {NUMBER_KEY})
    chosen = {key: tune.sample_from(functools.partial(_member_value, members=members, key=key)) for key in keys}
    return {NUMBER_KEY: tune.grid_search(list(members))} | chosen


def _member_value(spec: Any, members: dict[int, dict[str, Any]], key: str) -> Any:  # noqa: ANN401
    return members[spec.config[NUMBER_KEY]][key]
