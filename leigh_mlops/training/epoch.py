"""One epoch of training and validation of one network."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from leigh_mlops.errors import LeighError
from leigh_mlops.images import Batch, Division, FieldBatches, derived_seed
from leigh_mlops.models import Learner, Network
from leigh_mlops.models.precision import float32_precision, full_float32
from leigh_mlops.training.cluster_epoch import cluster_fields
from leigh_mlops.training.divided import (
    LossFunction,
    divide_gradients,
    mean_loss,
    predict_divided,
    share_inverse_error,
    sum_over_processes,
)
from leigh_mlops.training.objective import Outputs, inverse_error, move_batch, select_objective, sum_measures
from leigh_mlops.training.state import TrainingState
from leigh_mlops.training.transfer import first_stages, freeze_stages

__all__ = ["DivergenceError", "LossOptions", "balanced_weights", "fit_learner", "run_epoch", "train_batch"]

_INVERSE_ERROR_IMAGES = 4
_ALONE = Division()


class DivergenceError(LeighError):
    """The loss is no longer a number."""


@dataclass(frozen=True)
class LossOptions:
    """Options that stay the same over the epochs of a training.

    Attributes:
        class_weights: ``none``, or ``balanced`` for :func:`balanced_weights` in the training loss.
        freeze_epochs: Epochs in which the head alone learns; -1 for all.
        precision: ``fp32``, ``tf32`` for products that a GPU rounds, or ``bf16`` for forward pass and loss, all in
            training.
        beta: Weight of the second term of the loss, where the objective has one.
        frozen_stages: Number of first stages that never learn.
    """

    class_weights: str = "none"
    freeze_epochs: int = 0
    precision: str = "fp32"
    beta: float = 1.0
    frozen_stages: int = 0

    def find_frozen(self, model: Network, epoch: int) -> list[list[nn.Module]]:
        """Stages of a network that do not learn after so many epochs.

        Raises:
            LeighError: The network has no more stages than ``frozen_stages``.
        """
        first = first_stages(model, self.frozen_stages)
        return model.stages()[:-1] if self.freeze_epochs == -1 or epoch < self.freeze_epochs else first


def balanced_weights(labels: npt.NDArray[np.int64], classes: int) -> npt.NDArray[np.float64]:
    """Weight of each class, shape (K,), inverse to its frequency; the mean over the labels is 1.

    Args:
        labels: Class indices, shape (N,).
        classes: Number K of classes; one that does not occur has weight 0.

    Example:
        >>> balanced_weights(np.array([0, 0, 0, 1]), 3).round(2).tolist()
        [0.67, 2.0, 0.0]
    """
    counts = np.bincount(labels, minlength=classes)
    return np.divide(len(labels) / np.count_nonzero(counts), counts, out=np.zeros(classes), where=counts > 0)


def run_epoch(
    state: TrainingState,
    train: FieldBatches,
    val: FieldBatches,
    wells: Sequence[str],
    loss_options: LossOptions,
    division: Division = _ALONE,
) -> tuple[dict[str, float], Outputs]:
    """Train for one epoch and validate; returns ``train/…`` and ``val/…``, and the outputs of the validation fields.

    Processes that divide the batches return the same.

    Raises:
        DivergenceError: The loss is not finite.
    """
    means = _learn(state, train, loss_options, division)
    state.epoch += 1
    outputs = predict_divided(state.model, val, loss_options.beta, division)
    named = [wells[row] for row in outputs.rows]
    scores = select_objective(state.model).scores(outputs, named, state.model.spec.classes)
    error = inverse_error(state.model, next(iter(val)).images[:_INVERSE_ERROR_IMAGES])
    if error is not None:
        scores["inverse_error"] = share_inverse_error(error, division)
    rate = state.optimizer.param_groups[-1]["lr"]
    metrics = {f"train/{name}": value for name, value in means.items()} | {"train/learning_rate": rate}
    return metrics | {f"val/{name}": value for name, value in scores.items()}, outputs


def _train(
    state: TrainingState, batches: FieldBatches, loss_options: LossOptions, division: Division
) -> dict[str, float]:
    """Train for one epoch; returns means of the loss and of the objective's other measures over the fields.

    Raises:
        DivergenceError: The loss of a batch was not finite.
    """
    device = next(state.model.parameters()).device
    weights = None
    if loss_options.class_weights == "balanced":
        if (batches.labels < 0).any():
            raise LeighError(
                "class_weights balanced needs the class of each field, and some have none; set it to none."
            )
        balanced = balanced_weights(batches.labels, len(state.model.spec.classes))
        weights = torch.from_numpy(balanced).to(device, torch.float32)
    state.model.train()
    names: list[str] = []
    sums: list[Tensor] = []
    count = 0
    still = freeze_stages(loss_options.find_frozen(state.model, state.epoch))
    float32 = float32_precision("ieee" if loss_options.precision == "fp32" else "tf32")
    with still, float32, torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        compute = divide_gradients(state.model) if division.ranks > 1 else None
        torch.manual_seed(derived_seed(state.seed, state.epoch))
        for batch in batches.epoch(state.epoch, division):
            names, summed = train_batch(state, move_batch(batch, device), loss_options, weights, compute)
            # Processes that hold the same whole batch count it once together.
            sums.append(summed if batch.portion else summed / division.ranks)
            count += batch.portion.labelled if batch.portion else len(batch.rows)
    # The only wait for a GPU in an epoch.
    totals = sum_over_processes(torch.stack(sums).sum(0), division) / count
    means = dict(zip(names, totals.cpu().tolist(), strict=True))
    if not math.isfinite(means["loss"]):
        raise DivergenceError(f"The loss of epoch {state.epoch + 1} is {means['loss']}; lower the learning rate.")
    return means


@torch.no_grad()
@full_float32()
def fit_learner(
    state: TrainingState, batches: FieldBatches, loss_options: LossOptions, learner: Learner
) -> dict[str, float]:
    """Fit a learner to the features of an epoch's batches; returns its mean loss and accuracy on them."""
    model = state.model.eval()
    device = next(model.parameters()).device
    features: list[Tensor] = []
    labels: list[Tensor] = []
    for batch in batches.epoch(state.epoch):
        features.append(model.encode(batch.images.to(device)).cpu())
        labels.append(batch.labels)
    known, named = torch.cat(features), torch.cat(labels)
    balanced = loss_options.class_weights == "balanced"
    seed = derived_seed(state.seed, state.epoch) % 2**32
    learner.fit(known.double().numpy(), named.numpy(), seed=seed, balanced=balanced)
    logits = state.model.get_submodule("head")(known.to(device)).cpu()
    hits = (logits.argmax(1) == named).double()
    return {"loss": float(F.cross_entropy(logits, named)), "accuracy": float(hits.mean())}


