import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from leigh_mlops.errors import LeighError
from leigh_mlops.events import Drawn, Ended, EpochDone, Resumed, Searched, Started
from leigh_mlops.trials import Journal, Trial, collect_trials, update_trials

OLD_JOURNAL = Path(__file__).parent / "artifacts" / "journal-0.1.0.jsonl"
DRAWN = Drawn("resnext", 1, {"learning_rate": 0.1})


def epoch(number: int, value: float = 1.0, **config: Any) -> EpochDone:
    metrics = {"val/log_loss": value}
    config = {"learning_rate": 0.1} | config
    return EpochDone("resnext", 1, config, "c", number, metrics, best_epoch=number, best=metrics)


def test_a_trial_is_what_its_events_say() -> None:
    other = Drawn("iresnet", 1, {})
    changed = epoch(2, 1.0, learning_rate=0.2)
    trials = collect_trials([other, DRAWN, epoch(1, 2.0), changed, Ended("resnext", 1, "finished")], "resnext")
    trial = trials[1]
    assert (trial.name, trial.has_ended, trial.error) == ("resnext-1", True, None)
    assert trial.epochs == [{"val/log_loss": 2.0}, {"val/log_loss": 1.0}]
    assert (trial.best_epoch, trial.best, trial.checkpoint) == (2, {"val/log_loss": 1.0}, Path("c"))
    assert trial.config == {"learning_rate": 0.2}


def test_what_is_known_already_changes_nothing() -> None:
    trial = Trial("resnext", 1, {})
    assert trial.apply_event(epoch(1, 2.0))
    assert not trial.apply_event(epoch(1, 3.0))
    assert trial.epochs == [{"val/log_loss": 2.0}]
    assert trial.apply_event(Ended("resnext", 1, "failed", error="it burst"))
    assert not trial.apply_event(Ended("resnext", 1, "finished"))
    assert not trial.apply_event(epoch(2))
    assert (trial.state, trial.error) == ("failed", "it burst")


def test_a_trial_that_is_drawn_again_keeps_its_epochs() -> None:
    trials: dict[int, Trial] = {}
    assert update_trials(trials, DRAWN)
    assert update_trials(trials, epoch(1))
    assert not update_trials(trials, DRAWN)
    assert len(trials[1].epochs) == 1


def test_a_journal_comes_back_as_it_was_written(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "new" / "journal.jsonl")
    assert journal.events == []
    written = [Started("resnext", 0), Drawn("resnext", 1, {"widths": [1, 2], "pad": None}), Searched("iresnet", "time")]
    for event in written:
        journal.append(event)
    again = Journal(journal.path)
    assert again.events == journal.events == written
    assert again.find_first(Drawn) == written[1]
    assert again.find_first(Ended) is None
    assert again.find_first(Searched, family="iresnet") == written[2]
    assert again.find_first(Searched, family="resnext") is None


def test_a_journal_of_version_0_1_0_is_read_and_written_as_it_was(tmp_path: Path) -> None:
    old = Journal(Path(shutil.copy(OLD_JOURNAL, tmp_path)))
    assert [event.what for event in old.events] == ["opened", "started", "drawn", "epoch", "epoch", "paused"]
    trial = collect_trials(old.events, "autoencoder")[1]
    assert (len(trial.epochs), trial.best_epoch, trial.has_ended) == (2, 2, False)
    new = Journal(tmp_path / "new.jsonl")
    for event in old.events:
        new.append(event)
    assert new.path.read_text() == OLD_JOURNAL.read_text()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"what": "searched", "time": 2.0, "family": "resnext"}', "an event 'searched' without 'how'"),
        ('{"what": "searched"', "Expecting"),
    ],
)
def test_a_line_that_is_no_event_is_said(line: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text('{"what": "resumed", "time": 1.0}\n')
    assert Journal(path).events == [Resumed(time=1.0)]
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(LeighError, match=rf"journal.jsonl:2 can't be read \({reason}.*\); move .* away to give"):
        Journal(path)


@pytest.mark.parametrize("left", range(1, 20))
def test_a_line_that_an_end_cut_short_is_dropped_and_the_next_one_is_whole(left: int, tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    first = Resumed()
    journal.append(first)
    size = journal.path.stat().st_size
    journal.append(DRAWN)
    os.truncate(journal.path, size + left)
    with pytest.raises(json.JSONDecodeError):
        [json.loads(line) for line in journal.path.read_text().splitlines()]
    again = Journal(journal.path)
    assert again.events == [first]
    again.append(DRAWN)
    assert Journal(journal.path).events == [first, DRAWN]


def test_a_full_disk_leaves_the_journal_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    first = Resumed()
    journal.append(first)

    def full(number: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(LeighError, match=r"journal.jsonl can't be written \(No space left on device\); free space"):
            journal.append(DRAWN)
    assert journal.events == [first]
    assert Journal(journal.path).events == [first]
