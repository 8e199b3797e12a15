from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from leigh_mlops.errors import LeighError
from leigh_mlops.images import Batch
from leigh_mlops.models import Network
from leigh_mlops.models.learner_head import LinearHead
from leigh_mlops.settings import TrainingSettings
from leigh_mlops.training import PreparedData, TrainingState, build_network, fit, run_trial
from leigh_mlops.training.epoch import LossOptions, balanced_weights, run_epoch
from leigh_mlops.training.objective import OBJECTIVES, BatchLosses, ClassificationObjective
from tests.models.compact import compact
from tests.training.test_loop import METRIC, SMALL, numbers, settings, trial


def lopsided(data: PreparedData) -> PreparedData:
    """Without most of the training fields of TT."""
    rows = data.rows("train")[data.labels[data.rows("train")] == 1][2:]
    split = data.table["Metadata_Split"].copy()
    split.iloc[rows] = None
    return replace(data, table=data.table.assign(Metadata_Split=split))


def test_weights_are_inverse_to_frequency_and_their_mean_over_the_fields_is_1() -> None:
    labels = np.array([0] * 6 + [1] * 3 + [3])
    weights = balanced_weights(labels, 4)
    assert weights[labels].mean() == pytest.approx(1)
    assert weights[1] / weights[0] == pytest.approx(2)
    assert weights[2] == 0
    np.testing.assert_allclose(balanced_weights(np.array([0, 1, 1, 0]), 2), 1)


def test_balanced_weights_enter_the_training_loss_alone(data: PreparedData) -> None:
    def metrics(data: PreparedData, class_weights: str) -> dict[str, float]:
        return numbers(trial("resnext", data, epochs=1, learning_rate=1e-9, class_weights=class_weights))[0]

    assert metrics(data, "none") == metrics(data, "balanced")
    plain, balanced = (metrics(lopsided(data), name) for name in ("none", "balanced"))
    assert plain.pop("train/loss") != pytest.approx(balanced.pop("train/loss"), rel=1e-3)
    assert plain == pytest.approx(balanced, rel=1e-4)


def test_the_head_alone_learns_until_the_rest_thaws(data: PreparedData) -> None:
    def weights(freeze_epochs: int) -> list[dict[str, torch.Tensor]]:
        changed = settings("resnext", epochs=3, freeze_epochs=freeze_epochs)
        epochs = run_trial("resnext", changed, data, metric="val/log_loss", seed=5)
        return [{k: v.clone() for k, v in epoch.state.model.state_dict().items()} for epoch in epochs]

    def still(states: list[dict[str, torch.Tensor]], part: str) -> list[bool]:
        names = [name for name in states[0] if name.startswith(part) and "num_batches" not in name]
        return [all(torch.equal(one[name], other[name]) for name in names) for one, other in pairwise(states)]

    assert still(weights(0), "features.") == [False, False]
    assert still(weights(2), "features.") == [True, False]
    assert still(weights(-1), "features.") == [True, True]
    assert still(weights(-1), "head.") == [False, False]


def test_the_first_stages_stay_for_good(data: PreparedData) -> None:
    def changed(frozen_stages: int) -> set[str]:
        chosen = settings("resnext", epochs=2, frozen_stages=frozen_stages)
        results = run_trial("resnext", chosen, data, metric="val/log_loss", seed=5)
        one, other = [{k: v.clone() for k, v in each.state.model.state_dict().items()} for each in results]
        return {name.split(".")[1] for name in one if name.startswith("features") and not one[name].equal(other[name])}

    every = {"conv1", "bn1", "layer1", "layer2", "layer3", "layer4"}
    assert changed(0) == every
    assert changed(3) == {"layer3", "layer4"}
    with pytest.raises(LeighError, match=r"frozen_stages is 6, but this resnext has 6 stages.*give at most 5"):
        changed(6)


@pytest.mark.parametrize("head", ["logistic", "forest"])
def test_a_learner_is_fitted_to_the_features_of_a_trunk_that_stays(data: PreparedData, head: str) -> None:
    architecture = {"backbone": "shufflenet_v2_x0_5", "head": head}
    chosen = TrainingSettings(epochs=2, batch_size=4, architecture=architecture)
    states, accuracies = [], []
    for result in run_trial("backbone", chosen, data, metric="val/log_loss", seed=5):
        states.append({name: tensor.clone() for name, tensor in result.state.model.state_dict().items()})
        accuracies.append(result.metrics["train/accuracy"])
    changed = {name.split(".")[0] for name in states[0] if not torch.equal(states[0][name], states[1][name])}
    assert changed == {"head"}
    assert max(accuracies) > 0.5


