from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from leigh_mlops.errors import LeighError
from leigh_mlops.models import MODELS, precision
from leigh_mlops.settings import TrainingSettings
from leigh_mlops.training import (
    DivergenceError,
    EpochResult,
    PreparedData,
    TrainingState,
    build_network,
    fit,
    load_trained_network,
    predict,
    run_trial,
    save_checkpoint,
)

SMALL = {
    "resnext": {"layers": [1, 1, 1, 1], "groups": 1, "width_per_group": 8},
    "autoencoder": {},
    "iresnet": {"blocks": [1, 1], "widths": [8, 8]},
}
METRIC = {"resnext": "val/log_loss", "autoencoder": "val/mse", "iresnet": "val/log_loss"}


def settings(family: str, **changes: object) -> TrainingSettings:
    values = {"batch_size": 8, "epochs": 3, "learning_rate": 0.003, "architecture": SMALL[family]}
    return TrainingSettings(**(values | changes))


def trial(family: str, data: PreparedData, checkpoint: Path | None = None, **changes: object) -> list[EpochResult]:
    epochs = run_trial(family, settings(family, **changes), data, metric=METRIC[family], seed=5, checkpoint=checkpoint)
    return list(epochs)


def numbers(epochs: list[EpochResult]) -> list[dict[str, float]]:
    return [{k: v for k, v in epoch.metrics.items() if "seconds" not in k} for epoch in epochs]


@pytest.mark.parametrize("family", SMALL)
def test_a_trial_learns_and_repeats_itself(family: str, data: PreparedData) -> None:
    first, longer = trial(family, data), trial(family, data, epochs=8)
    assert [epoch.number for epoch in first] == [1, 2, 3]
    assert numbers(first) == numbers(longer)[:3]
    losses = [epoch.metrics["train/loss"] for epoch in longer]
    assert losses[-1] < losses[0]
    assert METRIC[family] in first[0].metrics


@pytest.mark.parametrize("family", SMALL)
def test_a_trial_taken_up_again_goes_on_as_if_it_had_not_stopped(
    family: str, data: PreparedData, tmp_path: Path
) -> None:
    whole = trial(family, data, epochs=3, lr_step_epochs=2)
    for epoch in islice(
        run_trial(family, settings(family, lr_step_epochs=2), data, metric=METRIC[family], seed=5),
        1,
    ):
        save_checkpoint(epoch.state, tmp_path / "c")
    rest = trial(family, data, tmp_path / "c", lr_step_epochs=2)
    assert [epoch.number for epoch in rest] == [2, 3]
    for one, other in zip(numbers(whole[1:]), numbers(rest), strict=True):
        assert one == pytest.approx(other, rel=1e-5, abs=1e-6)


def test_another_seed_gives_another_training(data: PreparedData) -> None:
    runs = [
        list(run_trial("resnext", settings("resnext", epochs=1), data, metric="val/log_loss", seed=seed))
        for seed in (1, 2)
    ]
    assert numbers(runs[0]) != numbers(runs[1])


def test_nothing_of_a_trial_touches_the_callers_random_state(data: PreparedData) -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    torch.rand(1)
    assert not torch.equal(torch.get_rng_state(), before)
    torch.set_rng_state(before)
    trial("resnext", data, epochs=1)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_best_epoch_comes_back_from_its_checkpoint(data: PreparedData, tmp_path: Path) -> None:
    outputs = {}
    for epoch in run_trial("resnext", settings("resnext"), data, metric="val/log_loss", seed=5):
        outputs[epoch.number] = epoch.outputs.values
        save_checkpoint(epoch.state, tmp_path / "c")
    model, scale, best = load_trained_network("resnext", settings("resnext"), data, tmp_path / "c")
    again = predict(model, data.batches("val", scale, 8)).values
    np.testing.assert_allclose(again, outputs[best], atol=1e-5)


def test_the_learning_rate_falls_in_steps(data: PreparedData) -> None:
    rates = [e.metrics["train/learning_rate"] for e in trial("autoencoder", data, epochs=4, lr_step_epochs=2)]
    assert rates == pytest.approx([0.003, 0.003, 0.0003, 0.0003])


def test_a_divergence_is_said(data: PreparedData) -> None:
    with pytest.raises(DivergenceError, match="lower the learning rate"):
        trial("autoencoder", data, optimizer="sgd", learning_rate=10.0, epochs=60)


