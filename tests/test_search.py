from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from leigh_mlops.commands import _ENVIRONMENT
from leigh_mlops.search import ray_cluster, run_search
from leigh_mlops.settings import SearchSpace
from tests.conftest import write_class_folders
from tests.training.conftest import prepared


class Notes:
    """Writes down what it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []

    def started(self, trial: str, number: int, config: dict[str, Any]) -> None:
        self.heard.append(("started", trial))

    def epoch_done(self, trial: str, epoch: int, metrics: dict[str, float]) -> None:
        self.heard.append(("epoch", trial, epoch))

    def ended(self, trial: str, error: str | None) -> None:
        self.heard.append(("ended", trial, error))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in _ENVIRONMENT.items():
            patch.setenv(name, value)
        folder = tmp_path_factory.mktemp("search")
        patch.setenv("LEIGH_CACHE", str(folder / "cache"))
        prepared(write_class_folders(folder / "plate", size=32)).save(folder / "data")
        with ray_cluster():
            yield folder


def space(**changes: Any) -> SearchSpace:
    values = {
        "family": "autoencoder",
        "metric": "val/mse",
        "early_stopping": "none",
        "trials": 3,
        "image_size": 32,
        "published": {"learning_rate": 0.001, "batch_size": 8, "epochs": 2, "flip": 0.5},
        "space": {"learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}, "flip": [0.0, 0.5]},
    }
    return SearchSpace.model_validate(values | changes)


@pytest.mark.parametrize("algorithm", ["random", "optuna"])
@pytest.mark.parametrize("early_stopping", ["asha", "none"])
def test_the_published_configuration_comes_first_and_every_trial_is_heard_of(
    place: Path, algorithm: str, early_stopping: str
) -> None:
    notes = Notes()
    searched = space(algorithm=algorithm, early_stopping=early_stopping)
    results = run_search(
        searched, place / "data", folder=place / f"{algorithm}-{early_stopping}", listener=notes, seed=1
    )
    assert [result.number for result in results] == [1, 2, 3]
    assert results[0].config["learning_rate"] == 0.001
    assert results[0].config["flip"] == 0.5
    assert len({result.config["learning_rate"] for result in results}) == 3
    for result in results:
        assert result.error is None
        assert result.checkpoint is not None
        assert (result.checkpoint / "best.safetensors").exists()
        assert result.best["val/mse"] == min(epoch["val/mse"] for epoch in result.epochs)
        assert next(note for note in notes.heard if note[1] == result.trial) == ("started", result.trial)
        assert ("ended", result.trial, None) in notes.heard


def test_a_trial_that_fails_fails_alone(place: Path) -> None:
    notes = Notes()
    broken = space(
        space={"init": ["random", "/nowhere.safetensors"]}, trials=6, published=space().published | {"init": "random"}
    )
    results = run_search(broken, place / "data", folder=place / "broken", listener=notes, seed=3)
    failed = [result for result in results if result.error]
    assert 0 < len(failed) < len(results)
    assert all("nowhere.safetensors" in str(result.error) for result in failed)
    assert all(result.best for result in results if not result.error)


def test_a_budget_of_time_ends_it(place: Path) -> None:
    long = space(published=space().published | {"epochs": 100000}, trials=2)
    # Workers start within the budget, which a busy machine may need more of.
    for seconds in (30, 90, 240):
        folder = place / f"budget_{seconds}"
        results = run_search(long, place / "data", folder=folder, listener=Notes(), seed=1, time_budget_s=seconds)
        if any(result.checkpoint for result in results):
            break
    assert results
    assert all(len(result.epochs) < 100000 for result in results)
    assert any(result.checkpoint for result in results)


def test_as_many_trials_run_at_once_as_there_are_workers(place: Path) -> None:
    notes = Notes()
    run_search(space(), place / "data", folder=place / "one", listener=notes, seed=1, workers=1)
    running, most = set(), 0
    for kind, trial, *_ in notes.heard:
        running.add(trial) if kind == "started" else running.discard(trial) if kind == "ended" else None
        most = max(most, len(running))
    assert most == 1
