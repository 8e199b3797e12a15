"""Learning rate of each epoch, as a factor on that of the settings."""

import math

__all__ = ["rate_factor"]


def rate_factor(
    epoch: int,
    *,
    kind: str = "step",
    epochs: int,
    step_epochs: int | None = None,
    step_factor: float = 0.1,
    warmup_epochs: int = 0,
) -> float:
    """Factor on the learning rate, from 0 to 1.

    Args:
        epoch: Epochs already done: 0 for the first.
        kind: ``step`` falls by ``step_factor`` every ``step_epochs``; ``cosine`` falls from 1 along half
            a cosine (Loshchilov and Hutter 2017, without restarts), which would reach 0 with the
            epoch after the last; ``constant`` stays at 1.
        epochs: Epochs in all.
        step_epochs: Epochs between two steps, counted from the first epoch; ``None`` for no step.
        step_factor: Factor of each step.
        warmup_epochs: Epochs in which the factor rises linearly before it is 1, multiplied with the
            steps; a cosine begins after them.

    Example:
        >>> [round(rate_factor(epoch, kind="cosine", epochs=5, warmup_epochs=1), 2) for epoch in range(5)]
        [0.5, 1.0, 0.85, 0.5, 0.15]
    """
    warm = min(1.0, (epoch + 1) / (warmup_epochs + 1))
    if kind == "cosine" and epoch >= warmup_epochs:
        return (1 + math.cos(math.pi * (epoch - warmup_epochs) / (epochs - warmup_epochs))) / 2
    if kind == "step" and step_epochs:
        return float(warm * step_factor ** (epoch // step_epochs))
    return warm
