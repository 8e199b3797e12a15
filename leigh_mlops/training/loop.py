"""The training loop: a generator that yields one result per epoch."""

import math
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from leigh_mlops.errors import LeighError
from leigh_mlops.images import Batch, FieldBatches, derived_seed
from leigh_mlops.models import Network
from leigh_mlops.training.objective import Outputs, batch_on, measures, objective_of, predict

__all__ = ["DivergenceError", "Epoch", "TrainingState", "fit"]

OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamax": torch.optim.Adamax,
    "sgd": torch.optim.SGD,
}


class DivergenceError(LeighError):
    """The loss is no longer a number."""


@dataclass
class TrainingState:
    """All that a training needs to go on: between epochs, nothing else carries over.

    Order, augmentation and the random state of an epoch follow from ``seed``
    and ``epoch``.

    Attributes:
        model: The network, changed in place.
        optimizer: Its optimizer.
        seed: Of order, augmentation and dropout.
        epoch: Epochs done.
        best: The metric's best value so far.
        best_epoch: The epoch that reached it.
        best_weights: The network's state then, on the CPU.
    """

    model: Network
    optimizer: torch.optim.Optimizer
    seed: int
    epoch: int = 0
    best: float = math.inf
    best_epoch: int = 0
    best_weights: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def start(cls, model: Network, *, optimizer: str, learning_rate: float, weight_decay: float, seed: int) -> Any:  # noqa: ANN401
        """A fresh state."""
        made = OPTIMIZERS[optimizer](model.parameters(), lr=learning_rate, weight_decay=weight_decay)  # type: ignore[call-arg]
        return cls(model, made, seed)

    def keep_best(self, value: float) -> None:
        """Remember the weights if the value, to be minimised, is the best so far."""
        if value < self.best:
            self.best, self.best_epoch = value, self.epoch
            weights = self.model.state_dict()
            self.best_weights = {name: tensor.detach().cpu().clone() for name, tensor in weights.items()}


@dataclass(frozen=True)
class Epoch:
    """What one epoch gave.

    Attributes:
        number: From 1.
        metrics: ``train/loss`` and what else the objective measures,
            ``train/learning_rate``, ``train/seconds`` and the scores of the
            validation part.
        outputs: The validation fields' outputs.
        state: To be saved; it changes when the next epoch is asked for.
    """

    number: int
    metrics: dict[str, float]
    outputs: Outputs
    state: TrainingState


def fit(
    state: TrainingState,
    train: FieldBatches,
    val: FieldBatches,
    *,
    wells: Sequence[str],
    epochs: int,
    metric: str,
    mode: str = "min",
    lr_step_epochs: int | None = None,
    lr_step_factor: float = 0.1,
    precision: str = "fp32",
    beta: float = 1.0,
) -> Iterator[Epoch]:
    """Train, and yield one result per epoch; whoever stops asking stops the training.

    Args:
        state: Fresh, or read from a checkpoint: the training then goes on behind it.
        train: Training batches, labels within the model's classes.
        val: Validation batches; the best epoch is chosen on them.
        wells: Well of every row of the table, for scores per well.
        epochs: Epochs in all, those already done included.
        metric: Name of the score that is best where it is lowest (``mode``
            ``min``) or highest (``max``), for example ``val/log_loss``.
        mode: ``min`` or ``max``.
        lr_step_epochs: Epochs between two steps of the learning rate; ``None`` for none.
        lr_step_factor: Factor of each step.
        precision: ``fp32``, or ``bf16`` for forward pass and loss in training;
            validation is always without autocast.
        beta: Weight of the cross-entropy against the density, where the objective has one.

    Raises:
        DivergenceError: The loss is not finite.
        LeighError: The network's scores have no such metric.
    """
    objective = objective_of(state.model)
    base = [
        group["lr"] / lr_step_factor ** _steps(state.epoch - 1, lr_step_epochs)
        for group in state.optimizer.param_groups
    ]
    sign = 1.0 if mode == "min" else -1.0
    while state.epoch < epochs:
        started = time.perf_counter()
        for group, rate in zip(state.optimizer.param_groups, base, strict=True):
            group["lr"] = rate * lr_step_factor ** _steps(state.epoch, lr_step_epochs)
        means = _train_epoch(state, train, precision, beta)
        state.epoch += 1
        outputs = predict(state.model, val, beta)
        scores = objective.scores(outputs, [wells[row] for row in outputs.rows], state.model.spec.classes)
        metrics = {f"train/{name}": value for name, value in means.items()}
        metrics["train/learning_rate"] = state.optimizer.param_groups[0]["lr"]
        metrics |= {f"val/{name}": value for name, value in scores.items()}
        metrics["train/seconds"] = time.perf_counter() - started
        if metric not in metrics:
            raise LeighError(
                f"{metric!r} is no score of {state.model.spec.family}; choose one of {', '.join(metrics)}."
            )
        state.keep_best(sign * metrics[metric])
        yield Epoch(state.epoch, metrics, outputs, state)


def _steps(epoch: int, every: int | None) -> int:
    return max(epoch, 0) // every if every else 0


def _train_epoch(state: TrainingState, batches: FieldBatches, precision: str, beta: float) -> dict[str, float]:
    """Mean of the loss and of what else the objective measures, over the fields as they came."""
    device = next(state.model.parameters()).device
    state.model.train()
    sums: defaultdict[str, float] = defaultdict(float)
    count = 0
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(derived_seed(state.seed, state.epoch))
        for batch in batches.epoch(state.epoch):
            for name, total in _step(state, batch_on(batch, device), precision, beta).items():
                sums[name] += total
            count += len(batch.rows)
    return {name: total / count for name, total in sums.items()}


def _step(state: TrainingState, batch: Batch, precision: str, beta: float) -> dict[str, float]:
    """One step of the optimizer; returns sums over the batch."""
    with torch.autocast(batch.images.device.type, torch.bfloat16, enabled=precision == "bf16"):
        judged = objective_of(state.model).judge(state.model, batch, beta)
        loss = judged.losses.mean()
    if not torch.isfinite(loss):
        raise DivergenceError(f"The loss of epoch {state.epoch + 1} is {loss.item()}; lower the learning rate.")
    state.optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    state.optimizer.step()
    return {name: float(measured.detach().double().sum()) for name, measured in measures(judged).items()}
