import numpy as np
import pytest
import torch
from torch import Tensor

from leigh_mlops.errors import LeighError
from leigh_mlops.images import Batch
from leigh_mlops.training import (
    PreparedData,
    TrainingState,
    build_network,
    estimate_gpu_memory,
    estimate_trial_memory,
    run_trial,
    select_objective,
)
from leigh_mlops.training.memory import WORKSPACE_FACTOR, is_out_of_memory
from tests.training.test_loop import DENSITY, METRIC, SMALL, settings

DENSE = SMALL["iresnet"] | DENSITY


def asked(family: str, data: PreparedData, folds: int = 1, **changes: object) -> int:
    return estimate_trial_memory(family, settings(family, **changes), data, folds)


def kept_by_a_step(family: str, data: PreparedData, batch_size: int) -> tuple[int, int]:
    """Bytes of the network, and of what a real forward pass keeps for the gradients."""
    model = build_network(family, settings(family), data, seed=0).train()
    weights = {tensor.untyped_storage().data_ptr() for tensor in model.state_dict().values()}
    saved: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    size = data.image_size
    batch = Batch(torch.randn(batch_size, 3, size, size), torch.zeros(batch_size, dtype=torch.int64), np.arange(2))
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        losses = select_objective(model).compute_losses(model, batch, 1.0).losses
    assert losses.requires_grad
    return sum(tensor.nbytes for tensor in model.state_dict().values()), sum(saved.values())


@pytest.mark.parametrize("family", SMALL)
def test_the_estimate_grows_with_the_batch_as_a_real_step_does(family: str, data: PreparedData) -> None:
    small, large = (kept_by_a_step(family, data, size)[1] for size in (64, 256))
    real = large - small
    counted = (asked(family, data, batch_size=256) - asked(family, data, batch_size=64)) / WORKSPACE_FACTOR
    # Gradients of activations, and three more batches that are prepared, come on top.
    assert real <= counted <= 2 * real


def test_weights_count_with_what_the_optimizer_keeps_of_them(data: PreparedData) -> None:
    weights, _ = kept_by_a_step("resnext", data, 8)
    sgd, adam = asked("resnext", data, optimizer="sgd"), asked("resnext", data, optimizer="adam")
    assert adam - sgd >= 2 * 0.9 * weights
    folds = asked("resnext", data, folds=3) - adam
    assert folds == pytest.approx(WORKSPACE_FACTOR * 2 * 3 * weights, rel=0.1)


def test_less_is_asked_for_where_less_is_kept(data: PreparedData) -> None:
    def iresnet(**changes: object) -> int:
        return asked("iresnet", data, batch_size=256, architecture=SMALL["iresnet"] | changes)

    assert iresnet(memory="checkpoint") < iresnet()
    half, full = (asked("resnext", data, batch_size=256, precision=name) for name in ("bf16", "fp32"))
    assert half < full
    series, roulette = (
        asked("iresnet", data, architecture=DENSE | {"log_det": name}) for name in ("series", "roulette")
    )
    assert series == roulette > asked("iresnet", data, architecture=DENSE)


def test_a_gpu_holds_no_process_and_fewer_batches(data: PreparedData) -> None:
    small, large = (estimate_gpu_memory("resnext", settings("resnext", batch_size=size), data) for size in (64, 256))
    counted = asked("resnext", data, batch_size=256) - asked("resnext", data, batch_size=64)
    assert 0.8 * counted < WORKSPACE_FACTOR * (large - small) < counted
    assert large < asked("resnext", data, batch_size=256)


def test_an_estimate_leaves_no_trace(data: PreparedData) -> None:
    before = torch.get_rng_state()
    asked("iresnet", data, batch_size=11)
    assert torch.equal(torch.get_rng_state(), before)
    assert next(run_trial("iresnet", settings("iresnet"), data, metric=METRIC["iresnet"])).number == 1


def test_a_batch_that_does_not_fit_is_said(data: PreparedData, monkeypatch: pytest.MonkeyPatch) -> None:
    def trial() -> None:
        next(iter(run_trial("autoencoder", settings("autoencoder"), data, metric="val/mse")))

    def starve(self: TrainingState, value: float) -> None:
        torch.empty(2**50)

    trial()
    monkeypatch.setattr(TrainingState, "keep_best", starve)
    with pytest.raises(LeighError, match=r"batch of 8 images of 32 px does not fit .* lower batch_size"):
        trial()


def test_other_errors_stay_what_they_are(data: PreparedData, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: TrainingState, value: float) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(TrainingState, "keep_best", broken)
    with pytest.raises(RuntimeError, match="shapes"):
        next(iter(run_trial("autoencoder", settings("autoencoder"), data, metric="val/mse")))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:121] data. DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("shape mismatch"), False),
    ],
)
def test_errors_of_memory_are_known(error: BaseException, expected: bool) -> None:
    assert is_out_of_memory(error) == expected
