from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from optuna.trial import TrialState
from scipy import stats

from leigh_mlops.sampling import _to_frozen_trial, draw
from leigh_mlops.settings import SearchSpace
from leigh_mlops.trials import Trial


def space(**changes: Any) -> SearchSpace:
    values = {
        "family": "resnext",
        "metric": "val/log_loss",
        "early_stopping": "none",
        "trials": 40,
        "published": {"optimizer": "adam", "learning_rate": 0.001, "weight_decay": 0.0, "batch_size": 8, "flip": 0.5},
        "space": {
            "optimizer": ["adam", "sgd"],
            "learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
            "weight_decay": {"low": 0.0, "high": 0.1, "when": {"optimizer": "sgd"}},
            "batch_size": {"low": 4, "high": 32, "integer": True},
        },
    }
    return SearchSpace.model_validate(values | changes)


def searched(given: SearchSpace, score: Callable[[dict[str, Any]], dict[str, float]], seed: int = 0) -> list[Trial]:
    trials: list[Trial] = []
    for number in range(1, given.trials + 1):
        config = draw(given, number, trials, seed=seed)
        trials.append(Trial("resnext", number, config, best=score(config), state="finished"))
    return trials


@pytest.mark.parametrize("algorithm", ["random", "optuna"])
def test_the_first_is_the_published_configuration_and_all_lie_in_the_space(algorithm: str) -> None:
    given = space(algorithm=algorithm)
    trials = searched(given, lambda config: {"val/log_loss": config["learning_rate"]})
    assert trials[0].config == given.published
    for trial in trials:
        assert trial.config.keys() == given.published.keys()
        assert 1e-4 <= trial.config["learning_rate"] <= 1e-1
        assert isinstance(trial.config["batch_size"], int)
        assert 4 <= trial.config["batch_size"] <= 32
        assert trial.config["flip"] == 0.5
        assert trial.config["optimizer"] == "sgd" or trial.config["weight_decay"] == 0.0
    assert any(trial.config["weight_decay"] for trial in trials)


def test_random_draws_follow_from_seed_and_number_alone() -> None:
    given = space()
    trials = searched(given, lambda config: {"val/log_loss": 1.0}, seed=5)
    for trial in reversed(trials):
        assert draw(given, trial.number, [], seed=5) == trial.config
    assert draw(given, 2, seed=5) != draw(given, 2, seed=6)
    rates = np.log([draw(given, number, seed=0)["learning_rate"] for number in range(2, 300)])
    assert stats.kstest(rates, stats.uniform(np.log(1e-4), np.log(1e3)).cdf).pvalue > 0.01


def test_a_search_that_goes_on_draws_what_it_would_have_drawn() -> None:
    given = space(algorithm="optuna")
    trials = searched(given, lambda config: {"val/log_loss": abs(np.log(config["learning_rate"] / 0.01))})
    assert draw(given, 30, trials[:29], seed=0) == trials[29].config
    assert draw(given, 30, trials[:20], seed=0) != trials[29].config


@pytest.mark.parametrize(("algorithm", "learns"), [("random", False), ("optuna", True)])
def test_optuna_learns_from_the_trials_and_random_does_not(algorithm: str, learns: bool) -> None:
    rates = {"learning_rate": {"low": 1e-4, "high": 1e-1, "log": True}}
    given = space(algorithm=algorithm, space=rates, trials=30)

    def distance(config: dict[str, Any]) -> dict[str, float]:
        return {"val/log_loss": abs(np.log10(config["learning_rate"] / 0.01))}

    trials = [trial for seed in range(4) for trial in searched(given, distance, seed) if trial.number > 1]
    early, late = (
        np.median([trial.best["val/log_loss"] for trial in trials if chosen(trial.number)])
        for chosen in (lambda number: number <= 10, lambda number: number > 20)
    )
    assert (late < 0.7 * early) == learns


def test_several_objectives_are_all_learned() -> None:
    def score(config: dict[str, Any]) -> dict[str, float]:
        return {"val/log_loss": abs(np.log(config["learning_rate"] / 0.01)), "train/seconds": config["batch_size"]}

    both = space(algorithm="optuna", objectives=[{"metric": "train/seconds"}])
    late = [trial for seed in range(3) for trial in searched(both, score, seed)[25:]]
    one = [trial for seed in range(3) for trial in searched(space(algorithm="optuna"), score, seed)[25:]]
    assert np.median([trial.config["batch_size"] for trial in late]) < np.median(
        [trial.config["batch_size"] for trial in one]
    )


@pytest.mark.parametrize("state", ["drawn", "failed"])
def test_trials_that_run_or_failed_are_not_drawn_again(state: str) -> None:
    given = space(algorithm="optuna", space={"batch_size": [4, 8, 16]})
    first = Trial("resnext", 1, dict(given.published), best={"val/log_loss": 1.0}, state="finished")
    other = Trial("resnext", 2, given.published | {"batch_size": 4}, state=state)
    alone = {draw(given, 3, [], seed=seed)["batch_size"] for seed in range(8)}
    assert alone == {4, 8, 16}
    assert {draw(given, 3, [first, other], seed=seed)["batch_size"] for seed in range(8)} == {16}


@pytest.mark.parametrize(
    ("state", "score", "told"),
    [
        ("finished", 0.1, TrialState.COMPLETE),
        ("finished", np.nan, TrialState.FAIL),
        ("failed", 0.1, TrialState.FAIL),
        ("drawn", 0.1, TrialState.RUNNING),
    ],
)
def test_only_trials_that_finished_are_results(state: str, score: float, told: TrialState) -> None:
    given = space(algorithm="optuna")
    trial = Trial("resnext", 1, dict(given.published), best={"val/log_loss": score}, state=state)
    assert _to_frozen_trial(trial, given).state == told


def test_choices_that_are_lists_or_nothing_are_drawn() -> None:
    widths = {"architecture.widths": [[8, 8], [16, 16]], "lr_step_epochs": [None, 2]}
    given = space(space=widths, published={"architecture.widths": [8, 8], "lr_step_epochs": None})
    drawn = [draw(given, number) for number in range(1, 20)]
    assert {tuple(config["architecture.widths"]) for config in drawn} == {(8, 8), (16, 16)}
    assert {config["lr_step_epochs"] for config in drawn} == {None, 2}


@pytest.mark.parametrize("algorithm", ["random", "optuna"])
def test_all_trials_but_the_published_one_have_the_precision_of_the_space(algorithm: str) -> None:
    given = space(algorithm=algorithm, trials=12)
    published = given.published | {"precision": "fp32"}
    given = given.replace_fields(published=published, space=dict(given.space) | {"precision": ["bf16"]})
    trials = searched(given, lambda config: {"val/log_loss": config["learning_rate"]})
    assert [trial.config["precision"] for trial in trials] == ["fp32", *["bf16"] * 11]
    assert "precision" not in _to_frozen_trial(trials[0], given).params
