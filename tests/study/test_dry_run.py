from typing import Any

import pytest

from leigh_mlops.study.dry_run import FamilyPlan, divide_machine, estimate_duration
from tests.search.searches import space


def plan(trials: int, epoch_s: float, *, cores: int = 8, workers: int | None = None, **changes: Any) -> FamilyPlan:
    """A family whose trials have two epochs, on a machine without GPUs."""
    searched = space(trials=trials, **changes)
    concurrent, share = divide_machine(searched, cores, 0, workers)
    return FamilyPlan(searched, 2, concurrent, share, 0, epoch_s, 0)


def test_a_family_takes_the_room_that_the_one_before_leaves() -> None:
    # Of eight cores, each of three trials has two, and a trial of another family that needs two has the others.
    first, second = plan(3, 10.0), plan(4, 5.0, resources={"cpus": 2})
    assert [each.machine_share for each in (first, second)] == [0.25, 0.25]
    assert [each.search_s for each in (first, second)] == [20, 10]
    assert estimate_duration([first, second]) == 30
    assert estimate_duration([first, plan(1, 5.0)]) == 30


def test_families_that_fill_the_machine_come_one_after_another() -> None:
    first, second = plan(8, 10.0), plan(16, 5.0)
    assert estimate_duration([first, second]) == first.search_s + second.search_s == 40


def test_a_trial_takes_its_place_as_soon_as_one_is_free() -> None:
    long, short = plan(2, 30.0, workers=2), plan(1, 10.0, workers=2)
    assert estimate_duration([long, short]) == 80
    assert estimate_duration([short, long]) == 80
    three = plan(3, 10.0, workers=2)
    assert (estimate_duration([three]), three.search_s) == (40, 40)
    assert estimate_duration([three, short]) == 40


def test_a_population_shares_with_nobody() -> None:
    members = {"algorithm": "pbt", "space": {"learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}}}
    population, other = plan(2, 10.0, workers=4, **members), plan(1, 10.0, workers=4)
    assert estimate_duration([other, plan(2, 10.0, workers=4)]) == 20
    assert estimate_duration([other, population, other]) == 60


@pytest.mark.parametrize(("gpus", "share", "concurrent"), [(0.5, 0.125, 8), (1, 0.25, 4), (2, 0.5, 2), (3, 0.75, 1)])
def test_trials_on_gpus_share_the_gpus(gpus: float, share: float, concurrent: int) -> None:
    searched = space(trials=20, resources={"gpus": gpus})
    assert divide_machine(searched, 64, 4, None) == (concurrent, share)
    assert divide_machine(searched, 64, 4, 1) == (1, 1)
