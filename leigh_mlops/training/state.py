"""State of a training between epochs."""

import math
from dataclasses import dataclass, field
from typing import Any, Self

import torch
from torch import Tensor

from leigh_mlops.models import Network
from leigh_mlops.training.transfer import stage_groups

__all__ = ["OPTIMIZERS", "TrainingState"]

OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamax": torch.optim.Adamax,
    "sgd": torch.optim.SGD,
}


@dataclass
class TrainingState:
    """State from which a training can continue: nothing else carries over between epochs.

    Order, augmentation and the random state of an epoch follow from ``seed``
    and ``epoch``, learning rates from the optimizer's ``initial_lr`` and ``epoch``.

    Attributes:
        model: The network, changed in place.
        optimizer: Its optimizer.
        seed: Seed of order, augmentation and dropout.
        epoch: Epochs done.
        best: The metric's best value so far.
        best_epoch: Epoch of that value.
        best_weights: The network's state after that epoch, on the CPU.
        others: Networks that are trained in step on other divisions of the data; their
            ``best…`` stay empty, since the best epoch is chosen for all of them together.
        carried: Tensors by name that an objective carries from epoch to epoch, such as the clusters of the fields.
    """

    model: Network
    optimizer: torch.optim.Optimizer
    seed: int
    epoch: int = 0
    best: float = math.inf
    best_epoch: int = 0
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    others: "tuple[TrainingState, ...]" = ()
    carried: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def start(
        cls,
        model: Network,
        *,
        optimizer: str,
        learning_rate: float,
        weight_decay: float,
        seed: int,
        layer_decay: float = 1.0,
        momentum: float = 0.0,
    ) -> Self:
        """Make a fresh state.

        ``layer_decay`` is the factor on the learning rate with each stage away from the head; ``momentum`` that of
        ``sgd``.
        """
        groups = stage_groups(model, learning_rate, layer_decay)
        options: dict[str, Any] = {"momentum": momentum} if optimizer == "sgd" else {}
        made = OPTIMIZERS[optimizer](groups, weight_decay=weight_decay, **options)  # type: ignore[call-arg]
        return cls(model, made, seed)

    def keep_best(self, value: float) -> None:
        """Remember the weights if the value, to be minimised, is the best so far."""
        if value < self.best:
            self.best, self.best_epoch = value, self.epoch
            weights = self.model.state_dict()
            self.best_weights = {name: tensor.detach().cpu().clone() for name, tensor in weights.items()}

    def is_finished(self, epochs: int, patience: int | None) -> bool:
        """Return whether all epochs are done, or the last ``patience`` of them brought no improvement."""
        return self.epoch >= epochs or (patience is not None and self.epoch - self.best_epoch >= patience)
