"""The training loop: a generator that yields one result per epoch."""

import math
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from leigh_mlops.errors import LeighError
from leigh_mlops.images import Division, FieldBatches
from leigh_mlops.training.epoch import DivergenceError, LossOptions, run_epoch
from leigh_mlops.training.objective import Outputs
from leigh_mlops.training.schedule import rate_factor
from leigh_mlops.training.state import TrainingState

__all__ = ["EpochResult", "fit"]

_ALONE = Division()


@dataclass(frozen=True)
class EpochResult:
    """Result of one epoch.

    Attributes:
        number: From 1.
        metrics: ``train/loss`` and the objective's other measures,
            ``train/learning_rate`` (of the head), ``train/seconds`` and the scores of the
            validation part; means where several networks are trained in step.
        outputs: The validation fields' outputs, of the state's own network.
        state: State to be saved; it changes when the next epoch is requested.
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
    lr_schedule: str = "step",
    lr_step_epochs: int | None = None,
    lr_step_factor: float = 0.1,
    warmup_epochs: int = 0,
    class_weights: str = "none",
    freeze_epochs: int = 0,
    frozen_stages: int = 0,
    patience: int | None = None,
    precision: str = "fp32",
    beta: float = 1.0,
    others: Sequence[tuple[FieldBatches, FieldBatches]] = (),
    division: Division = _ALONE,
) -> Iterator[EpochResult]:
    """Train, and yield one result per epoch; the training ends when the caller stops iterating.

    Args:
        state: Fresh, or read from a checkpoint, after which the training continues.
        train: Training batches, labels within the model's classes.
        val: Validation batches; the best epoch is chosen on them.
        wells: Well of every row of the table, for scores per well.
        epochs: Epochs in all, those already done included.
        metric: Name of the score that is best where it is lowest (``mode``
            ``min``) or highest (``max``), for example ``val/log_loss``.
        mode: ``min`` or ``max``.
        lr_schedule: ``step``, ``cosine`` or ``constant``, see :func:`rate_factor`.
        lr_step_epochs: Epochs between two steps of the learning rate; ``None`` for none.
        lr_step_factor: Factor of each step.
        warmup_epochs: Epochs in which the learning rate rises first.
        class_weights: ``none``, or ``balanced``: in the training loss each class weighs the same,
            however many of the training fields it has.
        freeze_epochs: Epochs in which the head alone learns; -1 for all.
        frozen_stages: First stages that never learn; their weights and running statistics stay.
        patience: Epochs without improvement after which the training ends; ``None`` for no early stopping.
        precision: ``fp32``, or ``bf16`` for forward pass and loss in training;
            validation is always without autocast.
        beta: Weight of the second term of the loss, where the objective has one.
        others: Training and validation batches of each of ``state.others``.
        division: Place of this process among those that divide each batch, which are in PyTorch's process group,
            begin with the same state and call the function with the same arguments; by default it is alone.

    Raises:
        DivergenceError: The loss or the metric is not finite.
        LeighError: The network's scores have no such metric.
    """
    loss_options = LossOptions(class_weights, freeze_epochs, precision, beta, frozen_stages)
    each = list(zip((state, *state.others), ((train, val), *others), strict=True))
    sign = 1.0 if mode == "min" else -1.0
    while not state.is_finished(epochs, patience):
        started = time.perf_counter()
        factor = rate_factor(
            state.epoch,
            kind=lr_schedule,
            epochs=epochs,
            step_epochs=lr_step_epochs,
            step_factor=lr_step_factor,
            warmup_epochs=warmup_epochs,
        )
        done = []
        for one, parts in each:
            _set_rates(one, factor)
            done.append(run_epoch(one, *parts, wells, loss_options, division))
        metrics = _average_folds([metrics for metrics, _ in done], metric)
        metrics["train/seconds"] = time.perf_counter() - started
        if metric not in metrics:
            raise LeighError(
                f"{metric!r} is not a score of {state.model.spec.family}; choose one of {', '.join(metrics)}."
            )
        if not math.isfinite(metrics[metric]):
            raise DivergenceError(f"{metric} of epoch {state.epoch} is {metrics[metric]}; lower the learning rate.")
        state.keep_best(sign * metrics[metric])
        yield EpochResult(state.epoch, metrics, done[0][1], state)


def _set_rates(state: TrainingState, factor: float) -> None:
    for group in state.optimizer.param_groups:
        group["lr"] = group["initial_lr"] * factor


def _average_folds(folds: list[dict[str, float]], metric: str) -> dict[str, float]:
    """Means of the metrics that all folds have, and the standard deviation of the metric between them."""
    if len(folds) == 1:
        return dict(folds[0])
    shared = [name for name in folds[0] if all(name in fold for fold in folds)]
    means = {name: statistics.fmean(fold[name] for fold in folds) for name in shared}
    if metric in means:
        name = f"val/folds/{metric.removeprefix('val/')}_std"
        means[name] = statistics.stdev(fold[metric] for fold in folds)
    return means
