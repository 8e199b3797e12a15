import errno
import os
from pathlib import Path

import pytest

from leigh_mlops.errors import LeighError
from leigh_mlops.settings import SearchSpace
from leigh_mlops.study.checkpoints import drop_checkpoints, flush_checkpoint
from leigh_mlops.trials import Trial


def trial(folder: Path, number: int, state: str, score: float) -> Trial:
    """A trial with two checkpoints."""
    places = [folder / f"resnext-{number}" / f"checkpoint_00000{epoch}" for epoch in (0, 1)]
    for place in places:
        place.mkdir(parents=True)
    best = {"val/log_loss": score}
    return Trial("resnext", number, {}, epochs=[best, best], best=best, state=state, checkpoint=places[1])


def left(folder: Path) -> list[str]:
    return sorted(f"{path.parent.name[-1]}/{path.name[-1]}" for path in folder.glob("*/checkpoint_*"))


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [
        ("random", ["2/1", "4/0", "4/1"]),
        ("pbt", ["1/0", "1/1", "2/0", "2/1", "3/0", "3/1", "4/0", "4/1"]),
    ],
)
def test_the_last_of_the_best_and_all_of_those_that_run_stay(
    tmp_path: Path, algorithm: str, expected: list[str]
) -> None:
    published = {"learning_rate": 0.1, "epochs": 2}
    values = {"family": "resnext", "metric": "val/log_loss", "published": published, "keep": 1, "trials": 4}
    values |= {"algorithm": algorithm, "early_stopping": "none"}
    values |= {"space": {"learning_rate": {"low": 0.1, "high": 1.0}}}
    space = SearchSpace.model_validate(values)
    trials = [
        trial(tmp_path, 1, "finished", 0.5),
        trial(tmp_path, 2, "finished", 0.4),
        trial(tmp_path, 3, "failed", 0.1),
        trial(tmp_path, 4, "drawn", 0.9),
    ]
    assert len(left(tmp_path)) == 8
    drop_checkpoints(space, trials)
    assert left(tmp_path) == expected


def test_each_file_of_a_checkpoint_is_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("state.json", "fold1/state.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    flushed: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda number: flushed.append(os.readlink(f"/proc/self/fd/{number}")))
    flush_checkpoint(tmp_path / "removed")
    assert flushed == []
    flush_checkpoint(tmp_path)
    assert sorted(flushed) == [str(tmp_path / "fold1/state.json"), str(tmp_path / "state.json")]

    def refuse(number: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(LeighError, match=r"can't be written \(No space left on device\); free space"):
        flush_checkpoint(tmp_path)
