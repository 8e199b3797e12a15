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
