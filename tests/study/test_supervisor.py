import io
import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from leigh_mlops.errors import LeighError, StoppedError
from leigh_mlops.events import EpochDone, TrialEvent
from leigh_mlops.search import SearchPlan, SearchProcess, SearchRequest, cluster_start, process
from leigh_mlops.search.request import SearchStart
from leigh_mlops.settings import SearchSpace
from leigh_mlops.study import supervisor
from leigh_mlops.study.supervisor import Supervisor
from leigh_mlops.trials import Journal
from tests.study import processes
from tests.study.processes import EPOCHS


class Study:
    """A supervisor with a journal, and what it hears."""

    def __init__(self, folder: Path) -> None:
        published = {"learning_rate": 0.1, "epochs": EPOCHS}
        space = SearchSpace.model_validate({"family": "resnext", "metric": "val/log_loss", "published": published})
        self.request = SearchRequest(space, folder / "data", folder / "resnext")
        self.journal = Journal(folder / "journal.jsonl")
        self.heard: list[TrialEvent] = []
        self.starts: list[SearchStart] = []

        self.said = io.StringIO()

    def search(self, serve: Any, patience_s: float = 60.0) -> Any:
        console = Console(file=self.said, width=300)
        with SearchProcess(serve=serve, start_patience_s=patience_s) as searching:
            plan = SearchPlan([self.request])
            found = Supervisor(self.journal, console, searching).search(plan, self.heard.append, self.starts.append)
            return found["resnext"]

    def whats(self) -> list[str]:
        return [event.what for event in self.journal.events]


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    monkeypatch.setattr(process, "START_S", 60.0)
    monkeypatch.setattr(process, "SILENCE_S", 1.0)
    monkeypatch.setattr(supervisor, "RESTART_WAIT_S", 0.01)
    monkeypatch.setattr(cluster_start, "_FIRST_WAIT_S", 0.01)
    monkeypatch.setenv("STARTS", str(tmp_path / "starts"))
    return Study(tmp_path)


def test_what_is_heard_stands_in_the_journal(study: Study) -> None:
    trials = study.search(processes.steady)
    assert [(trial.number, len(trial.epochs), trial.state) for trial in trials] == [(1, EPOCHS, "finished")]
    assert study.whats() == ["started", "drawn", *["epoch"] * EPOCHS, "ended", "searched"]
    assert study.heard == study.journal.events[1:-1]
    # A search that is over is not searched again.
    assert [trial.state for trial in study.search(processes.barren)] == ["finished"]


def test_a_checkpoint_is_on_the_disk_before_the_journal_names_it(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[tuple[str, int]] = []
    monkeypatch.setattr(
        supervisor, "flush_checkpoint", lambda folder: flushed.append((str(folder), study.whats().count("epoch")))
    )
    study.search(processes.steady)
    assert flushed == [("c", number) for number in range(EPOCHS)]


@pytest.mark.parametrize("serve", [processes.mortal, processes.mute])
def test_a_process_that_is_gone_is_started_again_where_it_was(serve: Any, study: Study) -> None:
    trials = study.search(serve)
    assert [(trial.number, len(trial.epochs), trial.state) for trial in trials] == [(1, EPOCHS, "finished")]
    assert study.whats().count("started") == 2
    assert study.starts == [SearchStart("resnext", None)]
    assert study.whats().count("drawn") == 1
    assert [event.epoch for event in study.journal.events if isinstance(event, EpochDone)] == [1, 2, 3, 4]


def test_a_process_that_dies_again_and_again_ends_it_with_a_sentence(study: Study) -> None:
    with pytest.raises(LeighError, match="died 5 times without finishing an epoch; check the machine's memory"):
        study.search(processes.barren)
    assert study.whats() == ["started"] * 5


def test_failed_starts_are_no_deaths(study: Study) -> None:
    trials = study.search(processes.tardy)
    assert [(trial.number, len(trial.epochs), trial.state) for trial in trials] == [(1, EPOCHS, "finished")]
    assert study.whats().count("started") == 7
    said = study.said.getvalue()
    assert "died" not in said
    assert said.count("Ray did not start (The node timed out during startup; load ") == 5
    assert said.count("Ray did not start (its process ended with code -9; load ") == 1
    assert "; trying again in 0 s, for at most 1 minutes" in said


def test_the_patience_with_starts_ends_with_a_sentence(study: Study) -> None:
    with pytest.raises(
        LeighError, match=r"Ray did not start in 1 attempt within 0 minutes \(The node .*; load .*--ray-"
    ):
        study.search(processes.absent, patience_s=0)


def test_a_signal_ends_the_wait_for_a_start(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_start, "_FIRST_WAIT_S", 60.0)
    said = study.said

    class Interrupting(io.StringIO):
        def write(self, text: str) -> int:
            if "trying again in 60 s" in text:
                os.kill(os.getpid(), signal.SIGTERM)
            return said.write(text)

    study.said = Interrupting()
    with pytest.raises(StoppedError):
        study.search(processes.absent)


def test_a_process_that_breaks_says_why(study: Study) -> None:
    with pytest.raises(LeighError, match=r"without finishing an epoch \(RayError: the head is gone\); check the"):
        study.search(processes.broken)


def test_what_the_process_refuses_is_said(study: Study) -> None:
    with pytest.raises(LeighError, match="The cluster is gone; start it"):
        study.search(processes.refusing)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(("serve", "signals"), [(processes.obedient, 1), (processes.deaf, 2)])
def test_one_signal_lets_the_epochs_end_and_two_stop_at_once(
    serve: Any, signals: int, number: int, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "SILENCE_S", 30.0)
    before = signal.getsignal(number)

    def hear(event: TrialEvent) -> None:
        if isinstance(event, EpochDone):
            for _ in range(signals):
                os.kill(os.getpid(), number)

    study.heard = type("Hearing", (), {"append": staticmethod(hear)})()  # type: ignore[assignment]
    with pytest.raises(StoppedError) as caught:
        study.search(serve)
    assert caught.value.number == number
    assert signal.getsignal(number) is before
    assert study.whats() == ["started", "drawn", "epoch"]


def test_a_process_that_cannot_start_takes_nobody_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(self: object) -> None:
        raise MemoryError

    monkeypatch.setattr(multiprocessing.get_context("spawn").Process, "start", fails)
    killed: list[int] = []
    monkeypatch.setattr(os, "killpg", lambda number, _: killed.append(number))
    with pytest.raises(MemoryError), SearchProcess() as searching:
        searching.start()
    assert killed == []
