"""What a network is trained for: its loss, and the scores of what it puts out."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from leigh_mlops.images import Batch
from leigh_mlops.models import InverseError, Network, can
from leigh_mlops.scores import all_scores

__all__ = [
    "OBJECTIVES",
    "Judged",
    "Objective",
    "Outputs",
    "density_losses",
    "inverse_error",
    "objective_of",
    "predict",
]


@dataclass(frozen=True)
class Judged:
    """What an objective says of a batch of n fields.

    Attributes:
        losses: One loss per field, shape (n,).
        values: What is kept of each field, shape (n, V).
        further: Name to further measures of each field, shape (n,).
    """

    losses: Tensor
    values: Tensor
    further: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Outputs:
    """What a network says of some fields.

    Attributes:
        rows: Row numbers, shape (n,).
        labels: Class indices, shape (n,).
        values: Log-probabilities (n, K) of a classifier, or the mean squared
            error per image (n, 1) in network units.
        loss: Mean of the training loss over the fields.
        further: Name to mean over the fields of what else the objective measures.
    """

    rows: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    loss: float
    further: dict[str, float] = field(default_factory=dict)


class Objective(Protocol):
    """A task's loss and scores."""

    def judge(self, model: Network, batch: Batch, beta: float) -> Judged:
        """Run the network on a batch; ``beta`` is the weight of the cross-entropy where there is another term."""

    def scores(self, outputs: Outputs, wells: Sequence[str], classes: Sequence[str]) -> dict[str, float]:
        """Shared metric names without their part."""


class Classify:
    """Cross-entropy."""

    def judge(self, model: Network, batch: Batch, beta: float) -> Judged:
        """Cross-entropy in nats, and log-probabilities (n, K)."""
        logits = model(batch.images).float()
        return Judged(F.cross_entropy(logits, batch.labels, reduction="none"), logits.log_softmax(1))

    def scores(self, outputs: Outputs, wells: Sequence[str], classes: Sequence[str]) -> dict[str, float]:
        """Classification scores per field and per well."""
        own = {"loss": outputs.loss} | outputs.further
        return own | all_scores(wells, outputs.labels, outputs.values, classes)


class Density(Classify):
    """Cross-entropy weighed against the density of the images (Ardizzone et al. 2020; Mackowiak et al. 2021).

    The loss is beta * cross-entropy + nats per dimension.
    """

    def judge(self, model: Network, batch: Batch, beta: float) -> Judged:
        """The weighed loss, log-probabilities (n, K), and ``nats_per_dim``."""
        logits, nats_per_dim = density_losses(model, batch.images, batch.labels)
        cross_entropy = F.cross_entropy(logits, batch.labels, reduction="none")
        losses = beta * cross_entropy + nats_per_dim
        return Judged(losses, logits.log_softmax(1), {"nats_per_dim": nats_per_dim})


class Reconstruct:
    """Mean squared error in network units."""

    def judge(self, model: Network, batch: Batch, beta: float) -> Judged:
        """Mean squared error, twice: as the loss, and as one column."""
        errors = (model(batch.images) - batch.images).square().flatten(1).mean(1)
        return Judged(errors, errors[:, None])

    def scores(self, outputs: Outputs, wells: Sequence[str], classes: Sequence[str]) -> dict[str, float]:
        """Mean squared error over all fields."""
        return {"loss": outputs.loss, "mse": float(outputs.values.mean())}


OBJECTIVES: dict[str, Objective] = {"classify": Classify(), "reconstruct": Reconstruct(), "density": Density()}


def objective_of(model: Network) -> Objective:
    """The objective of a network: that of its task, or ``density`` where it has a prior and a log-determinant."""
    architecture = model.spec.architecture
    has_density = architecture.get("head") == "gaussian" and architecture.get("log_det", "none") != "none"
    return OBJECTIVES["density" if has_density else model.task]


def density_losses(model: Any, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ANN401
    """Logits, and how unlikely images are under the model, given their classes.

    Args:
        model: An invertible network with ``encode_with_log_det`` and a
            :class:`~leigh_mlops.models.prior.ClassGaussian` for a head.
        images: Scaled, shape (N, C, S, S).
        labels: Class indices, shape (N,).

    Returns:
        Logits (N, K), and -log p(image | class) / (C S S), shape (N,), in nats per
        dimension: -log p(latent | class) - log det, by the change of variables.
        The density is that of images in network units.
    """
    latents, log_det = model.encode_with_log_det(images)
    log_prob = model.head.log_prob(latents).gather(1, labels[:, None])[:, 0]
    return model.head.logits(latents), -(log_prob + log_det) / latents[0].numel()


@torch.no_grad()
def predict(model: Network, batches: Iterable[Batch], beta: float = 1.0) -> Outputs:
    """Run a network in eval mode over some batches; its mode is restored.

    What is estimated with noise (a log-determinant) has the same noise in each
    call, and the caller's random state stays as it is.

    Args:
        model: The network.
        batches: Fields with labels.
        beta: Weight of the cross-entropy in the loss of a density.
    """
    objective, device = objective_of(model), next(model.parameters()).device
    was_training = model.training
    model.eval()
    rows, labels, values = [], [], []
    sums: defaultdict[str, float] = defaultdict(float)
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(0)
            for batch in batches:
                judged = objective.judge(model, batch_on(batch, device), beta)
                rows.append(batch.rows)
                labels.append(batch.labels.numpy())
                values.append(judged.values.double().cpu().numpy())
                for name, measured in measures(judged).items():
                    sums[name] += float(measured.sum())
    finally:
        model.train(was_training)
    seen = np.concatenate(rows)
    means = {name: total / len(seen) for name, total in sums.items()}
    return Outputs(seen, np.concatenate(labels), np.concatenate(values), means.pop("loss"), means)


@torch.no_grad()
def inverse_error(model: Any, images: Tensor) -> float | None:  # noqa: ANN401
    """Largest absolute difference of f^-1(f(x)) to x, in network units, in eval mode; the mode is restored.

    Args:
        model: The network.
        images: Scaled, shape (N, C, S, S).

    Returns:
        The error, infinite where the inverse does not converge; ``None`` for a network that has none.
    """
    if not (can(model, "decode") and can(model, "classify")):
        return None
    images, was_training = images.to(next(model.parameters()).device), model.training
    model.eval()
    try:
        return float((model.decode(model.encode(images)) - images).abs().max())
    except InverseError:
        return math.inf
    finally:
        model.train(was_training)


def batch_on(batch: Batch, device: torch.device) -> Batch:
    """The same batch on a device."""
    return Batch(batch.images.to(device), batch.labels.to(device), batch.rows)


def measures(judged: Judged) -> dict[str, Tensor]:
    """``loss`` and the further measures, each of shape (n,)."""
    return {"loss": judged.losses} | judged.further
