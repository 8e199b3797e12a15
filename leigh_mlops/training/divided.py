"""Training and validation of one network by several processes, each with a portion of every batch."""

from dataclasses import replace
from typing import Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from leigh_mlops.images import Batch, Division, FieldBatches, Portion
from leigh_mlops.models import Network
from leigh_mlops.models.shared_batch import shared_batch
from leigh_mlops.training.objective import BatchLosses, Outputs, predict, select_objective

__all__ = [
    "LossFunction",
    "divide_gradients",
    "mean_loss",
    "predict_divided",
    "share_inverse_error",
    "sum_over_processes",
]


class LossFunction(Protocol):
    """Losses of a network for a batch, or a portion of one."""

    def __call__(self, batch: Batch, beta: float) -> BatchLosses:
        """Compute the losses; ``beta`` is the weight of the second term, where there is one."""


class _Losses(nn.Module):
    """Losses of a network as a module, which is what PyTorch averages gradients for."""

    def __init__(self, model: Network) -> None:
        super().__init__()
        self.model, self._objective = model, select_objective(model)

    def forward(self, batch: Batch, beta: float) -> BatchLosses:
        with shared_batch(self.model, batch.portion):
            return self._objective.compute_losses(self.model, batch, beta)


def divide_gradients(model: Network) -> LossFunction:
    """Return the losses of a network whose gradients are averaged over all processes in each backward pass.

    Weights and buffers become those of the first process, buffers again before each batch: the vectors of the power
    iteration, which share a convolution with the images, would drift apart in their last bits. Only what has
    gradients now is averaged, so a change of the frozen stages needs another call.
    """
    return cast(LossFunction, DistributedDataParallel(_Losses(model), gradient_as_bucket_view=True))


def mean_loss(losses: Tensor, portion: Portion | None) -> Tensor:
    """Loss whose gradient, averaged over the processes, is that of the mean over the whole batch.

    Args:
        losses: One loss per own field, shape (n,).
        portion: Portion that these fields are; ``None`` for all of them.
    """
    return losses.mean() if portion is None else losses.sum() * (dist.get_world_size() / portion.labelled)


def predict_divided(model: Network, batches: FieldBatches, beta: float, division: Division) -> Outputs:
    """Run a network on some batches as :func:`predict` does; each process predicts a part of the rows, and gets all.

    Outputs with noise, which follows the batches, and rows that are fewer than the processes are those of the first
    process.
    """
    if division.ranks == 1:
        return predict(model, batches, beta)
    count = len(batches.rows)
    is_divided = division.divides(count) and not select_objective(model).draws_noise
    own = division.share(count) if is_divided else slice(0, count)
    outputs = predict(model, replace(batches, rows=batches.rows[own], labels=batches.labels[own]), beta)
    means = [outputs.loss, *outputs.extra_measures.values()]
    # Row numbers and labels are far below 2^53, up to which float64 holds whole numbers.
    columns = np.column_stack([outputs.rows, outputs.labels, outputs.values])
    width = columns.shape[1]
    table = torch.zeros(count + 1, max(width, len(means)), dtype=torch.float64)
    if is_divided or division.rank == 0:
        table[own, :width] = torch.from_numpy(columns)
        table[count, : len(means)] = torch.tensor(means, dtype=torch.float64) * ((own.stop - own.start) / count)
    dist.all_reduce(table)
    found = table.numpy()
    loss, *extra = found[count, : len(means)].tolist()
    rows, labels = found[:count, :2].astype(np.int64).T
    named = dict(zip(outputs.extra_measures, extra, strict=True))
    return Outputs(rows, labels, found[:count, 2:width], loss, named)


def share_inverse_error(error: float, division: Division) -> float:
    """Return the first process's value, so that all processes decide alike on the best epoch."""
    if division.ranks == 1:
        return error
    value = torch.tensor([error], dtype=torch.float64)
    dist.broadcast(value, 0)
    return float(value)


def sum_over_processes(values: Tensor, division: Division) -> Tensor:
    """Return the sum of a tensor over all processes."""
    if division.ranks > 1:
        dist.all_reduce(values)
    return values
