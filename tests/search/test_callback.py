import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from leigh_mlops.search import SearchRequest
from leigh_mlops.search.callback import SearchCallback, StalledError
from leigh_mlops.search.trial_pool import TrialPool
from tests.search.searches import space


def trials(*states: str) -> Any:
    return [SimpleNamespace(status=status) for status in states]


def callback(longest_wait_s: float) -> SearchCallback:
    request = SearchRequest(space(), Path("data"), Path("folder"), workers=1)
    return SearchCallback(request, lambda event: None, threading.Event(), TrialPool([request]), longest_wait_s)


def test_trials_that_get_no_worker_end_the_search_process() -> None:
    waiting = callback(0.02)
    waiting.on_step_end(1, trials("PENDING", "TERMINATED"))
    time.sleep(0.03)
    with pytest.raises(StalledError, match="no worker started for 0 s"):
        waiting.on_step_end(2, trials("PENDING", "TERMINATED"))


@pytest.mark.parametrize("states", [("RUNNING", "PENDING"), ("TERMINATED",), ("PAUSED",), ()])
def test_a_search_that_runs_or_has_nothing_to_start_goes_on(states: tuple[str, ...]) -> None:
    going = callback(0.02)
    for iteration in range(3):
        time.sleep(0.03)
        going.on_step_end(iteration, trials(*states))
    going.on_step_end(4, trials("PENDING"))


def test_a_shared_cluster_may_keep_trials_waiting() -> None:
    patient = callback(float("inf"))
    time.sleep(0.03)
    patient.on_step_end(1, trials("PENDING"))


@pytest.mark.parametrize("algorithm", ["random", "optuna"])
def test_given_configurations_come_after_the_published_one_and_before_drawn_ones(algorithm: str) -> None:
    searched, first = space(trials=4, algorithm=algorithm), {"learning_rate": 0.0042, "batch_size": 8, "flip": 0.0}

    def draw_all(**given: Any) -> list[dict[str, Any]]:
        request = SearchRequest(searched, Path("data"), Path("folder"), workers=1, **given)
        callback = SearchCallback(request, lambda event: None, threading.Event(), TrialPool([request]))
        return [callback.draw_trial(lambda trials: 1).config for _ in range(4)]

    plain, begun = draw_all(), draw_all(first_configs=[first])
    assert first not in plain
    assert begun[:2] == [searched.published, first]
    assert begun[2:] == plain[2:] or algorithm == "optuna"
    assert all(config not in begun[:2] for config in begun[2:])
