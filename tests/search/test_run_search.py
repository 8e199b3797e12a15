import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from leigh_mlops.errors import LeighError
from leigh_mlops.events import Drawn, Ended, EpochDone, TrialEvent
from leigh_mlops.search import SearchRequest
from leigh_mlops.search.callback import StalledError
from leigh_mlops.search.run_search import run_search
from leigh_mlops.trials import Trial, collect_trials
from tests.search.searches import found, space

pytestmark = pytest.mark.ray


@pytest.mark.parametrize(("algorithm", "stopping"), [("optuna", "asha"), ("pbt", "none")])
def test_the_published_configuration_comes_first_and_every_trial_is_heard_of(
    place: Path, algorithm: str, stopping: str
) -> None:
    searched = space(algorithm=algorithm, early_stopping=stopping)
    how, trials, told = found(SearchRequest(searched, place / "data", place / f"{algorithm}-{stopping}", seed=1))
    assert how == "complete"
    assert [trial.number for trial in trials] == [1, 2, 3]
    first = next(event for event in told if isinstance(event, Drawn))
    assert (first.number, first.config) == (1, searched.published)
    for trial in trials:
        assert (trial.state, trial.error) == ("finished", None)
        assert trial.checkpoint is not None
        assert (trial.checkpoint / "best.safetensors").exists()
        assert trial.best["val/mse"] == trial.epochs[trial.best_epoch - 1]["val/mse"] or algorithm == "pbt"
        assert f"autoencoder-{trial.number}" in str(trial.checkpoint)


def test_a_population_changes_hyperparameters_and_goes_on_from_the_better(place: Path) -> None:
    # Three epochs from meeting to meeting, by which more members than run at once must not lose their start.
    published = space().published | {"epochs": 15}
    searched = space(algorithm="pbt", trials=4, published=published)
    how, trials, told = found(SearchRequest(searched, place / "data", place / "population", seed=1))
    assert how == "complete"
    assert [len(trial.epochs) for trial in trials] == [15] * 4
    drawn = {event.number: event.config for event in told if isinstance(event, Drawn)}
    assert any(trial.config != drawn[trial.number] for trial in trials)
    for event in told:
        if isinstance(event, EpochDone):
            assert 1e-4 <= event.config["learning_rate"] <= 1e-2
            assert event.config["batch_size"] == 8


def test_a_trial_that_fails_fails_alone(place: Path) -> None:
    broken = space(
        space={"init": ["random", "/nowhere.safetensors"]}, trials=6, published=space().published | {"init": "random"}
    )
    how, trials, told = found(SearchRequest(broken, place / "data", place / "broken", seed=3))
    failed = [trial for trial in trials if trial.error]
    assert how == "complete"
    assert 0 < len(failed) < len(trials)
    assert all("nowhere.safetensors" in str(trial.error) for trial in failed)
    assert all(trial.best for trial in trials if not trial.error)
    assert not any(event.trace for event in told if isinstance(event, Ended))


def test_a_population_outlives_a_member_that_fails_stops_and_goes_on(place: Path) -> None:
    published = space().published | {"epochs": 6, "init": "random"}
    searched = space(
        algorithm="pbt",
        trials=3,
        published=published,
        space=space().model_dump()["space"] | {"init": ["random", "/nowhere.safetensors"]},
    )
    stop, known = threading.Event(), list[TrialEvent]()

    def hear(event: TrialEvent) -> None:
        known.append(event)
        if {EpochDone, Ended} <= {type(each) for each in known}:
            stop.set()

    request = SearchRequest(searched, place / "data", place / "outlived", seed=1)
    assert run_search(request, hear, stop) == "stopped"
    trials = collect_trials(known, "autoencoder")
    failed = [trial for trial in trials.values() if trial.state == "failed"]
    assert len(failed) == 1
    assert all("nowhere.safetensors" in str(trial.error) for trial in failed)
    assert all(trial.state == "drawn" and len(trial.epochs) < 6 for trial in trials.values() if trial not in failed)
    how, again, told = found(replace(request, folder=place / "outlived-on", trials=list(trials.values())))
    assert how == "complete"
    for trial in again:
        assert trial.state == trials[trial.number].state if trial.error else trial.state == "finished"
        mine = [event for event in [*known, *told] if event.number == trial.number]
        heard = [event.epoch for event in mine if isinstance(event, EpochDone)]
        assert heard == ([] if trial.error else [1, 2, 3, 4, 5, 6])


