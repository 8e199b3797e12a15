from itertools import islice
from pathlib import Path

import pytest
import torch

from leigh_mlops.errors import LeighError
from leigh_mlops.training import EpochResult, PreparedData, run_trial, save_checkpoint
from tests.training.test_loop import METRIC, SMALL, numbers, settings, trial

RICH = {
    "epochs": 4, "lr_schedule": "cosine", "warmup_epochs": 1, "class_weights": "balanced", "freeze_epochs": 2,
    "layer_decay": 0.5, "weight_decay": 0.01,
}  # fmt: skip


def stopped(family: str, data: PreparedData, folder: Path, after: int, **changes: object) -> None:
    for epoch in islice(run_trial(family, settings(family, **changes), data, metric=METRIC[family], seed=5), after):
        save_checkpoint(epoch.state, folder)


def weights(epochs: list[EpochResult]) -> dict[str, torch.Tensor]:
    return epochs[-1].state.model.state_dict()


@pytest.mark.parametrize("family", SMALL)
@pytest.mark.parametrize("after", [1, 3])
def test_a_resumed_training_is_bit_for_bit_the_one_that_did_not_stop(
    family: str, after: int, data: PreparedData, tmp_path: Path
) -> None:
    whole = trial(family, data, **RICH)
    stopped(family, data, tmp_path / "c", after, **RICH)
    rest = trial(family, data, tmp_path / "c", **RICH)
    assert numbers(whole)[after:] == numbers(rest)
    assert all(torch.equal(tensor, weights(rest)[name]) for name, tensor in weights(whole).items())


def test_a_resumed_training_draws_the_transforms_of_the_one_that_did_not_stop(
    data: PreparedData, tmp_path: Path
) -> None:
    whole = trial("autoencoder", data, epochs=3, augment="microscope")
    assert numbers(whole) != numbers(trial("autoencoder", data, epochs=3))
    assert numbers(trial("autoencoder", data, epochs=3, augment="published")) == numbers(
        trial("autoencoder", data, epochs=3)
    )
    stopped("autoencoder", data, tmp_path / "c", 1, epochs=3, augment="microscope")
    rest = trial("autoencoder", data, tmp_path / "c", epochs=3, augment="microscope")
    assert numbers(whole)[1:] == numbers(rest)


def test_rates_and_decays_of_a_resumed_training_are_those_of_its_settings(data: PreparedData, tmp_path: Path) -> None:
    stopped("resnext", data, tmp_path / "c", 1)
    same = trial("resnext", data, tmp_path / "c", epochs=2)[0]
    other = trial(
        "resnext", data, tmp_path / "c", epochs=2, learning_rate=0.5, weight_decay=0.25, layer_decay=0.5, batch_size=4
    )[0]
    assert same.metrics["train/learning_rate"] == 0.003
    assert other.metrics["train/learning_rate"] == 0.5
    assert other.state.optimizer.param_groups[-2]["lr"] == 0.25
    assert {group["weight_decay"] for group in other.state.optimizer.param_groups} == {0.25}


def test_a_checkpoint_that_was_not_finished_has_no_state(data: PreparedData, tmp_path: Path) -> None:
    stopped("autoencoder", data, tmp_path / "c", 1)
    assert (tmp_path / "c" / "state.json").exists()
    (tmp_path / "c" / "best.safetensors").unlink()
    (tmp_path / "c" / "best.safetensors").mkdir()
    with pytest.raises(Exception, match="directory"):
        stopped("autoencoder", data, tmp_path / "c", 1)
    assert not (tmp_path / "c" / "state.json").exists()


def test_a_checkpoint_of_another_number_of_folds_is_refused(data: PreparedData, tmp_path: Path) -> None:
    stopped("autoencoder", data, tmp_path / "c", 1)
    assert trial("autoencoder", data, tmp_path / "c", epochs=2)
    again = run_trial(
        "autoencoder", settings("autoencoder"), data, metric="val/mse", checkpoint=tmp_path / "c", folds=2
    )
    with pytest.raises(LeighError, match="has 1 folds, not 2"):
        next(again)
