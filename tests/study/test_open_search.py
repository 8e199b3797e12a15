import io
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from leigh_mlops.plates.columns import Metadata
from leigh_mlops.progress import Steps
from leigh_mlops.settings import SearchSpace
from leigh_mlops.study.open_search import OpenSearch
from leigh_mlops.study.prepare import DataSource
from leigh_mlops.study.study_options import StudyOptions
from leigh_mlops.training import PreparedData
from leigh_mlops.trials import Trial
from tests.study.test_left_out_plates import COMPACT, on_plates
from tests.training.conftest import data, shared_plate

__all__ = ["data", "shared_plate"]


class Logged:
    """A run that keeps the names of its metrics."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def log_metrics(self, metrics: dict[str, float], at: float) -> None:
        self.names |= set(metrics)


@pytest.fixture
def space() -> SearchSpace:
    published = {"epochs": 1, "batch_size": 4, "learning_rate": 0.001, **COMPACT}
    return SearchSpace.model_validate({"family": "resnext", "metric": "val/log_loss", "published": published})


def judged(data: PreparedData, space: SearchSpace, folder: Path) -> tuple[dict[str, float], Logged, str]:
    """Scores by plate of the winner of a search, its run, and what was printed."""
    said, run = io.StringIO(), Logged()
    console = Console(file=said, width=400)
    options = StudyOptions(DataSource(None), [space], judge_by="plate")
    given: dict[str, Any] = {
        "options": options,
        "data": SimpleNamespace(at_size=lambda _: data),
        "saved": SimpleNamespace(folder=folder),
        "console": console,
    }
    absent = dict.fromkeys(("facts", "store", "opened", "parent", "delivery", "process"))
    package: Any = SimpleNamespace(model=SimpleNamespace(task="classify"), arrays={})
    trial = Trial("resnext", 1, dict(space.published))
    kept: Any = run
    scores = OpenSearch(**given, **absent)._judge_by_plates(space, trial, kept, package, Steps(console, ""), at=0)
    assert ("left_out/fields" in package.arrays) == bool(scores)
    return scores, run, said.getvalue()


def test_a_winner_that_cant_be_trained_without_a_plate_is_kept_without_scores_by_plate(
    data: PreparedData, space: SearchSpace, tmp_path: Path
) -> None:
    several = on_plates(data, 2)
    scores, run, said = judged(several, space, tmp_path)
    assert scores["plates/plates"] == 2
    assert "val/plates/log_loss" in run.names
    assert said == ""
    plates = several.table[Metadata.PLATE].where(several.table[Metadata.CONDITION] != "DS", "P0")
    lacking = replace(several, table=several.table.assign(**{Metadata.PLATE: plates}))
    (other := tmp_path / "other").mkdir()
    scores, run, said = judged(lacking, space, other)
    assert scores == {}
    assert run.names == set()
    assert said.startswith("resnext-1 is not judged by plate: class 'DS' has 1 plate")