def test_a_trial_that_asks_for_more_memory_than_there_is_fails_alone(place: Path) -> None:
    greedy = space(resources={"memory_gib": 1e6}, trials=2)
    how, trials, _ = found(SearchRequest(greedy, place / "data", place / "greedy"))
    assert how == "complete"
    assert [trial.state for trial in trials] == ["failed", "failed"]
    assert "needs 1000000.0 GiB of memory, but the largest machine offers" in str(trials[0].error)


def test_members_that_ask_for_more_memory_than_there_is_fail_alone(place: Path) -> None:
    greedy = space(algorithm="pbt", resources={"memory_gib": 1e6}, trials=2)
    how, trials, _ = found(SearchRequest(greedy, place / "data", place / "greedy-population"))
    assert how == "complete"
    assert [trial.state for trial in trials] == ["failed", "failed"]


def test_a_trial_that_ran_and_no_longer_fits_into_memory_waits_for_it(place: Path) -> None:
    greedy = space(resources={"memory_gib": 1e6}, trials=2)
    ran = Trial("autoencoder", 1, dict(greedy.published), epochs=[{"val/mse": 0.1}])
    told: list[TrialEvent] = []
    with pytest.raises(LeighError, match=r"^autoencoder-1 needs .* free; free memory, then continue with --resume\.$"):
        run_search(SearchRequest(greedy, place / "data", place / "waits", trials=[ran]), told.append)
    assert not told


@pytest.mark.parametrize("algorithm", ["random", "pbt"])
def test_more_cores_than_any_machine_has_are_refused_at_once(place: Path, algorithm: str) -> None:
    wide = space(resources={"cpus": 1000}, algorithm=algorithm)
    told: list[TrialEvent] = []
    with pytest.raises(LeighError, match="A trial requests 1000 CPUs and 0 GPUs on one machine, but the largest has"):
        run_search(SearchRequest(wide, place / "data", place / "wide"), told.append)
    assert not told


def test_an_objective_that_no_epoch_has_is_said(place: Path) -> None:
    searched = space(algorithm="optuna", objectives=[{"metric": "val/beauty"}], trials=1)
    _, trials, _ = found(SearchRequest(searched, place / "data", place / "beauty"))
    assert "'val/beauty' is not a score of autoencoder; choose one of" in str(trials[0].error)


def test_a_search_goes_on_where_it_was(place: Path) -> None:
    """Three of three trials end as in a search that was never interrupted, whatever was known of them before."""
    published = space().published | {"epochs": 4}
    searched = space(published=published)
    _, whole, told = found(SearchRequest(searched, place / "data", place / "whole", seed=1))
    second = [event for event in told if event.number == 2]
    known = [
        *(event for event in told if event.number == 1),
        *(event for event in second if isinstance(event, Drawn) or (isinstance(event, EpochDone) and event.epoch <= 2)),
    ]
    trials = list(collect_trials(known, "autoencoder").values())
    assert [len(trial.epochs) for trial in trials] == [4, 2]
    # The checkpoint of the second epoch is gone by now: the oldest that is kept is the third to last.
    kept = next(event for event in second if isinstance(event, EpochDone) and event.epoch == 2).checkpoint
    assert Path(kept).exists()
    more: list[TrialEvent] = []
    request = SearchRequest(searched, place / "data", place / "rest", seed=1, trials=trials)
    assert run_search(request, more.append) == "complete"
    assert {event.number for event in more} == {2, 3}
    assert [event.epoch for event in more if isinstance(event, EpochDone) and event.number == 2] == [3, 4]
    again = collect_trials([*known, *more], "autoencoder")
    for trial in whole:
        assert again[trial.number].config == trial.config
        for ours, theirs in zip(again[trial.number].epochs, trial.epochs, strict=True):
            assert ours["val/mse"] == theirs["val/mse"]


