"""Trial schedulers that take earlier trials into account: successive halving and population-based training."""

import functools
from types import SimpleNamespace
from typing import Any

from ray import tune
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, PopulationBasedTraining, TrialScheduler

from leigh_mlops.search.checkpoint_count import epochs_of_trial, population_interval
from leigh_mlops.search.request import NUMBER_KEY, SearchRequest
from leigh_mlops.settings import Choice, Range, SearchSpace, TrainingSettings

__all__ = ["build_scheduler"]


def build_scheduler(request: SearchRequest) -> TrialScheduler:
    """Build the scheduler of running trials."""
    if request.space.algorithm == "pbt":
        return ResumablePBT(request)
    return FIFOScheduler() if request.space.early_stopping == "none" else ResumableASHA(request)


class ResumableASHA(ASHAScheduler):  # type: ignore[misc]
    """Asynchronous successive halving that takes the results of earlier trials into account."""

    def __init__(self, request: SearchRequest) -> None:
        space, epochs = request.space, epochs_of_trial(request.space)
        super().__init__(time_attr="epoch", max_t=epochs, grace_period=max(1, epochs // 5), reduction_factor=3)
        self._family, sign = space.family, 1 if space.mode == "max" else -1
        for trial in request.trials:
            for number, metrics in enumerate(trial.epochs, start=1):
                self._brackets[0].on_result(SimpleNamespace(trial_id=trial.name), number, sign * metrics[space.metric])

    def on_trial_add(self, tune_controller: Any, trial: TuneTrial) -> None:  # noqa: ANN401
        """Add a trial; a resumed one replaces its earlier entry instead of counting twice."""
        super().on_trial_add(tune_controller, trial)
        name = f"{self._family}-{trial.config[NUMBER_KEY]}"
        for _, reached in self._brackets[0]._rungs:
            if name in reached:
                reached[trial.trial_id] = reached.pop(name)


class ResumablePBT(PopulationBasedTraining):  # type: ignore[misc]
    """Population-based training whose members wait for each other, but not for finished ones."""

    def __init__(self, request: SearchRequest) -> None:
        space, interval = request.space, population_interval(request.space)
        super().__init__(
            time_attr="epoch",
            perturbation_interval=interval,
            hyperparam_mutations={
                key: _domain(domain) for key, domain in space.space.items() if key in TrainingSettings.MUTABLE
            },
            custom_explore_fn=functools.partial(_clip_to_space, space=space),
            synch=True,
        )
        # Resumed members are at different epochs; they synchronise at the first interval that none has passed.
        done = max((len(trial.epochs) for trial in request.trials if not trial.has_ended), default=0)
        self._next_perturbation_sync = interval * (done // interval + 1)

    def on_trial_add(self, tune_controller: Any, trial: TuneTrial) -> None:  # noqa: ANN401
        """Add a member; a resumed or restarted one runs up to the next synchronisation."""
        super().on_trial_add(tune_controller, trial)
        self._trial_state[trial].last_perturbation_time = self._next_perturbation_sync - self._perturbation_interval

    def on_trial_error(self, tune_controller: Any, trial: TuneTrial) -> None:  # noqa: ANN401
        """Stop waiting for a failed trial; Tune adds a restarted one afterwards."""
        tune_controller.get_live_trials().discard(trial)

    def choose_trial_to_run(self, tune_controller: Any) -> TuneTrial | None:  # noqa: ANN401
        """Choose the next trial; if all wait for a finished member, synchronise them without it."""
        chosen = super().choose_trial_to_run(tune_controller)
        left = [trial for trial in tune_controller.get_trials() if not trial.is_finished()]
        if chosen is None and left and all(trial.status == TuneTrial.PAUSED for trial in left):
            super().on_trial_result(tune_controller, left[0], left[0].last_result)
            chosen = super().choose_trial_to_run(tune_controller)
        return chosen

    def _quantiles(self) -> tuple[list[TuneTrial], list[TuneTrial]]:
        # A member that took over a later epoch of another would have a gap among its own epochs.
        worst, best = (
            [trial for trial in part if self._trial_state[trial].last_train_time == self._next_perturbation_sync]
            for part in super()._quantiles()
        )
        return (worst, best) if best else ([], [])


def _domain(domain: Choice | Range) -> Any:  # noqa: ANN401
    if isinstance(domain, Choice):
        return list(domain.values)
    if domain.integer:
        sample = tune.lograndint if domain.log else tune.randint
        return sample(int(domain.low), int(domain.high) + 1)
    return (tune.loguniform if domain.log else tune.uniform)(domain.low, domain.high)


def _clip_to_space(config: dict[str, Any], space: SearchSpace) -> dict[str, Any]:
    """Clip the mutated hyperparameters of a population to the search space."""
    for key, domain in space.space.items():
        if isinstance(domain, Range) and key in TrainingSettings.MUTABLE:
            config[key] = type(config[key])(min(max(config[key], domain.low), domain.high))
    return config
