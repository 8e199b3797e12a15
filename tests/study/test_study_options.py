import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from leigh_mlops.errors import LeighError
from leigh_mlops.events import Opened
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.settings import SearchSpace
from leigh_mlops.study.prepare import DataSource
from leigh_mlops.study.search_study import SearchStudy
from leigh_mlops.study.study_options import StudyOptions
from leigh_mlops.trials import Journal

SPACE = SearchSpace.model_validate(
    {
        "family": "autoencoder",
        "metric": "val/mse",
        "published": {"learning_rate": 0.001, "batch_size": 4, "architecture.widths": [8, 8]},
        "space": {"learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}, "batch_size": [4, 8]},
    }
)


def test_settings_come_back_as_they_were_saved(tmp_path: Path) -> None:
    options = StudyOptions(DataSource(tmp_path, exclude=("none",)), [SPACE], seed=3, time_budget_s=60.0, line="mito")
    settings = options.to_settings("mlruns")
    assert json.loads(json.dumps(settings)) == settings
    again = StudyOptions.from_settings(settings)
    assert again.to_settings("mlruns") == settings
    assert again.to_settings("elsewhere") != settings
    assert again.source.path == options.source.path
    assert list(again.spaces) == list(options.spaces)
    assert (again.seed, again.time_budget_s, again.line) == (3, 60.0, "mito")


def test_training_on_compounds_comes_back(tmp_path: Path) -> None:
    options = StudyOptions(DataSource(tmp_path), [SPACE])
    assert "train_on_compounds" not in options.to_settings("mlruns")["source"]
    chosen = StudyOptions(DataSource(tmp_path, train_on_compounds=True), [SPACE]).to_settings("mlruns")
    assert StudyOptions.from_settings(chosen).source.train_on_compounds


def test_the_choice_of_checkpoints_comes_back(tmp_path: Path) -> None:
    options = StudyOptions(DataSource(tmp_path), [SPACE])
    assert "checkpoints" not in options.to_settings("mlruns")
    chosen = replace(options, checkpoints="none").to_settings("mlruns")
    assert StudyOptions.from_settings(chosen).checkpoints == "none"


def test_the_settings_of_earlier_searches_come_back(tmp_path: Path) -> None:
    options = StudyOptions(DataSource(tmp_path), [SPACE])
    assert "first_configs" not in options.to_settings("mlruns")
    first = {"autoencoder": [{"learning_rate": 0.002, "batch_size": 8}]}
    assert (
        StudyOptions.from_settings(replace(options, first_configs=first).to_settings("mlruns")).first_configs == first
    )


def test_the_settings_of_version_0_1_0_are_read(tmp_path: Path) -> None:
    journal = Path(__file__).parents[1] / "artifacts" / "journal-0.1.0.jsonl"
    opened = Journal(Path(shutil.copy(journal, tmp_path))).find_first(Opened)
    assert opened is not None
    options = StudyOptions.from_settings(opened.study)
    assert options.title == "search autoencoder"
    assert options.source.path == Path("/data/plate")
    assert options.to_settings("/data/mlruns/mlflow.db") == opened.study


def test_a_line_that_the_registry_does_not_take_is_refused() -> None:
    StudyOptions(DataSource(None), [SPACE], line="mito-2").check_line()
    for line in ("a/b", "", "a\nb", "a" * 101):
        with pytest.raises(LeighError, match=r"--name '.*' is not a valid name; use at most 100 letters"):
            StudyOptions(DataSource(None), [SPACE], line=line).check_line()
    study = SearchStudy(StudyOptions(DataSource(None), [SPACE], line="a/b"), Console(file=io.StringIO()))
    with pytest.raises(LeighError, match="--name 'a/b' is not a valid name"):
        study.show()  # before anything is drawn or read


def wells(*plates: str, splits: tuple[str, ...] = ("train", "train", "val")) -> pd.DataFrame:
    """Three wells of a class on each plate, such as ``DS/P1``."""
    rows = [(*name.split("/"), f"A{number:02d}", split) for name in plates for number, split in enumerate(splits, 1)]
    return pd.DataFrame(rows, columns=[Metadata.CONDITION, Metadata.PLATE, Metadata.WELL, Metadata.SPLIT])


def test_a_plate_is_left_out_only_where_the_others_hold_each_class() -> None:
    options = StudyOptions(DataSource(None), [SPACE], judge_by="plate")
    both = wells("DS/P1", "WT/P1", "DS/P2", "WT/P2")
    options.check_judge(both)
    with pytest.raises(LeighError, match="wells of each class on two plates or more, and all are on one; give images"):
        options.check_judge(wells("DS/P1", "WT/P1"))
    lacking = wells("DS/P1", "WT/P1", "WT/P2", "WT/P3")
    with pytest.raises(LeighError, match="and those of class 'DS' are on one; give images of further plates"):
        options.check_judge(lacking)
    tested = both.assign(**{Metadata.SPLIT: both[Metadata.SPLIT].mask(both.index < 3, "test")})
    with pytest.raises(LeighError, match="those of class 'DS'"):
        options.check_judge(tested)
    few = pd.concat([wells("DS/P1", splits=("train",)), wells("WT/P1", "DS/P2", "WT/P2")])
    with pytest.raises(LeighError, match=r"but class 'DS' has 1 well outside of fold 2, .* or leave it out\.$"):
        options.check_judge(few.reset_index(drop=True))
    replace(options, judge_by="well").check_judge(lacking)


def test_families_that_need_labels_are_left_out_where_there_are_none() -> None:
    classifier = SearchSpace.model_validate({"family": "resnext", "metric": "val/log_loss", "published": {}})
    options = StudyOptions(DataSource(None), [classifier, SPACE], families_given=False)
    assert options.for_classes(("DS", "WT")) is options
    assert options.needs_labels
    chosen = options.for_classes(())
    assert [space.family for space in chosen.spaces] == ["autoencoder"]
    assert not chosen.needs_labels
    assert chosen.for_classes(()) is chosen
    assert "families_given" not in options.to_settings("mlruns")
    with pytest.raises(LeighError, match=r"no class, and resnext needs two; .* choose a family that needs no labels"):
        replace(options, families_given=True).for_classes(())
    with pytest.raises(LeighError, match="only the class 'DS'"):
        replace(options, spaces=[classifier]).for_classes(("DS",))