def test_an_unknown_metric_names_the_known_ones(data: PreparedData) -> None:
    with pytest.raises(LeighError, match="'val/beauty' is not a score of resnext; choose one of"):
        next(iter(run_trial("resnext", settings("resnext"), data, metric="val/beauty")))


def test_the_test_part_does_not_touch_a_training(data: PreparedData) -> None:
    """The same trial with the test wells' pixels set to noise gives the same numbers."""
    before = numbers(trial("resnext", data, epochs=2))
    pixels = np.array(data.cache.pixels)
    pixels[data.rows("test")] = 60000
    object.__setattr__(data.cache, "pixels", pixels)
    assert numbers(trial("resnext", data, epochs=2)) == before
    pixels[data.rows("val")] = 60000
    assert numbers(trial("resnext", data, epochs=2)) != before


def test_a_file_is_a_starting_point(data: PreparedData, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    fresh = build_network("resnext", settings("resnext"), data, seed=1)
    other = build_network("resnext", settings("resnext"), data, seed=2)
    name = "features.conv1.weight"
    assert not torch.equal(fresh.state_dict()[name], other.state_dict()[name])
    save_file({k: v.contiguous() for k, v in other.state_dict().items()}, tmp_path / "w.safetensors")
    started = build_network("resnext", settings("resnext", init=str(tmp_path / "w.safetensors")), data, seed=1)
    assert torch.equal(started.state_dict()[name], other.state_dict()[name])


def test_bf16_is_for_training_alone(data: PreparedData) -> None:
    model, seen = build_network("resnext", settings("resnext"), data, seed=1), {True: set(), False: set()}
    model.features.conv1.register_forward_hook(lambda module, _, y: seen[module.training].add(y.dtype))
    state = TrainingState.start(model, optimizer="adam", learning_rate=0.003, weight_decay=0.0, seed=1)
    scale = data.scale("linear")
    parts = data.batches("train", scale, 8), data.batches("val", scale, 8)

    def epoch_in(precision: str) -> None:
        seen[True], seen[False] = set(), set()
        more = {"wells": list(data.wells), "epochs": state.epoch + 1, "metric": "val/log_loss"}
        next(iter(fit(state, *parts, precision=precision, **more)))

    epoch_in("fp32")
    assert seen == {True: {torch.float32}, False: {torch.float32}}
    epoch_in("bf16")
    assert seen == {True: {torch.bfloat16}, False: {torch.float32}}
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}


@pytest.mark.parametrize("family", SMALL)
def test_a_trial_in_bf16_learns(family: str, data: PreparedData) -> None:
    losses = [epoch.metrics["train/loss"] for epoch in trial(family, data, epochs=8, precision="bf16")]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("family", SMALL)
def test_auto_trains_as_the_precision_that_it_stands_for(
    family: str, data: PreparedData, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {name: numbers(trial(family, data, epochs=1, precision=name)) for name in ("fp32", "bf16")}
    assert known["fp32"] != known["bf16"]
    monkeypatch.setattr(MODELS[family], "trains_in_bf16", True)
    for units, name in ((False, "fp32"), (True, "bf16")):
        monkeypatch.setattr(precision, "has_bf16_units", lambda device_type, units=units: units)
        assert numbers(trial(family, data, epochs=1, precision="auto")) == known[name]


DENSITY = {"padded_channels": None, "head": "gaussian"}


@pytest.mark.parametrize("log_det", ["series", "roulette"])
def test_a_density_is_trained_and_scored(data: PreparedData, log_det: str) -> None:
    plain = trial("iresnet", data, epochs=1, architecture=SMALL["iresnet"] | DENSITY)
    assert not [name for name in plain[0].metrics if "nats" in name]
    epochs = trial("iresnet", data, epochs=6, architecture=SMALL["iresnet"] | DENSITY | {"log_det": log_det}, beta=2.0)
    for part in ("train", "val"):
        nats = [epoch.metrics[f"{part}/nats_per_dim"] for epoch in epochs]
        assert nats[-1] < nats[0]
    last = epochs[-1].metrics
    assert last["val/loss"] == pytest.approx(2 * last["val/log_loss"] + last["val/nats_per_dim"], rel=1e-4)
