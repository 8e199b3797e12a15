from pathlib import Path
from typing import Any

import pytest

from benchmarks.chaos import disturb, find_faults, prepare_search, read_store

SIZE = {"trials": 2, "epochs": 5}
CALM: dict[str, Any] = {
    "open": [],
    "parents": 1,
    "names": ["autoencoder-1", "autoencoder-2"],
    "status": ["FINISHED"],
    "steps": {f"autoencoder-{number}": [1, 2, 3, 4, 5] for number in (1, 2)},
    "versions": 1,
    "champion": "1",
    "best": {"learning_rate": "0.1"},
    "score": 0.5,
}


@pytest.mark.parametrize(
    "change",
    [
        {"open": ["autoencoder-1"]},
        {"parents": 2},
        {"names": ["autoencoder-1", "autoencoder-1", "autoencoder-2"]},
        {"status": ["FAILED", "FINISHED"]},
        {"steps": CALM["steps"] | {"autoencoder-2": [1, 2, 4, 5]}},
        {"steps": CALM["steps"] | {"autoencoder-2": [1, 2, 2, 3, 4, 5]}},
        {"versions": 0},
        {"champion": ""},
        {"best": {"learning_rate": "0.2"}},
        {"score": 0.6},
    ],
)
def test_whatever_is_lost_or_doubled_is_a_fault(change: dict[str, Any]) -> None:
    assert find_faults(CALM, CALM, **SIZE) == []
    assert len(find_faults(CALM | change, CALM, **SIZE)) == 1


@pytest.mark.ray
@pytest.mark.server
def test_a_search_that_is_killed_again_and_again_ends_as_one_that_is_not(tmp_path: Path) -> None:
    with prepare_search(tmp_path / "calm", fields=30, **SIZE) as calm:
        calm.start()
        assert calm.wait(500) == 0, (calm.place / "out").read_text()
        undisturbed = read_store(calm)
    with prepare_search(tmp_path / "storm", fields=30, **SIZE) as storm:
        code = disturb(storm, ["worker", "server", "ray", "driver"], most_s=1, timeout_s=500)
        assert code == 0, (storm.place / "out").read_text()
        assert find_faults(read_store(storm), undisturbed, **SIZE) == []
        assert len(storm.killed) >= 2
        assert "driver" not in storm.killed or "Resuming the search" in (storm.place / "out").read_text()
        assert not list((storm.place / "state" / "searches").iterdir())
