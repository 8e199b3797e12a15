"""What Tune reports becomes events."""

import math
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.experiment import Trial as TuneTrial

from leigh_mlops.errors import LeighError
from leigh_mlops.sampling import draw
from leigh_mlops.search.request import NUMBER, SearchRequest, Tell
from leigh_mlops.search.trial import hyperparameters_of
from leigh_mlops.trials import Trial

__all__ = ["Relay"]

_DEATHS = 3


class Relay(tune.Callback, tune.Stopper):  # type: ignore[misc]
    """Tells what Tune reports, keeps it, and stops trials where it is asked to."""

    def __init__(self, request: SearchRequest, tell: Tell, stop: threading.Event) -> None:
        self.request, self.space, self._tell, self.stopping = request, request.space, tell, stop
        self.trials = {trial.number: trial for trial in request.trials}
        # A member of a population that goes on from another takes over its configuration, number included.
        self._numbers: dict[str, int] = {}
        self._deaths: Counter[int] = Counter()
        self._deadline = time.monotonic() + (request.time_budget_s or math.inf)
        self._halt = ""
        self._idle = False

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles what it is given with the search; whoever listens lives in this process alone.
        return {}

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Whether a trial ends with this result."""
        return self.stopping.is_set() or "failed" in result

    def stop_all(self) -> bool:
        """Whether all trials end now."""
        return bool(self._halt) or self._idle

    def on_step_end(self, iteration: int, trials: list[TuneTrial], **info: Any) -> None:  # noqa: ANN401
        """Once asked to stop, nobody waits for trials that do not run."""
        self._idle = self.stopping.is_set() and not any(trial.status == TuneTrial.RUNNING for trial in trials)

    def tell(self, what: str, number: int, **facts: Any) -> None:  # noqa: ANN401
        """Pass on what is new."""
        event = {"what": what, "family": self.space.family, "number": number} | facts
        if what == "drawn":
            self.trials[number] = Trial(self.space.family, number, facts["config"])
        elif not self.trials[number].take(event):
            return
        if what == "ended":
            event["seconds"] = self.trials[number].seconds
        self._tell(event)

    def left(self) -> list[Trial]:
        """Trials that were drawn and are not over."""
        return [trial for trial in self.trials.values() if not trial.over]

    def draw(self) -> Trial | None:
        """The next trial, if there is one."""
        number = len(self.trials) + 1
        if number > self.space.trials:
            return None
        config = draw(self.space, number, self.trials.values(), seed=self.request.seed)
        self.tell("drawn", number, config=config)
        return self.trials[number]

    def _number(self, trial: TuneTrial) -> int:
        return self._numbers.setdefault(trial.trial_id, trial.config[NUMBER])

    def on_trial_start(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:  # noqa: ANN401
        """The number that it begins with is its own."""
        self._number(trial)

    def on_trial_result(
        self,
        iteration: int,
        trials: list[TuneTrial],
        trial: TuneTrial,
        result: dict[str, Any],
        **info: Any,  # noqa: ANN401
    ) -> None:
        """An epoch, or why there is none."""
        number = self._number(trial)
        if result.get("halt"):
            self._halt = result["halt"]
        elif "failed" in result:
            self.tell("ended", number, state="failed", error=result["failed"], trace=result["trace"])
        else:
            config = hyperparameters_of(trial.config)
            facts = {key: result[key] for key in ("epoch", "metrics", "best_epoch", "best")}
            place = Path(trial.storage.trial_fs_path, result["checkpoint_dir_name"])
            self.tell("epoch", number, config=config, checkpoint=str(place), **facts)
            self._deaths[number], trial.max_failures = 0, -1

    def on_trial_recover(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:  # noqa: ANN401
        """A worker that dies again in the same epoch dies of the trial."""
        self._deaths[self._number(trial)] += 1
        if self._deaths[self._number(trial)] >= _DEATHS - 1:
            trial.max_failures = 0

    def on_trial_complete(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:  # noqa: ANN401
        """It is over, unless it was stopped."""
        if not self.stopping.is_set() and not self._halt:
            self.tell("ended", self._number(trial), state="finished")

    def on_trial_error(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:  # noqa: ANN401
        """Its worker died once too often."""
        number = self._number(trial)
        epoch = len(self.trials[number].epochs) + 1
        error = f"its worker died {_DEATHS} times in epoch {epoch}, as it does where memory runs out"
        self.tell("ended", number, state="failed", error=error)

    def close(self) -> str:
        """Say how the search ended.

        Raises:
            LeighError: A machine can't run any trial.
        """
        if self._halt:
            raise LeighError(self._halt)
        if self.stopping.is_set():
            return "stopped"
        if time.monotonic() < self._deadline:
            return "complete"
        for trial in self.left():
            if trial.epochs:
                self.tell("ended", trial.number, state="finished", stopped="time budget")
            else:
                self.tell("ended", trial.number, state="failed", error="the time ended before its first epoch")
        return "time"
