"""Memory that a trial takes, and recognition of errors for lack of it."""

import json
import weakref
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from leigh_mlops.images import Batch
from leigh_mlops.models import Network, build_model
from leigh_mlops.models.invertible import ActNorm
from leigh_mlops.settings import TrainingSettings
from leigh_mlops.training.adaptation import is_adapted
from leigh_mlops.training.data import PreparedData
from leigh_mlops.training.objective import select_objective
from leigh_mlops.training.state import TrainingState

__all__ = ["estimate_gpu_memory", "estimate_trial_memory", "image_bytes", "is_out_of_memory"]

PROCESS_BYTES = 650 * 2**20
"""Memory of a worker with its libraries and their buffers: 500 to 540 MiB and up to 120 MiB of
anonymous memory (Linux, RssAnon in /proc) before and in a training of little networks on one thread."""
GPU_CONTEXT_BYTES = 600 * 2**20
"""Memory of a GPU that CUDA and its libraries take for each process, about."""
WORKSPACE_FACTOR = 1.25
"""Factor on the counted memory, for workspaces of convolutions and losses of the allocator: on one
thread, with 96 to 224 px and 15 images, the peak of all three families was then 0.8 to 0.95 of the estimate."""
BATCHES_AHEAD = 3
"""Number of batches in memory: in use, ready, and being prepared."""
_OUT_OF_MEMORY_MESSAGES = ("out of memory", "can't allocate memory", "ALLOC_FAILED", "could not create a memory object")


def estimate_trial_memory(family: str, settings: TrainingSettings, data: PreparedData, folds: int = 1) -> int:
    """Estimate the bytes that a trial takes at its peak, where the network is trained on the CPU.

    Counted are the process, the table, the batches that are prepared ahead, and for each fold
    parameters, optimizer and best weights; and once, as folds take turns, the memory that a training
    step adds: it is simulated with tensors that have shapes and no values. The pixel cache is not
    counted: its pages belong to the system, which can reclaim them. A trial on a GPU takes the process
    and the best weights on its machine, and the rest there.

    Args:
        family: A key of ``MODELS``.
        settings: Hyperparameters and architecture.
        data: Prepared images.
        folds: Networks that are trained in step.

    Raises:
        LeighError: The architecture is impossible.
    """
    kept, best, peak = _trial_bytes(family, settings, data)
    table = int(data.table.memory_usage(deep=True).sum())
    ahead = BATCHES_AHEAD * _batch_bytes(settings, data)
    return PROCESS_BYTES + table + int(WORKSPACE_FACTOR * (ahead + folds * kept + best + peak))


def estimate_gpu_memory(family: str, settings: TrainingSettings, data: PreparedData, folds: int = 1) -> int:
    """Estimate the bytes of a GPU that a trial takes at least at its peak; see :func:`estimate_trial_memory`.

    Counted are CUDA itself, a batch, parameters and optimizer of each fold, and a training step, and no workspaces.

    Raises:
        LeighError: The architecture is impossible.
    """
    kept, _, peak = _trial_bytes(family, settings, data)
    return GPU_CONTEXT_BYTES + _batch_bytes(settings, data) + folds * kept + peak


def _trial_bytes(family: str, settings: TrainingSettings, data: PreparedData) -> tuple[int, int, int]:
    image = len(data.channels), data.image_size, data.image_size
    described = json.dumps(settings.architecture, sort_keys=True)
    # An episode has as many controls as fields.
    fields = settings.batch_size * (2 if is_adapted(family, settings, data) else 1)
    return _network_bytes(
        family, data.classes, image, described, fields, settings.optimizer, settings.precision, settings.momentum
    )


def _batch_bytes(settings: TrainingSettings, data: PreparedData) -> int:
    return settings.batch_size * len(data.channels) * data.image_size**2 * 4


def image_bytes(model: Network) -> int:
    """Bytes that one more image takes in a forward and backward pass, as explanations by gradients need it."""
    spec = model.spec
    described = json.dumps(spec.architecture, sort_keys=True)
    image = spec.channels, spec.image_size, spec.image_size
    one, two = (_network_bytes(spec.family, spec.classes, image, described, n, "sgd", "fp32")[2] for n in (2, 3))
    return int(WORKSPACE_FACTOR * (two - one))


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that there was not enough memory, on the GPU or the CPU."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(
        sign in str(error) for sign in _OUT_OF_MEMORY_MESSAGES
    )


@lru_cache(maxsize=256)
def _network_bytes(
    family: str,
    classes: tuple[str, ...],
    image: tuple[int, int, int],
    architecture: str,
    batch_size: int,
    optimizer: str,
    precision: str,
    momentum: float = 0.0,
) -> tuple[int, int, int]:
    """Bytes that one network keeps between steps, that its best weights take, and that a step adds at its peak."""
    channels, size, _ = image
    parts = json.loads(architecture)
    if parts.get("log_det") == "roulette":
        parts["log_det"] = "series"  # has no random number of terms, and takes the same memory
    # It takes a second to import, and a worker that trains does not need it.
    from torch._subclasses.fake_tensor import FakeTensorMode

    # Built without memory first, because some weights are drawn by code that reads values.
    with torch.device("meta"):
        model = build_model(family, classes=classes, image_size=size, channels=channels, **parts).train()
    with torch.random.fork_rng(devices=[]), FakeTensorMode(allow_non_fake_inputs=True):
        model.to_empty(device="cpu")
        for module in model.modules():
            if isinstance(module, ActNorm):  # otherwise it would read values
                module.initialised = torch.tensor(True)
        state = TrainingState.start(
            model, optimizer=optimizer, learning_rate=1e-3, weight_decay=0.0, seed=0, momentum=momentum
        )
        images = torch.zeros(batch_size, *image)
        labels = torch.zeros(batch_size, dtype=torch.int64)
        batch = Batch(images, labels, np.arange(batch_size))
        with _LiveBytes([*model.state_dict().values(), images, labels]) as live:
            _simulate_gradients(model, batch, precision)
        state.optimizer.step()
        weights = _total_bytes(list(model.state_dict().values()))
        entries = [value for entry in state.optimizer.state.values() for value in entry.values()]
        kept = _total_bytes([value for value in entries if isinstance(value, Tensor)])
    # Writing a checkpoint copies the optimizer's state; a step is over by then.
    return weights + kept, weights, max(live.peak, kept)


def _simulate_gradients(model: Network, batch: Batch, precision: str) -> None:
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        loss = select_objective(model).compute_losses(model, batch, 1.0).losses.mean()
    if loss.requires_grad:  # that of a forest has no gradients
        loss.backward()  # type: ignore[no-untyped-call]


def _total_bytes(tensors: list[Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors)


class _LiveBytes(TorchDispatchMode):
    """Counts the memory of tensors that are made within the context, as long as they live.

    Args:
        known: Tensors that exist before, and are not counted.

    Attributes:
        peak: The most bytes that lived at once.
    """

    def __init__(self, known: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = self._now = 0
        self._seen = {tensor.untyped_storage()._cdata for tensor in known}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                self._count(tensor)
        return made

    def _count(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key not in self._seen:
            self._seen.add(key)
            self._now += size
            self.peak = max(self.peak, self._now)
            weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._seen.discard(key)
        self._now -= size