@pytest.mark.parametrize("weights", ["none", "balanced"])
def test_a_learner_weighs_classes_as_the_settings_say(
    data: PreparedData, weights: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(LinearHead, "fit", lambda *_, balanced, **__: asked.append(balanced))
    architecture = {"backbone": "shufflenet_v2_x0_5", "head": "logistic"}
    chosen = TrainingSettings(epochs=1, batch_size=4, architecture=architecture, class_weights=weights)
    list(run_trial("backbone", chosen, data, metric="val/log_loss", seed=5))
    assert asked == [weights == "balanced"]


def test_the_training_accuracy_is_that_of_the_epochs_batches(data: PreparedData) -> None:
    seen: list[float] = []
    compute = OBJECTIVES["classify"].compute_losses

    class Watching(ClassificationObjective):
        def compute_losses(self, model: Network, batch: Batch, beta: float) -> BatchLosses:
            found = compute(model, batch, beta)
            if model.training:
                seen.extend((found.values.argmax(1) == batch.labels).float().tolist())
            return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(OBJECTIVES, "classify", Watching())
        first = numbers(trial("resnext", data, epochs=1))[0]
    assert len(seen) == len(data.rows("train"))
    assert first["train/accuracy"] == pytest.approx(np.mean(seen))
    assert "train/accuracy" not in numbers(trial("autoencoder", data, epochs=1))[0]


@pytest.mark.parametrize("family", SMALL)
def test_layers_away_from_the_head_learn_less(family: str, data: PreparedData) -> None:
    def moved(layer_decay: float) -> tuple[float, float]:
        """By how much the first and the last stage changed, relative to their weights."""
        asked = settings(family, epochs=1, optimizer="sgd", layer_decay=layer_decay)
        start = build_network(family, asked, data, seed=5).state_dict()
        epoch = next(run_trial(family, asked, data, metric=METRIC[family], seed=5, device="cpu"))
        assert epoch.metrics["train/learning_rate"] == asked.learning_rate
        names = [name for name, _ in epoch.state.model.named_parameters() if name.endswith("weight")]
        now = epoch.state.model.state_dict()
        first, last = (float((now[name] - start[name]).norm() / start[name].norm()) for name in (names[0], names[-1]))
        return first, last

    same, less = moved(1.0), moved(1e-6)
    assert less[0] < 1e-2 * same[0]
    assert less[1] > 0.1 * same[1]


def test_a_training_is_over_when_it_gets_no_better(data: PreparedData) -> None:
    state = TrainingState.start(compact("resnext"), optimizer="sgd", learning_rate=1e-12, weight_decay=0.0, seed=0)
    assert not state.is_finished(10, 2)
    state.epoch, state.best_epoch = 5, 3
    assert state.is_finished(10, 2)
    assert not state.is_finished(10, 3)
    assert not state.is_finished(10, None)
    assert state.is_finished(5, None)
    # Nothing is better than a best of -infinity.
    parts = data.batches("train", data.scale("linear"), 8), data.batches("val", data.scale("linear"), 8)
    for patience, expected in ((None, 4), (2, 2)):
        model = compact("autoencoder")
        state = TrainingState.start(model, optimizer="sgd", learning_rate=1e-6, weight_decay=0.0, seed=0)
        state.best = -float("inf")
        asked = {"wells": list(data.wells), "epochs": 4, "metric": "val/mse", "patience": patience}
        assert len(list(fit(state, *parts, **asked))) == expected


def test_an_epoch_moves_the_state_on(data: PreparedData) -> None:
    state = TrainingState.start(compact("autoencoder"), optimizer="adam", learning_rate=0.01, weight_decay=0.0, seed=0)
    parts = data.batches("train", data.scale("linear"), 8), data.batches("val", data.scale("linear"), 8)
    metrics, outputs = run_epoch(state, *parts, list(data.wells), LossOptions())
    assert state.epoch == 1
    assert {"train/loss", "train/learning_rate", "val/loss", "val/mse"} <= set(metrics)
    np.testing.assert_array_equal(outputs.rows, data.rows("val"))
