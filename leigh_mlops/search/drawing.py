"""Trials for Tune: first those that an earlier search began, then new ones."""

import functools
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.search import Searcher

from leigh_mlops.errors import LeighError
from leigh_mlops.search.relay import Relay
from leigh_mlops.search.request import CHECKPOINT, NUMBER
from leigh_mlops.search.resources import Resources
from leigh_mlops.trials import Trial

__all__ = ["Drawing", "population", "tuned"]


def tuned(trial: Trial) -> dict[str, Any]:
    """A trial's configuration as Tune gets it, with where it goes on."""
    # Tune may have been further than the journal, and have deleted what that names: the trial starts over.
    kept = trial.checkpoint if trial.checkpoint and (trial.checkpoint / "state.json").exists() else ""
    return trial.config | {NUMBER: trial.number, CHECKPOINT: str(kept)}


class Drawing(Searcher):  # type: ignore[misc]
    """Gives Tune first the trials that an earlier search began, then new ones."""

    def __init__(self, relay: Relay, resources: Resources) -> None:
        super().__init__()
        self._relay, self._resources = relay, resources
        self._waiting = relay.left()

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any) -> bool:  # noqa: ANN401
        """Metric and mode are the space's."""
        return True

    def suggest(self, trial_id: str) -> Any:  # noqa: ANN401
        """The next configuration, or that there is none."""
        while not self._relay.stopping.is_set():
            trial = self._waiting.pop(0) if self._waiting else self._relay.draw()
            if trial is None:
                break
            try:
                self._resources.check(trial.config)
            except LeighError as error:
                self._relay.tell("ended", trial.number, state="failed", error=str(error))
            else:
                return tuned(trial)
        return Searcher.FINISHED

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """The relay has heard of it."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: what was drawn stands in the journal."""
        Path(checkpoint_path).touch()

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: a search goes on from its journal."""


def population(relay: Relay, resources: Resources) -> dict[str, Any]:
    """A population is drawn as a whole, since its members are compared with each other."""
    while relay.draw():
        pass
    for trial in relay.left():
        try:
            resources.check(trial.config)
        except LeighError as error:
            relay.tell("ended", trial.number, state="failed", error=str(error))
    members = {trial.number: tuned(trial) for trial in relay.left()}
    keys = sorted({key for member in members.values() for key in member} - {NUMBER})
    chosen = {key: tune.sample_from(functools.partial(_of_member, members=members, key=key)) for key in keys}
    return {NUMBER: tune.grid_search(list(members))} | chosen


def _of_member(spec: Any, members: dict[int, dict[str, Any]], key: str) -> Any:  # noqa: ANN401
    return members[spec.config[NUMBER]][key]
