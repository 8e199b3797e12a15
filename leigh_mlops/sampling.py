"""Sampling of hyperparameters: the next configuration of a search follows from its seed and the trials so far."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from leigh_mlops.settings import Choice, Range, SearchSpace
from leigh_mlops.trials import Trial

if TYPE_CHECKING:
    import optuna

__all__ = ["draw"]

_ATTEMPTS = 20


def draw(space: SearchSpace, number: int, trials: Iterable[Trial] = (), *, seed: int = 0) -> dict[str, Any]:
    """Draw one configuration.

    Number 1 is the published configuration. With the algorithm ``random`` (and for a population's start) the others
    follow from seed and number alone, so that a search that goes on draws what it would have drawn. With ``optuna``
    a tree-structured Parzen estimator (Bergstra et al., 2011), multivariate, learns from the trials so far; those
    that still run count as if they did badly, so that workers spread out.

    Args:
        space: What is varied, and by what trials are judged.
        number: From 1.
        trials: All others that were drawn before.
        seed: Seed of the search.

    Returns:
        Flat hyperparameters, published ones included.
    """
    if number == 1 or not space.space:
        return dict(space.published)
    known = [trial for trial in trials if trial.number != number]
    entropy = np.random.SeedSequence([seed, number, *space.family.encode()]).generate_state(1)[0]
    study = _study(space, known if space.algorithm == "optuna" else (), int(entropy))
    taken = [trial.config for trial in known]
    for _ in range(_ATTEMPTS):
        config = _suggest(study.ask(), space)
        if config not in taken:
            break
    return config


def _study(space: SearchSpace, trials: Iterable[Trial], seed: int) -> "optuna.Study":
    """Create an Optuna study with the trials; it is not stored, since the trials are."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if space.algorithm == "optuna":
        sampler: optuna.samplers.BaseSampler = optuna.samplers.TPESampler(
            seed=seed, multivariate=True, constant_liar=True
        )
    else:
        sampler = optuna.samplers.RandomSampler(seed=seed)
    directions = {"min": optuna.study.StudyDirection.MINIMIZE, "max": optuna.study.StudyDirection.MAXIMIZE}
    study = optuna.create_study(sampler=sampler, directions=[directions[each.mode] for each in space.all_objectives])
    for trial in trials:
        study.add_trial(_to_frozen_trial(trial, space))
    return study


def _to_frozen_trial(trial: Trial, space: SearchSpace) -> "optuna.trial.FrozenTrial":
    """Convert a trial to one of Optuna."""
    from optuna.trial import TrialState, create_trial

    drawn = {
        key: domain
        for key, domain in space.ordered_space
        if domain.is_active(trial.config) and domain.contains(trial.config[key])
    }
    values = [trial.best.get(each.metric, np.nan) for each in space.all_objectives]
    state = TrialState.RUNNING
    if trial.has_ended:
        good = trial.state == "finished" and np.isfinite(values).all()
        state = TrialState.COMPLETE if good else TrialState.FAIL
    return create_trial(
        state=state,
        values=values if state == TrialState.COMPLETE else None,
        params={key: _to_optuna_value(domain, trial.config[key]) for key, domain in drawn.items()},
        distributions={key: _distribution(domain) for key, domain in drawn.items()},
    )


def _suggest(trial: "optuna.Trial", space: SearchSpace) -> dict[str, Any]:
    config = dict(space.published)
    for key, domain in space.ordered_space:
        if not domain.is_active(config):
            continue
        if isinstance(domain, Choice):
            config[key] = domain.values[trial.suggest_categorical(key, range(len(domain.values)))]
        elif domain.integer:
            config[key] = trial.suggest_int(key, int(domain.low), int(domain.high), log=domain.log)
        else:
            config[key] = trial.suggest_float(key, domain.low, domain.high, log=domain.log)
    return config


def _distribution(domain: Choice | Range) -> "optuna.distributions.BaseDistribution":
    from optuna import distributions

    if isinstance(domain, Choice):
        # Indices into the list: choices may be lists themselves, which Optuna does not take.
        return distributions.CategoricalDistribution(range(len(domain.values)))
    if domain.integer:
        return distributions.IntDistribution(int(domain.low), int(domain.high), log=domain.log)
    return distributions.FloatDistribution(domain.low, domain.high, log=domain.log)


def _to_optuna_value(domain: Choice | Range, value: Any) -> Any:  # noqa: ANN401
    return domain.values.index(value) if isinstance(domain, Choice) else value
