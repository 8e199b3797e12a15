"""A start of Ray that fails is tried again, ever more slowly; no Ray is needed for that."""

import io

import pytest
from rich.console import Console

from leigh_mlops.errors import LeighError
from leigh_mlops.search import cluster_start
from leigh_mlops.search.cluster_start import ClusterStartError, StartPatience


class Clock:
    """Time that passes by waiting alone."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.waits = 1000.0, list[float]()
        monkeypatch.setattr(cluster_start.time, "monotonic", lambda: self.now)

    def pause(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_waits_grow_up_to_the_limit(clock: Clock) -> None:
    attempts = []

    def start() -> None:
        attempts.append(clock.now)
        raise ClusterStartError("The node timed out.")

    said = io.StringIO()
    patience = StartPatience(Console(file=said, width=200), 3600.0, clock.pause)
    with pytest.raises(LeighError, match=r"did not start in 18 attempts within 60 minutes \(The node timed out; load "):
        patience.retry(start)
    assert clock.waits[:8] == [5, 10, 20, 40, 80, 160, 300, 300]
    assert max(clock.waits) == 300
    assert attempts[-1] - attempts[0] == 3600
    assert said.getvalue().count("trying again in") == len(clock.waits) == 17


def test_a_start_that_succeeds_ends_the_row(clock: Clock) -> None:
    patience = StartPatience(Console(file=io.StringIO()), 60.0, clock.pause)
    failures = iter([ClusterStartError("a"), ClusterStartError("b")])

    def start() -> str:
        for error in failures:
            raise error
        return "a cluster"

    assert patience.retry(start) == "a cluster"
    assert clock.waits == [5, 10]
    patience.reset()
    clock.now += 1000
    patience.wait("again")
    assert clock.waits == [5, 10, 5]


def test_another_error_is_not_waited_for(clock: Clock) -> None:
    def start() -> None:
        raise LeighError("no folder")

    with pytest.raises(LeighError, match="no folder"):
        StartPatience(Console(file=io.StringIO()), 60.0, clock.pause).retry(start)
    assert clock.waits == []
