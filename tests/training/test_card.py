"""What training, evaluation, inverse and counterfactuals do on a GPU, which is simulated."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from leigh_mlops.errors import LeighError
from leigh_mlops.explanations import ExplanationContext, FieldExplanation, class_means, explain_fields
from leigh_mlops.images import Batch, IntensityScale
from leigh_mlops.models import ModelPackage
from leigh_mlops.models.precision import full_float32
from leigh_mlops.training import (
    PreparedData,
    TrainingState,
    inverse_error,
    load_trained_network,
    predict,
    run_trial,
    save_checkpoint,
)
from leigh_mlops.training.epoch import LossOptions, train_batch
from leigh_mlops.training.objective import move_batch
from tests.card import CARD, LeftBehindError, simulated_card
from tests.models.compact import COMPACT, compact, images, trained
from tests.training.test_loop import METRIC, settings

CPU = torch.device("cpu")
SCALE = IntensityScale("linear", 255, (0.4, 0.5, 0.3), (0.1, 0.1, 0.1))


def batch() -> Batch:
    return Batch(images(4), torch.tensor([0, 1, 2, 0]), np.arange(4))


def start(family: str, device: torch.device, **architecture: object) -> TrainingState:
    model = compact(family, **architecture).to(device).train()
    return TrainingState.start(model, optimizer="adamax", learning_rate=1e-3, weight_decay=0.0, seed=0)


def step(state: TrainingState, device: torch.device) -> torch.Tensor:
    """Sums of the measures of one training step."""
    torch.manual_seed(3)
    with full_float32():
        return train_batch(state, move_batch(batch(), device), LossOptions(), None)[1]


def test_the_card_finds_what_was_left_behind_and_what_waits() -> None:
    with simulated_card() as card:
        far = torch.arange(4.0).to(CARD)
        assert not card.waits
        assert far.device == CARD
        assert (far + 1).sum().cpu() == 10
        assert card.waits.pop("a copy to the CPU") == 1
        assert float(far[1]) == 1
        assert bool((far > 2).any())
        assert card.waits.pop("a number read") == 2
        assert len(far[far > 1]) == 2
        assert card.waits.pop("an index of booleans") == 1
        assert not card.waits
        with pytest.raises(LeftBehindError, match=r"shape \(4,\) was left behind"):
            far + torch.ones(4)


@pytest.mark.parametrize("family", COMPACT)
def test_a_training_step_leaves_nothing_behind_and_waits_for_nothing(family: str) -> None:
    state = start(family, CPU)
    expected = [step(state, CPU) for _ in range(2)]
    with simulated_card() as card:
        state = start(family, CARD)
        first = step(state, CARD)
        # Each ActNorm reads once whether it has seen data.
        assert dict(card.waits) == ({"a number read": 2} if family == "iresnet" else {})
        card.waits.clear()
        second = step(state, CARD)
        assert not card.waits
        torch.testing.assert_close([first.cpu(), second.cpu()], expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("family", COMPACT)
def test_an_evaluation_waits_for_its_outputs_alone(family: str) -> None:
    expected = predict(trained(family), [batch(), batch()])
    with simulated_card() as card:
        model = trained(family).to(CARD)
        predict(model, [batch()])  # certifies the norms
        card.waits.clear()
        found = predict(model, [batch(), batch()])
        # Features are copied beside the clusters.
        assert dict(card.waits) == {"a copy to the CPU": 3 if family == "deepcluster" else 2}
    np.testing.assert_allclose(found.values, expected.values, rtol=1e-5)
    assert found.loss == pytest.approx(expected.loss)


def test_the_inverse_is_that_of_full_float32_on_a_card_that_rounds() -> None:
    model = trained("iresnet")
    bounds = model.certificate()["lipschitz"]
    with simulated_card():
        far = images(2).to(CARD)
        model.to(CARD)
        rounded = float((model.decode(model.encode(far)) - far).abs().max())
        error = inverse_error(model, images(2))
        assert error is not None
        assert error < 1e-4 < rounded
        # Certified anew, on the card.
        assert trained("iresnet").to(CARD).eval().certificate()["lipschitz"] == pytest.approx(bounds, rel=1e-4)


@pytest.mark.parametrize("family", COMPACT)
def test_class_means_wait_little_and_are_those_of_the_cpu(family: str) -> None:
    pairs = [(each.images, each.labels) for each in (batch(), batch())]
    expected = class_means(trained(family), pairs)
    with simulated_card() as card:
        model = trained(family).to(CARD).eval()
        class_means(model, pairs[:1])
        card.waits.clear()
        found = class_means(model, pairs)
        assert sum(card.waits.values()) <= 10 * len(pairs)
    for name, each in expected.items():
        assert type(found[name]) is torch.Tensor
        torch.testing.assert_close(found[name], each, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("family", "method"),
    [
        ("autoencoder", "reconstruction"),
        ("autoencoder", "interpolation"),
        ("iresnet", "counterfactual"),
        ("iresnet", "interpolation"),
    ],
)
def test_explanations_on_a_card_are_those_of_the_cpu(family: str, method: str) -> None:
    raw = SCALE.invert(images(2).numpy())
    pairs = [(images(6), torch.arange(6) % 3)]
    context = ExplanationContext(window=8, stride=8, steps=2)

    def explain(device: torch.device) -> list[FieldExplanation]:
        model = trained(family).to(device).eval()
        means = class_means(model, pairs)
        means |= {name.replace("true", "predicted"): each for name, each in means.items() if name.startswith("true")}
        package = ModelPackage(model, ("R", "G", "B"), SCALE.to_json(), means)
        return explain_fields(package, raw, [method], context, lambda place, kind, image: np.float32(image))

    expected = explain(CPU)
    with simulated_card():
        found = explain(CARD)
    for one, other in zip(found, expected, strict=True):
        assert one.numbers.keys() == other.numbers.keys()
        assert one.images or one.maps or one.frames
        for group in ("images", "maps", "frames"):
            ours, theirs = getattr(one, group), getattr(other, group)
            assert ours.keys() == theirs.keys()
            for name, array in theirs.items():
                close = np.isclose(ours[name], array, rtol=1e-2, atol=1e-2 * max(1, np.abs(array).max()))
                assert close.mean() > 0.998  # rounding of the bounds may decide on single pixels


@pytest.mark.parametrize(("family", "precision"), [("resnext", "tf32"), ("autoencoder", "fp32"), ("iresnet", "fp32")])
def test_a_trial_on_a_card_is_that_of_the_cpu(
    family: str, precision: str, data: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = settings(family, epochs=2, precision=precision)
    expected = list(run_trial(family, asked, data, metric=METRIC[family], device="cpu"))[-1].metrics
    memory = SimpleNamespace(total_memory=2**30)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: memory)
    needed = [2**31, 2**20]
    monkeypatch.setattr("leigh_mlops.training.trial.estimate_gpu_memory", lambda *given: needed[0])
    with simulated_card():
        trial = partial(run_trial, family, asked, data, metric=METRIC[family], device=str(CARD))
        with pytest.raises(LeighError, match=r"needs at least 2.0 GiB of memory on cuda:0, which has 1.0; lower batch"):
            next(trial())
        needed.pop(0)
        *_, last = trial()
        save_checkpoint(last.state, tmp_path / "saved")
        tighter = {"rtol": 1e-3, "atol": 1e-3} if precision == "fp32" else {"rtol": 0.2, "atol": 0.2}
        for name in expected.keys() - {"train/seconds", "val/inverse_error"}:
            np.testing.assert_allclose(last.metrics[name], expected[name], err_msg=name, **tighter)
        if family == "iresnet":
            assert last.metrics["val/inverse_error"] < 1e-4
    # On the CPU again.
    model, _, _ = load_trained_network(family, asked, data, tmp_path / "saved")
    assert next(model.parameters()).device == CPU


def test_batches_are_made_in_pinned_memory_where_they_are_asked_for(data: PreparedData) -> None:
    batches = replace(data.batches("train", data.scale("linear"), 4), workers=0)
    with simulated_card() as card:
        plain = list(batches)
        assert card.pinned == 0
        pinned = list(replace(batches, pinned=True))
        assert card.pinned == 2 * len(pinned)
    for one, other in zip(plain, pinned, strict=True):
        torch.testing.assert_close(one.images, other.images, rtol=0, atol=0)
        torch.testing.assert_close(one.labels, other.labels, rtol=0, atol=0)
