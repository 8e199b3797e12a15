"""What a network is trained for: its loss, and the scores of what it puts out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from leigh_mlops.images import Batch
from leigh_mlops.models import Network
from leigh_mlops.scores import all_scores

__all__ = ["OBJECTIVES", "Objective", "Outputs", "predict"]


@dataclass(frozen=True)
class Outputs:
    """What a network says of some fields.

    Attributes:
        rows: Row numbers, shape (n,).
        labels: Class indices, shape (n,).
        values: Log-probabilities (n, K) of a classifier, or the mean squared
            error per image (n, 1) in network units.
        loss: Mean of the training loss over the fields.
    """

    rows: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    loss: float


class Objective(Protocol):
    """A task's loss and scores."""

    def losses(self, output: Tensor, batch: Batch) -> Tensor:
        """One loss per field, shape (n,)."""

    def values(self, output: Tensor, batch: Batch) -> Tensor:
        """What is kept of a field, shape (n, V)."""

    def scores(self, outputs: Outputs, wells: Sequence[str], classes: Sequence[str]) -> dict[str, float]:
        """Shared metric names without their part."""


class Classify:
    """Cross-entropy."""

    def losses(self, output: Tensor, batch: Batch) -> Tensor:
        """Cross-entropy per field in nats."""
        return F.cross_entropy(output, batch.labels, reduction="none")

    def values(self, output: Tensor, batch: Batch) -> Tensor:
        """Log-probabilities."""
        return output.log_softmax(1)

    def scores(self, outputs: Outputs, wells: Sequence[str], classes: Sequence[str]) -> dict[str, float]:
        """Classification scores per field and per well."""
        return {"loss": outputs.loss} | all_scores(wells, outputs.labels, outputs.values, classes)


class Reconstruct:
    """Mean squared error in network units."""

    def losses(self, output: Tensor, batch: Batch) -> Tensor:
        """Mean squared error per field."""
        return (output - batch.images).square().flatten(1).mean(1)

    def values(self, output: Tensor, batch: Batch) -> Tensor:
        """The same, as one column."""
        return self.losses(output, batch)[:, None]

    def scores(self, outputs: Outputs, wells: Sequence[str], classes: Sequence[str]) -> dict[str, float]:
        """Mean squared error over all fields."""
        return {"loss": outputs.loss, "mse": float(outputs.values.mean())}


OBJECTIVES: dict[str, Objective] = {"classify": Classify(), "reconstruct": Reconstruct()}


@torch.no_grad()
def predict(model: Network, batches: Iterable[Batch]) -> Outputs:
    """Run a network in eval mode over some batches; its mode is restored."""
    objective, device = OBJECTIVES[model.task], next(model.parameters()).device
    was_training = model.training
    model.eval()
    rows, labels, values, total = [], [], [], 0.0
    try:
        for batch in batches:
            moved = Batch(batch.images.to(device), batch.labels.to(device), batch.rows)
            output = model(moved.images)
            rows.append(batch.rows)
            labels.append(batch.labels.numpy())
            values.append(objective.values(output, moved).double().cpu().numpy())
            total += float(objective.losses(output, moved).sum())
    finally:
        model.train(was_training)
    seen = np.concatenate(rows)
    return Outputs(seen, np.concatenate(labels), np.concatenate(values), total / len(seen))
