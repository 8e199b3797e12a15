from dataclasses import replace

import numpy as np
import pytest

from leigh_mlops.errors import LeighError
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.settings import TrainingSettings
from leigh_mlops.training import (
    PreparedData,
    divide_folds,
    fix_adaptation,
    is_adapted,
    predict,
    predict_part,
    run_trial,
)

COMPACT = {"architecture.layers": [1, 1, 1, 1], "architecture.groups": 1, "architecture.width_per_group": 8}


def settings(adaptation: str) -> TrainingSettings:
    return TrainingSettings.from_flat({"epochs": 1, "batch_size": 4, "adaptation": adaptation, **COMPACT})


def without_controls(data: PreparedData, plate: str) -> PreparedData:
    controls = data.table[Metadata.CONTROL].where(data.table[Metadata.PLATE] != plate, "")
    return replace(data, table=data.table.assign(Metadata_Control=controls))


def with_fewest_controls(data: PreparedData) -> PreparedData:
    """Keep four controls of each plate, all of them in the training: a division that validates one has too few."""
    table = data.table
    known = (table[Metadata.CONTROL] == "negcon") & (table[Metadata.SPLIT] == "train")
    kept = known & (table[known].groupby(Metadata.PLATE).cumcount().reindex(table.index) < 4)
    return replace(data, table=table.assign(**{Metadata.CONTROL: kept.map({True: "negcon", False: ""})}))


def test_auto_adapts_where_several_plates_have_controls(plates: PreparedData) -> None:
    one = replace(plates, table=plates.table.assign(Metadata_Plate="plate1"))
    assert is_adapted("resnext", settings("auto"), plates)
    assert not is_adapted("resnext", settings("none"), plates)
    assert not is_adapted("resnext", settings("auto"), one)
    assert is_adapted("resnext", settings("controls"), one)
    assert not is_adapted("iresnet", settings("auto"), plates)
    with pytest.raises(LeighError, match="family iresnet has no statistics"):
        is_adapted("iresnet", settings("controls"), plates)
    lacking = without_controls(plates, "plate2")
    assert not is_adapted("resnext", settings("auto"), lacking)
    with pytest.raises(LeighError, match="plate plate2 has 0 fields of negative controls"):
        is_adapted("resnext", settings("controls"), lacking)


def test_auto_is_decided_once_for_all_divisions(plates: PreparedData) -> None:
    one = replace(plates, table=plates.table.assign(Metadata_Plate="plate1"))
    assert fix_adaptation("resnext", settings("auto"), plates) == settings("controls")
    assert fix_adaptation("resnext", settings("auto"), one) == settings("none")
    assert fix_adaptation("resnext", settings("none"), plates) == settings("none")
    few = with_fewest_controls(plates)
    own, *others = divide_folds(few, 3)
    assert is_adapted("resnext", settings("auto"), own)
    assert not all(is_adapted("resnext", settings("auto"), each) for each in others)
    with pytest.raises(LeighError, match=r"^Fold [23] of 3: plate plate[12] has [0-3] fields of negative controls"):
        next(run_trial("resnext", settings("auto"), few, metric="val/log_loss", folds=3))


def test_an_episode_has_one_plate_and_its_controls(plates: PreparedData) -> None:
    scale, controls = plates.scale("log"), plates.plate_controls()
    names = plates.table[Metadata.PLATE].to_numpy(str)
    plain = plates.batches("train", scale, 4, seed=1)
    assert any(len(set(names[batch.rows])) > 1 for batch in plain.epoch(0))
    episodes = replace(plain, controls=controls)
    made = list(episodes.epoch(0))
    assert len(made) == len(episodes)
    assert sorted(np.concatenate([batch.rows for batch in made])) == sorted(plain.rows)
    for batch in made:
        assert len(set(names[batch.rows])) == 1
        assert batch.controls is not None
        assert len(batch.controls) == 4
    for batch, same in zip(made, episodes.epoch(0), strict=True):
        assert same.controls is not None
        assert (batch.images == same.images).all()
        assert (batch.controls == same.controls).all()
    # Controls of evaluated wells serve no one, those of a plate without training wells all.
    trained = (plates.table[Metadata.SPLIT] == "train").to_numpy(bool)
    for rows in controls.rows.values():
        assert trained[rows].all()
    new = plates.plate_controls(np.zeros(len(trained), bool))
    assert sum(map(len, new.rows.values())) == (plates.table[Metadata.CONTROL] == "negcon").sum()


def test_a_trial_adapts_in_training_and_in_use(plates: PreparedData) -> None:
    found = {}
    for choice in ("none", "controls"):
        for result in run_trial("resnext", settings(choice), plates, metric="val/log_loss"):
            model = result.state.model
        found[choice] = predict_part(model, settings(choice), plates, "test")
    assert not np.allclose(found["none"].values, found["controls"].values)
    # A prediction does not depend on the other fields: neither on their order nor on their classes.
    scale, controls = plates.scale("linear"), plates.plate_controls()
    whole = found["controls"]
    for number, row in enumerate(whole.rows):
        alone = predict(model, plates.batches_from_rows(np.array([row]), scale, 4, controls=controls))
        np.testing.assert_allclose(alone.values[0], whole.values[number], atol=1e-5)
