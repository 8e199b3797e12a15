import json
from pathlib import Path
from typing import Any

import pytest

from leigh_mlops.errors import LeighError
from leigh_mlops.leaderboard import leaderboard
from leigh_mlops.report.terminal_tables import leaderboard_rows
from leigh_mlops.settings import SearchSpace
from leigh_mlops.study.run_artifacts import log_references, rank_trials
from leigh_mlops.tracking import Store
from leigh_mlops.trials import Trial


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(str(tmp_path / "store"))


def test_the_best_finished_trial_comes_first() -> None:
    space = SearchSpace.model_validate({"family": "resnext", "metric": "val/auc", "mode": "max", "published": {}})
    trials = [
        Trial("resnext", number, {}, best={"val/auc": auc} if auc else {}, state=state)
        for number, (auc, state) in enumerate(
            [(0.5, "finished"), (0.9, "finished"), (0.99, "failed"), (0.95, "drawn"), (None, "finished")], start=1
        )
    ]
    assert [trial.number for trial in rank_trials(space, trials)] == [2, 1]
    lowest = space.replace_fields(mode="min")
    assert [trial.number for trial in rank_trials(lowest, trials)] == [1, 2]


def test_references_that_are_logged_twice_stand_once(store: Store) -> None:
    parent = store.start("search", kind="search")
    beside = {"baseline": {"wells/accuracy": 0.9}, "pca": {"mse": 0.5}}
    for _ in range(2):
        rows = log_references(store, parent, beside, {"data": "x"}, at=1e9)
    assert [row["kind"] for row in rows] == ["baseline", "pca"]
    found = store.child_records(parent)
    assert sorted(record["name"] for record in found) == ["baseline", "pca"]
    assert len(store.client.get_metric_history(store.children(parent)["pca"].id, "val/mse")) == 1


def test_the_leaderboard_is_read_from_the_store(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(LeighError, match=r"holds no search; run the tune command first"):
        leaderboard(store=str(tmp_path / "store"))
    older = store.start("search", kind="search")
    with pytest.raises(LeighError, match="has no trials"):
        leaderboard(store=str(tmp_path / "store"))
    parent = store.start("search", kind="search")
    log_references(store, parent, {"baseline": {"wells/accuracy": 0.9}}, {"data": "x"}, at=1e9)
    for number in (7, 8, 9, 12):
        tags: dict[str, Any] = {"model": "resnext", "trial": number} | ({"winner": True} if number == 7 else {})
        run = store.start(f"resnext-{number}", parent=parent, **tags)
        # The names of version 0.1.0, and those of today.
        kept, curve = ("best/val", "val") if number == 8 else ("val", "epoch/val")
        run.log_metrics({f"{kept}/log_loss": 0.1 * (number % 10), f"{curve}/log_loss": 9.0, "seconds": 30.0})
        run.end("FAILED" if number == 9 else "FINISHED")
    leaderboard(store=str(tmp_path / "store"), top=2, json_path=tmp_path / "rows.json")
    shown = capsys.readouterr().out
    assert "resnext-12" in shown
    assert "resnext-7" in shown
    assert "resnext-8" not in shown
    assert "a threshold on intensity" in shown
    assert "1 trial failed" in shown
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert {row["model"] for row in rows} == {"baseline", "resnext-7", "resnext-8", "resnext-9", "resnext-12"}
    assert [row["model"] for row in rows if row["winner"]] == ["resnext-7"]
    scores = {row["model"]: row["log_loss"] for row in rows if row["kind"] == "network"}
    assert scores == pytest.approx({"resnext-7": 0.7, "resnext-8": 0.8, "resnext-9": 0.9, "resnext-12": 0.2})
    assert leaderboard_rows(store.child_records(older)) == []