@contextmanager
def deadly(deaths: int) -> Iterator[list[int]]:
    """Kill the next workers of this process's cluster as soon as they train; gives the numbers of those killed."""
    killed: list[int] = []
    over = threading.Event()

    def kill() -> None:
        while len(killed) < deaths and not over.wait(0.05):
            for process in psutil.Process().children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    name = " ".join(process.cmdline())
                    if name.startswith("ray::") and "train" in name and process.pid not in killed:
                        process.kill()
                        killed.append(process.pid)

    thread = threading.Thread(target=kill)
    thread.start()
    yield killed
    over.set()
    thread.join()


@pytest.mark.parametrize(("deaths", "state"), [(2, "finished"), (100, "failed")])
def test_a_worker_that_dies_starts_again_and_one_that_dies_thrice_fails(place: Path, deaths: int, state: str) -> None:
    searched = space(trials=1, published=space().published | {"epochs": 3})
    request = SearchRequest(searched, place / "data", place / f"deaths-{deaths}", workers=1)
    with deadly(deaths) as killed:
        try:
            how, trials, told = found(request, longest_wait_s=90)
        except StalledError:
            pytest.skip("Ray lost the resources of a killed worker; then the driver starts another search process")
    assert how == "complete"
    assert len(killed) >= min(deaths, 3)
    assert trials[0].state == state
    if state == "finished":
        assert [event.epoch for event in told if isinstance(event, EpochDone)] == [1, 2, 3]
    else:
        assert trials[0].error == "its worker died 3 times in epoch 1, as it does where memory runs out"


def test_a_budget_of_time_ends_it(place: Path) -> None:
    long = space(published=space().published | {"epochs": 100000}, trials=2)
    # Workers start within the budget, which a busy machine may need more of.
    for seconds in (15, 60, 240):
        request = SearchRequest(long, place / "data", place / f"budget_{seconds}", seed=1, time_budget_s=seconds)
        how, trials, _ = found(request)
        if any(trial.checkpoint for trial in trials):
            break
    assert how == "time"
    assert trials
    assert all(trial.has_ended and len(trial.epochs) < 100000 for trial in trials)
    assert any(trial.checkpoint for trial in trials)


def test_a_search_that_is_asked_to_stop_ends_with_its_epochs_and_goes_on(place: Path) -> None:
    stop = threading.Event()
    told: list[TrialEvent] = []

    def hear(event: TrialEvent) -> None:
        told.append(event)
        if isinstance(event, EpochDone):
            stop.set()

    request = SearchRequest(space(published=space().published | {"epochs": 5}), place / "data", place / "stopped")
    assert run_search(request, hear, stop) == "stopped"
    trials = collect_trials(told, "autoencoder")
    assert 0 < sum(len(trial.epochs) for trial in trials.values()) < 10
    assert not any(trial.has_ended for trial in trials.values())
    how, again, _ = found(replace(request, folder=place / "gone-on", trials=list(trials.values())))
    assert how == "complete"
    assert [len(trial.epochs) for trial in again] == [5, 5, 5]


def test_a_full_disk_is_no_trials_fault(place: Path) -> None:
    # A worker can't be given a full disk, but words as one would say them.
    searched = space(published=space().published | {"init": "/nowhere: No space left on device"}, space={})
    with pytest.raises(LeighError, match=r"The disk is full .*; free space, then continue with --resume"):
        found(SearchRequest(searched, place / "data", place / "full"))


@pytest.mark.parametrize("memory_gib", [None, 0.1])
def test_a_machine_that_cant_read_the_data_is_no_trials_fault(place: Path, memory_gib: float | None) -> None:
    # Memory that is given needs no look at the data before a worker has one.
    searched, told = space(resources={"memory_gib": memory_gib}), list[TrialEvent]()
    with pytest.raises(LeighError, match=r"data\.json.*; fix this, then continue with --resume\.$"):
        run_search(SearchRequest(searched, place / "nothing", place / "unreadable"), told.append)
    assert {type(event) for event in told} == ({Drawn} if memory_gib else set())


@pytest.mark.parametrize("workers", [2, 1])
def test_as_many_trials_run_at_once_as_there_are_workers(place: Path, workers: int) -> None:
    request = SearchRequest(space(), place / "data", place / f"workers-{workers}", seed=1, workers=workers)
    _, _, told = found(request)
    running, most = set(), 0
    for event in told:
        running.add(event.number) if isinstance(event, Drawn) else None
        running.discard(event.number) if isinstance(event, Ended) else None
        most = max(most, len(running))
    assert most == workers
