"""Training objectives: the loss of a network, and the scores of its outputs."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from leigh_mlops.images import Batch
from leigh_mlops.models import InverseError, Network, has_capability
from leigh_mlops.models.autoencoder import Autoencoder
from leigh_mlops.models.plate_statistics import control_statistics
from leigh_mlops.models.precision import full_float32
from leigh_mlops.scores import all_scores
from leigh_mlops.training.adaptation import adapted_batches
from leigh_mlops.training.cluster_scores import agreement_scores, retrieval_scores

__all__ = [
    "OBJECTIVES",
    "BatchLosses",
    "Objective",
    "Outputs",
    "density_losses",
    "inverse_error",
    "select_objective",
    "predict",
]


@dataclass(frozen=True)
class BatchLosses:
    """Losses and outputs of a batch of n fields.

    Attributes:
        losses: One loss per field, shape (n,).
        values: Outputs that are kept of each field, shape (n, V).
        extra_measures: Further measures of each field by name, shape (n,).
        features: Features (n, F) that scores are computed from, if any are.
    """

    losses: Tensor
    values: Tensor
    extra_measures: dict[str, Tensor] = field(default_factory=dict)
    features: Tensor | None = None


@dataclass(frozen=True)
class Outputs:
    """Outputs of a network for some fields.

    Attributes:
        rows: Row numbers, shape (n,).
        labels: Class indices, shape (n,).
        values: Log-probabilities (n, K) of a classifier, or the mean squared
            error per image (n, 1) in network units.
        loss: Mean of the training loss over the fields.
        extra_measures: Means over the fields of the objective's other measures by name.
        features: Features (n, F) of a network that clusters; ``None`` for others.
    """

    rows: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    loss: float
    extra_measures: dict[str, float] = field(default_factory=dict)
    features: npt.NDArray[np.float64] | None = None


class Objective(Protocol):
    """Loss and scores of a task.

    Attributes:
        draws_noise: Whether outputs depend on noise, even in eval mode.
    """

    draws_noise: bool

    def compute_losses(self, model: Network, batch: Batch, beta: float) -> BatchLosses:
        """Run the network on a batch.

        Args:
            model: The network.
            batch: Fields on its device.
            beta: Weight of the second term of the loss, where there is one: the cross-entropy of a density, or the
                KL divergence of a variational network.
        """

    def scores(self, outputs: Outputs, wells: Sequence[str], classes: Sequence[str]) -> dict[str, float]:
        """Scores by shared metric names without their part."""


class ClassificationObjective:
    """Cross-entropy."""

    draws_noise = False

    def compute_losses(self, model: Network, batch: Batch, beta: float) -> BatchLosses:
        """Cross-entropy in nats, log-probabilities (n, K), and ``accuracy``."""
        logits = _predict_batch(model, batch).float()
        losses = F.cross_entropy(logits, batch.labels, reduction="none")
        return BatchLosses(losses, logits.log_softmax(1), {"accuracy": _hits(logits, batch.labels)})

    def scores(self, outputs: Outputs, wells: Sequence[str], classes: Sequence[str]) -> dict[str, float]:
        """Classification scores per field and per well."""
        own = {"loss": outputs.loss} | outputs.extra_measures
        return own | all_scores(wells, outputs.labels, outputs.values, classes)


class DensityObjective(ClassificationObjective):
    """Cross-entropy weighed against the density of the images (Ardizzone et al. 2020; Mackowiak et al. 2021).

    The loss is beta * cross-entropy + nats per dimension.
    """

    draws_noise = True

    def compute_losses(self, model: Network, batch: Batch, beta: float) -> BatchLosses:
        """Weighed loss, log-probabilities (n, K), ``accuracy`` and ``nats_per_dim``."""
        logits, nats_per_dim = density_losses(model, batch.images, batch.labels)
        cross_entropy = F.cross_entropy(logits, batch.labels, reduction="none")
        losses = beta * cross_entropy + nats_per_dim
        measures = {"accuracy": _hits(logits, batch.labels), "nats_per_dim": nats_per_dim}
        return BatchLosses(losses, logits.log_softmax(1), measures)


def _predict_batch(model: Network, batch: Batch) -> Tensor:
    """Logits (n, K) of a batch; those of an episode are normalised by its controls."""
    if batch.controls is None:
        return cast(Tensor, model(batch.images))
    known = len(batch.controls)
    with control_statistics(model, known, is_shared=batch.portion is not None):
        return cast(Tensor, model(torch.cat([batch.controls, batch.images])))[known:]


def _hits(logits: Tensor, labels: Tensor) -> Tensor:
    """1 where the class is predicted, else 0, shape (n,)."""
    return (logits.argmax(1) == labels).float()


class ReconstructionObjective:
    """Mean squared error in network units."""

    draws_noise = False

    def compute_losses(self, model: Network, batch: Batch, beta: float) -> BatchLosses:
        """Mean squared error, both as the loss and as one output column."""
        errors = (model(batch.images) - batch.images).square().flatten(1).mean(1)
        return BatchLosses(errors, errors[:, None])

    def scores(self, outputs: Outputs, wells: Sequence[str], classes: Sequence[str]) -> dict[str, float]:
        """Mean squared error over all fields."""
        return {"loss": outputs.loss, "mse": float(outputs.values.mean())}


class ClusterObjective:
    """Cross-entropy with the clusters of an epoch (Caron et al. 2018); scores need no labels."""

    draws_noise = False

    def compute_losses(self, model: Network, batch: Batch, beta: float) -> BatchLosses:
        """Cross-entropy in nats, in eval mode that with the predicted cluster; log-probabilities (n, k); features."""
        network = cast(Any, model)
        features = network.encode(batch.images)
        logits = network.classify(features).float()
        log_probs = logits.log_softmax(1)
        if not model.training:
            return BatchLosses(-log_probs.amax(1), log_probs, {}, features)
        losses = F.cross_entropy(logits, batch.labels, reduction="none")
        return BatchLosses(losses, log_probs, {"accuracy": _hits(logits, batch.labels)})

    def scores(self, outputs: Outputs, wells: Sequence[str], classes: Sequence[str]) -> dict[str, float]:
        """Retrieval of fields of one well, and agreement of the predicted clusters with all that is known of wells.

        Raises:
            LeighError: No well has two fields.
        """
        if outputs.features is None:
            raise ValueError("outputs of a network that clusters have no features; predict them again")
        clusters = outputs.values.argmax(1)
        own = {"uncertainty": outputs.loss} | retrieval_scores(outputs.features, wells)
        return own | agreement_scores(clusters, outputs.labels, wells)


class VariationalObjective(ReconstructionObjective):
    """Evidence lower bound, ELBO, of a normal decoder of variance 1 in network units (Kingma and Welling 2014, eq. 10).

    All terms are in nats per number of an image. The loss is the negative log-likelihood of the reconstruction plus
    the KL divergence of the latents from their prior times its weight (Higgins et al. 2017); with weight 1 it is the
    negative ELBO. Deviation: one draw of the latents for each field.
    """

    draws_noise = True

    def compute_losses(self, model: Network, batch: Batch, beta: float) -> BatchLosses:
        """Weighed loss, mean squared error (n, 1), ``reconstruction_nats``, ``kl_nats`` and ``elbo``.

        The error in eval mode is that of the latents' means, the same for each call.
        """
        network, images = cast(Autoencoder, model), batch.images
        mean, log_variance = (each.float() for each in network.encode_distribution(images))
        noise = network.draw_noise(mean) * (log_variance / 2).exp()
        drawn = (network.decode(mean + noise) - images).square().flatten(1).mean(1)
        kl = (mean.square() + log_variance.exp() - 1 - log_variance).flatten(1).sum(1) / (2 * images[0].numel())
        likelihood = (drawn + math.log(2 * math.pi)) / 2
        errors = drawn if model.training else (network.decode(mean) - images).square().flatten(1).mean(1)
        parts = {"reconstruction_nats": likelihood, "kl_nats": kl, "elbo": -likelihood - kl}
        return BatchLosses(likelihood + beta * kl, errors[:, None], parts)

    def scores(self, outputs: Outputs, wells: Sequence[str], classes: Sequence[str]) -> dict[str, float]:
        """Mean squared error and the parts of the ELBO over all fields."""
        return super().scores(outputs, wells, classes) | outputs.extra_measures


OBJECTIVES: dict[str, Objective] = {
    "classify": ClassificationObjective(),
    "cluster": ClusterObjective(),
    "reconstruct": ReconstructionObjective(),
    "variational": VariationalObjective(),
    "density": DensityObjective(),
}


def select_objective(model: Network) -> Objective:
    """Select a network's objective: that of its task.

    It is ``density`` where it has a prior and a log-determinant, and ``variational`` where latents are distributions.
    """
    architecture = model.spec.architecture
    if architecture.get("variational"):
        return OBJECTIVES["variational"]
    has_density = architecture.get("head") == "gaussian" and architecture.get("log_det", "none") != "none"
    return OBJECTIVES["density" if has_density else model.task]


def density_losses(model: Any, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ANN401
    """Logits, and negative log-density of images under the model, given their classes.

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
@full_float32()
def predict(model: Network, batches: Iterable[Batch], beta: float = 1.0) -> Outputs:
    """Run a network in eval mode and full float32 over some batches; its mode is restored.

    Batches with controls are predicted plate by plate, each with the statistics of its controls.

    Random estimates (of a log-determinant) use the same noise in each call, and the
    caller's random state stays as it is.

    Args:
        model: The network.
        batches: Fields with labels.
        beta: Weight of the second term of the loss.
    """
    objective, device = select_objective(model), next(model.parameters()).device
    was_training = model.training
    model.eval()
    rows, labels, values, features = [], [], [], []
    names: list[str] = []
    sums: list[Tensor] = []
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(0)
            for batch in adapted_batches(model, batches):
                batch_losses = objective.compute_losses(model, move_batch(batch, device), beta)
                names, summed = sum_measures(batch_losses)
                rows.append(batch.rows)
                labels.append(batch.labels.numpy())
                values.append(batch_losses.values.double())
                sums.append(summed)
                if batch_losses.features is not None:
                    features.append(batch_losses.features.double())
    finally:
        model.train(was_training)
    seen = np.concatenate(rows)
    # The only wait for a GPU.
    totals, outputs = torch.stack(sums).sum(0).cpu().tolist(), torch.cat(values).cpu().numpy()
    means = {name: total / len(seen) for name, total in zip(names, totals, strict=True)}
    found = torch.cat(features).cpu().numpy() if features else None
    return Outputs(seen, np.concatenate(labels), outputs, means.pop("loss"), means, found)


