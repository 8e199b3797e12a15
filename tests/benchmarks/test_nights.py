from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from unittest.mock import patch

import pytest

from benchmarks.nights.checker import calm_facts, expected_epochs, find_faults, find_seed_faults, read_night
from benchmarks.nights.disk import Disk
from benchmarks.nights.faults import Fault, draw_faults
from benchmarks.nights.night import TRIALS, Night
from benchmarks.nights.process import EPOCHS, score
from leigh_mlops.events import Event
from leigh_mlops.tracking import Measurement, Run, runs
from leigh_mlops.trials import Journal

SEEDS = range(200)


def test_a_calm_night_leaves_each_thing_once() -> None:
    facts = calm_facts()
    assert facts["problems"] == facts["running"] == facts["left on the disk"] == []
    assert facts["epochs"] == expected_epochs()
    finished = [1, 3, 4]
    best = min(finished, key=lambda number: min(score(number, epoch) for epoch in range(1, EPOCHS + 1)))
    assert facts["winner"] == facts["versions"] == [f"autoencoder-{best}"]
    assert facts["aliases"] == {"champion": facts["versions"]}
    assert [status for kind, _, status in facts["runs"] if kind == "autoencoder"].count("FINISHED") == TRIALS - 1


def test_no_schedule_of_faults_loses_or_doubles_anything() -> None:
    assert {seed: faults for seed in SEEDS if (faults := find_seed_faults(seed))} == {}


@pytest.mark.parametrize("tag", ["decision", "mlflow.parentRunId"])
def test_a_tag_with_another_value_is_found(tag: str) -> None:
    night = Night(0, {})
    night.play()
    assert find_faults(read_night(night), calm_facts()) == []
    (winner,) = (run for run in night.server.runs.values() if run.tags.get("winner"))
    winner.tags[tag] = "another"
    (fault,) = find_faults(read_night(night), calm_facts())
    assert fault.startswith(f"tags of {winner.name} of {tag}: another instead of ")


def test_every_kind_of_fault_happens() -> None:
    assert {kind for seed in SEEDS for kind in draw_faults(seed).values()} == set(Fault)


def test_a_seed_replays() -> None:
    def log_of(seed: int) -> list[str]:
        lines: list[str] = []
        night = Night(seed, draw_faults(seed), lines.append)
        night.play()
        assert find_faults(read_night(night), calm_facts()) == []
        return lines

    assert log_of(3) == log_of(3) != log_of(4)


def show_before_write() -> AbstractContextManager[object]:
    """Let others see an event before it is written."""
    write = Journal.append

    def append(journal: Journal, event: Event) -> None:
        journal.events.append(event)
        write(journal, event)
        journal.events.pop()

    return patch.object(Journal, "append", append)


def lose_flushes() -> AbstractContextManager[object]:
    """Leave everything in the cache of the disk."""
    return patch.object(Disk, "flush", lambda disk, path: None)


def deliver_twice() -> AbstractContextManager[object]:
    """Give what is delivered the time of its delivery, so that a second one is another."""
    log = Run.log_measurements

    def log_now(run: Run, measured: Sequence[Measurement]) -> None:
        log(run, [replace(each, time=runs.time.time()) for each in measured])

    return patch.object(Run, "log_measurements", log_now)


def failing_seeds() -> Iterator[int]:
    return (seed for seed in SEEDS if find_seed_faults(seed))


@pytest.mark.parametrize("bug", [show_before_write, lose_flushes, deliver_twice])
def test_a_bug_that_is_planted_is_found(bug: Callable[[], AbstractContextManager[object]]) -> None:
    calm_facts()
    with bug():
        assert next(failing_seeds(), None) is not None
