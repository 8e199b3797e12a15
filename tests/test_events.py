import json
from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest

from leigh_mlops.events import (
    DataFacts,
    Drawn,
    Ended,
    EpochDone,
    Event,
    Opened,
    Paused,
    Resumed,
    Searched,
    Started,
    StudySettings,
)

SETTINGS: StudySettings = {
    "source": {}, "spaces": [], "store": "mlruns", "seed": 1, "time_budget_s": None, "line": "leigh"
}  # fmt: skip
FACTS: DataFacts = {"demo": True, "data": "x", "data_fingerprint": "1", "split_fingerprint": "2", "git": "3"}
METRICS = {"val/mse": 0.5}

# Lines of a journal of version 0.1.0.
LINES: list[tuple[Event, dict[str, Any]]] = [
    (Opened(SETTINGS, FACTS, time=1.0), {"what": "opened", "time": 1.0, "study": SETTINGS, "facts": FACTS}),
    (
        Started("resnext", 4, time=1.0),
        {"what": "started", "time": 1.0, "family": "resnext", "start": 4},
    ),
    (
        Drawn("resnext", 2, {"flip": 0.5, "init": None}, time=1.0),
        {"what": "drawn", "time": 1.0, "family": "resnext", "number": 2, "config": {"flip": 0.5, "init": None}},
    ),
    (
        EpochDone("resnext", 2, {"flip": 0.5}, "c", 3, METRICS, 1, {}, time=1.0),
        {"what": "epoch", "time": 1.0, "family": "resnext", "number": 2, "config": {"flip": 0.5}, "checkpoint": "c"}
        | {"epoch": 3, "metrics": METRICS, "best_epoch": 1, "best": {}},
    ),
    (
        Ended("resnext", 2, "finished", seconds=7.5, time=1.0),
        {"what": "ended", "time": 1.0, "family": "resnext", "number": 2, "state": "finished", "seconds": 7.5},
    ),
    (
        Ended("resnext", 2, "finished", stopped="time budget", seconds=7.5, time=1.0),
        {"what": "ended", "time": 1.0, "family": "resnext", "number": 2, "state": "finished"}
        | {"stopped": "time budget", "seconds": 7.5},
    ),
    (
        Ended("resnext", 2, "failed", error="it burst", trace="", time=1.0),
        {"what": "ended", "time": 1.0, "family": "resnext", "number": 2, "state": "failed"}
        | {"error": "it burst", "trace": "", "seconds": 0.0},
    ),
    (Searched("resnext", "time", time=1.0), {"what": "searched", "time": 1.0, "family": "resnext", "how": "time"}),
    (
        Paused("the search was stopped", "KILLED", time=1.0),
        {"what": "paused", "time": 1.0, "reason": "the search was stopped", "status": "KILLED"},
    ),
    (Resumed(time=1.0), {"what": "resumed", "time": 1.0}),
]


def kind(given: Any) -> str:
    return given.what if isinstance(given, Event) else ""


@pytest.mark.parametrize(("event", "line"), LINES, ids=kind)
def test_an_event_is_the_line_of_a_journal(event: Event, line: dict[str, Any]) -> None:
    assert json.dumps(event.to_json()) == json.dumps(line)
    assert Event.from_json(line) == event
    assert Event.from_json(line | {"later": 1}) == event


@pytest.mark.parametrize(("event", "line"), LINES, ids=kind)
def test_an_event_without_one_of_its_facts_is_refused(event: Event, line: dict[str, Any]) -> None:
    required = {"study", "facts", "family", "start", "number", "config", "checkpoint", "epoch", "metrics", "best_epoch"}
    required |= {"best", "state", "how", "reason", "status"}
    for name in required & line.keys():
        with pytest.raises(ValueError, match=f"an event '{event.what}' without '{name}'"):
            Event.from_json({key: value for key, value in line.items() if key != name})


def test_a_journal_of_the_first_version_keeps_its_z_prime_under_its_present_name() -> None:
    line = EpochDone("resnext", 2, {}, "c", 3, {"val/z_prime": 0.19}, 3, {"val/wells/z_prime/DS_TT": 0.2}).to_json()
    event = Event.from_json(line)
    assert isinstance(event, EpochDone)
    assert event.metrics == {"val/z_prime_log_odds": 0.19}
    assert event.best == {"val/wells/z_prime_log_odds/DS_TT": 0.2}
    both = {"val/z_prime": 0.81, "val/z_prime_log_odds": 0.19}
    assert Event.from_json(line | {"metrics": both}).metrics == both  # type: ignore[attr-defined]


def test_an_old_search_by_z_prime_goes_on_by_what_it_was() -> None:
    space = {"metric": "val/z_prime", "objectives": [{"metric": "val/wells/z_prime", "mode": "max"}]}
    line = Opened(SETTINGS | {"spaces": [space]}, FACTS, "0.2.0").to_json()  # type: ignore[arg-type]
    assert Event.from_json(line).study["spaces"] == [space]  # type: ignore[attr-defined]
    del line["version"]
    (renamed,) = Event.from_json(line).study["spaces"]  # type: ignore[attr-defined]
    assert renamed["metric"] == "val/z_prime_log_odds"
    assert renamed["objectives"] == [{"metric": "val/wells/z_prime_log_odds", "mode": "max"}]


def test_a_kind_of_a_later_version_is_an_event_with_its_time() -> None:
    assert Event.from_json({"what": "renamed", "time": 5.0, "to": "x"}) == Event(time=5.0)


def test_events_are_stamped_and_frozen() -> None:
    first, second = Resumed(), Resumed()
    assert first.time <= second.time
    with pytest.raises(FrozenInstanceError):
        first.time = 0.0  # type: ignore[misc]


def test_each_kind_has_a_name_of_its_own() -> None:
    kinds = [type(event) for event, _ in LINES]
    assert len({kind.what for kind in kinds}) == len(set(kinds))
    assert all(fields(kind)[0].name == "time" for kind in kinds)
