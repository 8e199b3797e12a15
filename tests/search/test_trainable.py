from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray

from leigh_mlops.search import trainable
from leigh_mlops.search.request import CHECKPOINT_KEY, NUMBER_KEY, THREADS_KEY
from leigh_mlops.training import DividedTrial, LostProcessError, PreparedData
from tests.search.searches import space

CONFIG = {NUMBER_KEY: 1, CHECKPOINT_KEY: "", THREADS_KEY: 4, "learning_rate": 0.001, "batch_size": 8, "epochs": 2}


class ExitError(Exception):
    """The end of the process."""


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A worker of Tune with GPUs that a test chooses; its trials lose a process at once."""
    seen = SimpleNamespace(gpus=[0], divided=[], alone=0, threads=[], reports=[])

    def run_divided_trial(trial: DividedTrial, ranks: int) -> Iterator[Any]:
        seen.divided.append((trial, ranks))
        raise LostProcessError("a process of the trial ended with code -9")

    def run_trial(*arguments: Any, **options: Any) -> Iterator[Any]:
        seen.alone += 1
        return iter(())

    def leave(code: int) -> None:
        raise ExitError(code)

    monkeypatch.setattr(ray, "get_gpu_ids", lambda: seen.gpus)
    monkeypatch.setattr(trainable, "run_trial", run_trial)
    monkeypatch.setattr(trainable, "run_divided_trial", run_divided_trial)
    monkeypatch.setattr(trainable.tune, "get_checkpoint", lambda: None)
    monkeypatch.setattr(trainable.tune, "report", seen.reports.append)
    monkeypatch.setattr(trainable.torch, "set_num_threads", seen.threads.append)
    monkeypatch.setattr(trainable.torch, "get_num_threads", lambda: seen.threads[-1])
    monkeypatch.setattr(trainable.os, "_exit", leave)
    monkeypatch.setattr(PreparedData, "load", lambda folder: folder)
    return seen


def run() -> None:
    trainable._run_safely(CONFIG, space=space(), data="data", seed=3)


@pytest.mark.parametrize("gpus", [[], [0]])
def test_a_trial_of_one_gpu_trains_in_its_worker(worker: SimpleNamespace, gpus: list[int]) -> None:
    worker.gpus = gpus
    run()
    assert (worker.alone, worker.divided, worker.threads) == (1, [], [4])


def test_a_trial_of_two_gpus_has_two_processes_and_dies_with_them(worker: SimpleNamespace) -> None:
    worker.gpus = [0, 1]
    with pytest.raises(ExitError):
        run()
    ((trial, ranks),) = worker.divided
    assert (trial.family, trial.data, trial.options["seed"], ranks) == ("autoencoder", Path("data"), 3, 2)
    assert (worker.alone, worker.threads, worker.reports) == (0, [4, 2], [])
