import math

import numpy as np
import pytest

from benchmarks.freeze_thaw import FreezeThaw, Halving, MedianStop, RandomSearch, count_epochs, replay, search_space
from leigh_mlops.sampling import draw

SPACE = search_space()


def trials(count=12, epochs=8):
    """Trials whose losses fall the lower, the nearer their learning rate is to 0.003."""
    made = []
    for number in range(1, count + 1):
        config = draw(SPACE, number)
        end = 0.2 + 0.3 * abs(math.log(config["learning_rate"] / 0.003))
        losses = [end + (0.7 - end) * math.exp(-0.4 * epoch) for epoch in range(epochs)]
        made.append({"config": config, "losses": losses})
    return made


def curves(made):
    return [trial["losses"] for trial in made]


def test_random_search_trains_every_trial_to_its_end():
    made = trials(4)
    seen = list(replay(curves(made), RandomSearch(SPACE, made, 0)))
    assert sorted(seen) == sorted(np.concatenate(curves(made)))
    # Two workers take turns.
    assert seen[:4] == [made[0]["losses"][0], made[1]["losses"][0], made[0]["losses"][1], made[1]["losses"][1]]


@pytest.mark.parametrize("kind", [Halving, MedianStop])
def test_trials_that_look_bad_are_stopped(kind):
    made = trials()
    made.sort(key=lambda trial: trial["losses"][-1])
    spent = len(list(replay(curves(made), kind(SPACE, made, 0))))
    assert spent < sum(map(len, curves(made)))


def test_a_goal_that_a_stop_prevents_is_never_found():
    made = trials(6)
    made.sort(key=lambda trial: trial["losses"][-1])
    late = {"config": made[0]["config"], "losses": [2.0] * 7 + [0.01]}
    made.append(late)
    assert count_epochs(curves(made), MedianStop(SPACE, made, 0), 0.01) == math.inf
    everything = sum(map(len, curves(made)))
    assert count_epochs(curves(made), RandomSearch(SPACE, made, 0), 0.01) == everything
    assert count_epochs(curves(made), RandomSearch(SPACE, made, 0), 0.01, everything - 1) == math.inf


def test_freeze_thaw_finds_the_best_sooner():
    made = trials()
    made.sort(key=lambda trial: -trial["losses"][-1])
    goal = min(map(min, curves(made)))
    slow, quick = (count_epochs(curves(made), kind(SPACE, made, 0), goal) for kind in (RandomSearch, FreezeThaw))
    assert slow > 90
    assert quick < 0.5 * slow
