import json
import os
from pathlib import Path
from typing import Any

import pytest

from leigh_mlops.errors import LeighError
from leigh_mlops.trials import Journal, Trial, collect_trials

DRAWN = {"what": "drawn", "family": "resnext", "number": 1, "config": {"learning_rate": 0.1}}


def epoch(number: int, value: float = 1.0, **changes: Any) -> dict[str, Any]:
    metrics = {"val/log_loss": value}
    facts = {"metrics": metrics, "best": metrics, "best_epoch": number, "config": {"learning_rate": 0.1}}
    return {"what": "epoch", "family": "resnext", "number": 1, "epoch": number, "checkpoint": "c"} | facts | changes


def test_a_trial_is_what_its_events_say() -> None:
    ended = {"what": "ended", "family": "resnext", "number": 1, "state": "finished"}
    other = DRAWN | {"family": "iresnet"}
    trials = collect_trials(
        [other, DRAWN, epoch(1, 2.0), epoch(2, 1.0, config={"learning_rate": 0.2}), ended], "resnext"
    )
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
    assert trial.apply_event({"what": "ended", "state": "failed", "error": "it burst"})
    assert not trial.apply_event({"what": "ended", "state": "finished"})
    assert not trial.apply_event(epoch(2))
    assert (trial.state, trial.error) == ("failed", "it burst")


def test_a_journal_comes_back_as_it_was_written(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "new" / "journal.jsonl")
    assert journal.events == []
    written = [journal.append("opened", parent="x"), journal.append("drawn", config={"widths": [1, 2], "pad": None})]
    again = Journal(journal.path)
    assert again.events == written
    assert again.find_first("drawn") == written[1]
    assert again.find_first("drawn", config={}) is None
    assert written[0]["time"] <= written[1]["time"]


@pytest.mark.parametrize("left", range(1, 20))
def test_a_line_that_an_end_cut_short_is_dropped_and_the_next_one_is_whole(left: int, tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    first = journal.append("opened")
    size = journal.path.stat().st_size
    journal.append("drawn")
    os.truncate(journal.path, size + left)
    with pytest.raises(json.JSONDecodeError):
        [json.loads(line) for line in journal.path.read_text().splitlines()]
    again = Journal(journal.path)
    assert again.events == [first]
    assert Journal(journal.path).events == [first, again.append("ended")][:1]
    assert [event["what"] for event in Journal(journal.path).events] == ["opened", "ended"]


def test_a_full_disk_leaves_the_journal_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    first = journal.append("opened")

    def full(number: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(LeighError, match=r"journal.jsonl can't be written \(No space left on device\); make space"):
            journal.append("drawn")
    assert journal.events == [first]
    assert Journal(journal.path).events == [first]
