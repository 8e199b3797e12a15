"""Fine-tuning of a trained network: lower learning rates, or frozen stages, away from its head."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import nn

from leigh_mlops.errors import LeighError
from leigh_mlops.models import Network

__all__ = ["first_stages", "freeze_stages", "stage_groups"]


def stage_groups(model: Network, learning_rate: float, layer_decay: float = 1.0) -> list[dict[str, Any]]:
    """Parameter groups for an optimizer, one for each stage from the image to the head.

    Their number does not depend on the decay, so that an optimizer's state fits after a change of it.

    Args:
        model: The network.
        learning_rate: Learning rate of the head.
        layer_decay: Factor on the learning rate with each stage away from the head, above 0, at most 1.

    Returns:
        Groups with ``params``, and ``lr`` and ``initial_lr``, from which a schedule starts.
    """
    groups = []
    for away, stage in enumerate(reversed(model.stages())):
        rate = learning_rate * layer_decay**away
        parameters = [parameter for module in stage for parameter in module.parameters()]
        groups.append({"params": parameters, "lr": rate, "initial_lr": rate})
    return groups[::-1]


def first_stages(model: Network, count: int) -> list[list[nn.Module]]:
    """Return the first stages of a network, which are fewer than all.

    Raises:
        LeighError: The network has no more stages than these.
    """
    stages = model.stages()
    if count >= len(stages):
        raise LeighError(
            f"frozen_stages is {count}, but this {model.spec.family} has {len(stages)} stages, the head included; "
            f"give at most {len(stages) - 1}."
        )
    return stages[:count]


@contextmanager
def freeze_stages(stages: Sequence[Sequence[nn.Module]]) -> Iterator[None]:
    """Freeze stages within the context: no gradients, and running statistics stay as they are."""
    modules = [module for stage in stages for module in stage]
    parameters = [each for module in modules for each in module.parameters() if each.requires_grad]
    modes = [module.training for module in modules]
    try:
        for parameter in parameters:
            parameter.requires_grad_(False)
        for module in modules:
            module.eval()
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)
        for module, mode in zip(modules, modes, strict=True):
            module.train(mode)
