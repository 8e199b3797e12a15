from pathlib import Path
from types import SimpleNamespace
from typing import Any

from leigh_mlops.search import SearchRequest
from leigh_mlops.search.request import NUMBER_KEY
from leigh_mlops.search.schedulers import ResumableASHA, ResumablePBT, build_scheduler
from leigh_mlops.settings import SearchSpace
from leigh_mlops.trials import Trial
from tests.search.searches import space


def test_what_the_halving_knows_is_known_again() -> None:
    searched = space(early_stopping="asha", published=space().published | {"epochs": 9}, trials=9)
    earlier = [
        Trial("autoencoder", number, dict(searched.published), epochs=[{"val/mse": 0.1 * number}] * 3, state="finished")
        for number in range(1, 6)
    ]
    fresh, knowing = (
        build_scheduler(SearchRequest(searched, Path("data"), Path("folder"), trials=trials))
        for trials in ([], earlier)
    )
    rungs = [scheduler._brackets[0]._rungs[-1][1] for scheduler in (fresh, knowing)]
    assert rungs[0] == {}
    assert rungs[1] == {trial.name: -trial.epochs[0]["val/mse"] for trial in earlier}


def test_a_trial_that_goes_on_is_no_second_one_for_the_halving() -> None:
    searched = space(early_stopping="asha", published=space().published | {"epochs": 15}, trials=9)
    begun = Trial("autoencoder", 2, dict(searched.published), epochs=[{"val/mse": 0.4}] * 4)
    scheduler = ResumableASHA(SearchRequest(searched, Path("data"), Path("folder"), trials=[begun]))
    scheduler.set_search_properties("val/mse", "min")
    controller, trial = SimpleNamespace(), SimpleNamespace(trial_id="tune", config={NUMBER_KEY: 2})
    scheduler.on_trial_add(controller, trial)
    scheduler.on_trial_result(controller, trial, {"epoch": 5, "val/mse": 0.1})
    assert scheduler._brackets[0]._rungs[-1] == (3, {"tune": -0.4})


class Member:
    """A trial, as a population meets it."""

    def __init__(self, config: dict[str, Any]) -> None:
        kept = SimpleNamespace(checkpoint_config=SimpleNamespace(num_to_keep=3))
        self.config, self.status, self.experiment_tag = dict(config), "RUNNING", ""
        self.run_metadata = SimpleNamespace(checkpoint_manager=kept)
        self.temporary_state, self.checkpoint = SimpleNamespace(saving_to=None), None
        self.last_result: dict[str, Any] = {}

    def is_finished(self) -> bool:
        return self.status in ("ERROR", "TERMINATED")


class Controller:
    """Tune's own, as a population meets it."""

    search_alg = None

    def __init__(self, searched: SearchSpace, trials: list[Trial]) -> None:
        self.population = ResumablePBT(SearchRequest(searched, Path("data"), Path("folder"), trials=trials))
        self.population.set_search_properties("val/mse", "min")
        self.members = [Member(trial.config) for trial in trials]
        self.live = set(self.members)
        for member in self.members:
            self.population.on_trial_add(self, member)

    def get_trials(self) -> list[Member]:
        return self.members

    def get_live_trials(self) -> set[Member]:
        return self.live

    def report(self, number: int, epoch: int) -> None:
        """A member's epoch; it is paused where the population says so."""
        member = self.members[number]
        member.last_result = {"epoch": epoch, "val/mse": 0.1 * number}
        if self.population.on_trial_result(self, member, member.last_result) == "PAUSE":
            member.status = "PAUSED"

    def paused(self) -> list[bool]:
        return [member.status == "PAUSED" for member in self.members]


def population(*epochs: int) -> Controller:
    """A population of 20 epochs, and thus meetings at every fourth; its members ran so many."""
    searched = space(algorithm="pbt", published=space().published | {"epochs": 20}, trials=len(epochs))
    config = dict(searched.published)
    return Controller(
        searched,
        [
            Trial("autoencoder", number, config, epochs=[{"val/mse": 0.1}] * many)
            for number, many in enumerate(epochs, start=1)
        ],
    )


def test_a_population_does_not_wait_for_a_member_whose_worker_died_for_good() -> None:
    controller = population(0, 0, 0)
    dead = controller.members[2]
    controller.report(0, 4)
    controller.report(1, 4)
    assert controller.population.choose_trial_to_run(controller) is None
    controller.population.on_trial_error(controller, dead)
    dead.status = "ERROR"
    assert controller.population.choose_trial_to_run(controller) in controller.members[:2]
    assert controller.population._next_perturbation_sync == 8
    for number in (0, 1):
        controller.members[number].status = "RUNNING"
        controller.report(number, 5)
    assert controller.paused() == [False, False, False]


def test_members_that_go_on_from_different_epochs_meet_at_the_same_one() -> None:
    controller = population(7, 5)
    for number, epoch in ((0, 8), (1, 6), (1, 7)):
        controller.report(number, epoch)
    assert controller.paused() == [True, False]
    controller.report(1, 8)
    assert controller.population._next_perturbation_sync == 12
    # Where one has been at a meeting that the other has not, the next one is theirs.
    controller = population(8, 7)
    for number, epoch in ((0, 9), (1, 8), (1, 9), (1, 10)):
        controller.report(number, epoch)
    assert controller.paused() == [False, False]


def test_a_member_at_another_epoch_is_not_taken_over() -> None:
    controller = population(0, 0)
    states = controller.population._trial_state
    for number, epoch in ((0, 4), (1, 4)):
        states[controller.members[number]].last_score = -float(number)
        states[controller.members[number]].last_train_time = epoch
    assert controller.population._quantiles() == ([controller.members[1]], [controller.members[0]])
    states[controller.members[0]].last_train_time = 5
    assert controller.population._quantiles() == ([], [])
