from pathlib import Path

import pytest
import ray

from leigh_mlops.search import SearchRequest
from leigh_mlops.search.resources import TrialCores, concurrent_trials
from leigh_mlops.search.trial_pool import TrialPool
from leigh_mlops.trials import Trial
from tests.search.searches import space


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """A cluster of one machine with eight cores, whose idle resources a test may change."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    whole, idle = {"CPU": 8.0}, {"CPU": 8.0}
    monkeypatch.setattr(ray, "cluster_resources", lambda: whole)
    monkeypatch.setattr(ray, "available_resources", lambda: idle)
    monkeypatch.setattr(ray, "nodes", lambda: [{"Alive": True, "Resources": whole}])
    return idle


def request(family: str = "autoencoder", trials: int = 3, workers: int | None = None) -> SearchRequest:
    searched = space(trials=trials).model_copy(update={"family": family})
    return SearchRequest(searched, Path("data"), Path(family), workers=workers)


class State:
    def __init__(self, running: int, trials_left: int) -> None:
        self.running, self.trials_left = running, trials_left


def test_cores_without_a_trial_are_divided_among_the_others(
    machine: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    cores = TrialCores(request())
    assert [cores.choose_threads(trials) for trials in (20, 4, 3, 1)] == [1, 2, 2, 8]
    assert [cores.reserved_cores(threads) for threads in (1, 2, 8, 16)] == [1, 2, 8, 8]
    assert TrialCores(request(trials=20, workers=2)).choose_threads(20) == 4
    assert concurrent_trials(request(trials=20)) == 8
    monkeypatch.setenv("OMP_NUM_THREADS", "4,1")
    assert [cores.choose_threads(trials) for trials in (20, 4, 3, 1)] == [1, 2, 2, 4]
    for no_number in ("", "four", "-2", "1.5", "$CORES"):
        monkeypatch.setenv("OMP_NUM_THREADS", no_number)
        assert cores.choose_threads(1) == 8


def test_the_next_family_starts_when_all_trials_run_and_leave_cores(machine: dict[str, float]) -> None:
    first, second = request(), request("resnext")
    pool = TrialPool([first, second])
    assert not pool.has_room(second, ["autoencoder"])
    pool.enter("autoencoder", State(running=2, trials_left=3))
    assert not pool.has_room(second, ["autoencoder"])
    pool.enter("autoencoder", State(running=1, trials_left=1))
    assert pool.has_room(second, ["autoencoder"])
    machine["CPU"] = 1.0
    assert not pool.has_room(second, ["autoencoder"])


def test_workers_limit_the_trials_of_all_families(machine: dict[str, float]) -> None:
    free, limited = (TrialPool([request(workers=most), request("resnext", workers=most)]) for most in (None, 2))
    for pool in (free, limited):
        assert pool.claim_place("autoencoder")
        assert pool.claim_place("resnext")
    assert free.claim_place("resnext")
    assert not limited.claim_place("resnext")
    limited.free_place("autoencoder")
    assert limited.claim_place("resnext")
    limited.leave("resnext")
    assert limited.claim_place("autoencoder")


def test_a_lone_trial_shares_with_other_families_where_workers_are_given() -> None:
    done = SearchRequest(space(), Path("data"), Path("done"), trials=[Trial("autoencoder", 1, {}, state="finished")])
    assert TrialPool([done, request("resnext", trials=1)]).count_trials("resnext") == 1
    assert TrialPool([request(workers=4), request("resnext", trials=1, workers=4)]).count_trials("resnext") == 4