def _learn(
    state: TrainingState, train: FieldBatches, loss_options: LossOptions, division: Division
) -> dict[str, float]:
    """Train for one epoch in the way of the network; returns the means of the measures."""
    learner = state.model.learner()
    if learner is not None:
        return fit_learner(state, train, loss_options, learner)
    if state.model.task != "cluster":
        return _train(state, train, loss_options, division)
    clustered = cluster_fields(state, train)
    return _train(state, clustered.batches, loss_options, division) | clustered.measures


def train_batch(
    state: TrainingState,
    batch: Batch,
    loss_options: LossOptions,
    weights: Tensor | None,
    compute: LossFunction | None = None,
) -> tuple[list[str], Tensor]:
    """One step of the optimizer; returns names of measures and their sums over the batch, on its device.

    Args:
        state: Network and optimizer, changed in place.
        batch: Fields with labels, or the portion of them that this process holds.
        loss_options: Precision, and weight of the second term of the loss.
        weights: Weight of each class, shape (K,); ``None`` for none.
        compute: Losses of the network for a batch; by default those of its objective.
    """
    compute = compute or partial(select_objective(state.model).compute_losses, state.model)
    with torch.autocast(batch.images.device.type, torch.bfloat16, enabled=loss_options.precision == "bf16"):
        batch_losses = compute(batch, loss_options.beta)
        if weights is not None:
            batch_losses = replace(batch_losses, losses=batch_losses.losses * weights[batch.labels])
        loss = mean_loss(batch_losses.losses, batch.portion)
    loss.backward()  # type: ignore[no-untyped-call]
    state.optimizer.step()
    # Gradients are freed here, so that they do not take memory beside the next batch's activations.
    state.optimizer.zero_grad(set_to_none=True)
    return sum_measures(batch_losses)
