import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from leigh_mlops.errors import LeighError
from leigh_mlops.images.scale import ControlReference
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.settings import SearchSpace, TrainingSettings
from leigh_mlops.study import nested_evaluation
from leigh_mlops.study.nested_evaluation import NestedEvaluation, NestedPlan, mean_scores, parse_folds
from leigh_mlops.training import Outputs, PreparedData
from tests.training.conftest import data, shared_plate

__all__ = ["data", "shared_plate"]

SPACE = SearchSpace.model_validate(
    {"family": "resnext", "metric": "val/log_loss", "trials": 3, "published": {"learning_rate": 0.001},
     "space": {"learning_rate": {"low": 0.0001, "high": 0.01, "log": True}}}
)  # fmt: skip


def test_the_choice_follows_the_inner_folds_and_a_file_is_continued(
    data: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def fit(family: str, settings: TrainingSettings, divided: PreparedData, **about: object) -> tuple[float, Outputs]:
        """The highest learning rate is best on validation wells, and worst on those of the test part."""
        rows = divided.rows("test")[::-1]
        assert not set(divided.wells[rows]) & set(divided.wells[[*divided.rows("train"), *divided.rows("val")]])
        calls.append(settings.learning_rate)
        right = np.eye(2)[divided.labels[rows]]
        likely = 0.8 if settings.learning_rate < max(rates) else 0.3
        values = np.log(np.where(right > 0, likely, 1 - likely))
        return -settings.learning_rate, Outputs(rows, divided.labels[rows], values, 0.0)

    plan = NestedPlan(SPACE, outer=3, inner=2)
    rates = [nested_evaluation.draw(SPACE, number, seed=0)["learning_rate"] for number in (1, 2, 3)]
    monkeypatch.setattr(nested_evaluation, "fit_and_predict", fit)
    file = tmp_path / "folds.json"
    folds = NestedEvaluation(plan, data).run(file)
    assert len(calls) == 3 * 2 * 3
    assert {fold["chosen"]["learning_rate"] for fold in folds} == {max(rates)}
    assert mean_scores(folds)["network"]["wells/accuracy"] == 0
    assert mean_scores(folds)["baseline"]["wells/accuracy"] == 1
    assert sum(fold["wells"] for fold in folds) == len(set(data.wells))
    assert NestedEvaluation(plan, data).run(file) == folds
    assert len(calls) == 3 * 2 * 3
    with pytest.raises(LeighError, match="other data or options"):
        NestedEvaluation(NestedPlan(SPACE, outer=3, inner=2, seed=1), data).run(file)


def test_a_file_of_other_wells_exclusions_or_scaling_is_refused(data: PreparedData, tmp_path: Path) -> None:
    plan, file = NestedPlan(SPACE, outer=3, inner=2), tmp_path / "folds.json"
    folds = [{"fold": fold} for fold in (1, 2, 3)]
    file.write_text(json.dumps({"plan": plan.to_json(data), "folds": folds}))
    turned = data.table.iloc[::-1]
    digests = data.cache.digests[::-1]
    assert NestedEvaluation(plan, data).run(file) == folds
    same = replace(data, table=turned, cache=replace(data.cache, digests=digests))
    assert NestedEvaluation(plan, same).run(file) == folds
    first = data.table.index == data.table.index[0]
    for table in (
        data.table.assign(Metadata_Excluded=first),
        data.table.assign(Metadata_Well=data.table[Metadata.WELL].mask(first, "P24")),
    ):
        with pytest.raises(LeighError, match="other data or options"):
            NestedEvaluation(plan, replace(data, table=table)).run(file)
    with pytest.raises(LeighError, match="other data or options"):
        NestedEvaluation(plan, replace(data, controls=ControlReference((0.0,), (1.0,)))).run(file)


@pytest.mark.parametrize("start", ["models:/leigh-resnext@champion", "runs:/abc", "folder", "weights.safetensors"])
def test_weights_that_may_have_seen_a_tested_well_are_refused(start: str) -> None:
    for fine in ("random", "imagenet"):
        NestedPlan(SPACE.fix_hyperparameters({"init": fine}))
    with pytest.raises(LeighError, match=f"init {start} may have seen the wells that a fold tests"):
        NestedPlan(SPACE.fix_hyperparameters({"init": start}))
    chosen = SPACE.model_dump() | {"space": {"init": {"values": ["random", start]}}}
    chosen["published"] |= {"init": "random"}
    with pytest.raises(LeighError, match="may have seen"):
        NestedPlan(SearchSpace.model_validate(chosen))


def test_what_is_no_number_of_folds_is_refused() -> None:
    assert parse_folds("4") == 4
    assert parse_folds("all") == "all"
    for text in ("1", "-2", "plates"):
        with pytest.raises(LeighError, match="is not a number of folds"):
            parse_folds(text)
    with pytest.raises(LeighError, match="not a family that classifies"):
        NestedPlan(SearchSpace.model_validate({"family": "autoencoder", "metric": "val/mse", "published": {}}))