@torch.no_grad()
@full_float32()
def inverse_error(model: Any, images: Tensor) -> float | None:  # noqa: ANN401
    """Largest absolute difference of f^-1(f(x)) to x, in network units, in eval mode; the mode is restored.

    Args:
        model: The network.
        images: Scaled, shape (N, C, S, S).

    Returns:
        The error, infinite where the inverse does not converge; ``None`` for a network that has none.
    """
    if not (has_capability(model, "decode") and has_capability(model, "classify")):
        return None
    images, was_training = images.to(next(model.parameters()).device), model.training
    model.eval()
    try:
        return float((model.decode(model.encode(images)) - images).abs().max())
    except InverseError:
        return math.inf
    finally:
        model.train(was_training)


def move_batch(batch: Batch, device: torch.device) -> Batch:
    """Move a batch to a device, without waiting for it where the batch is pinned."""
    images, labels = (tensor.to(device, non_blocking=True) for tensor in (batch.images, batch.labels))
    controls = None if batch.controls is None else batch.controls.to(device, non_blocking=True)
    return replace(batch, images=images, labels=labels, controls=controls)


def sum_measures(batch_losses: BatchLosses) -> tuple[list[str], Tensor]:
    """Names of the measures of a batch, ``loss`` first, and their sums over its fields, float64, shape (M,)."""
    measures = {"loss": batch_losses.losses} | batch_losses.extra_measures
    return list(measures), torch.stack([measured.detach().double().sum() for measured in measures.values()])
