"""Mean latents of classes, accumulated over batches."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

import numpy as np
import torch
from torch import Tensor, nn

from leigh_mlops.errors import LeighError
from leigh_mlops.explanations.capabilities import class_names, require_capabilities
from leigh_mlops.explanations.eval_mode import evaluating
from leigh_mlops.explanations.latent_map import PooledLatents
from leigh_mlops.models import has_capability

__all__ = ["Means", "RunningClassMeans", "class_means", "classes_with_means", "require_means"]

Means = Mapping[str, Tensor]
"""``true`` and ``predicted`` of shape (K, ...); the number of latents of each mean, ``true_counts`` and
``predicted_counts``, and their root mean square distance from it, in the unit of the latents,
``true_spread`` and ``predicted_spread``, of shape (K,); and ``true_probability``, the median probability that
the latents of each class have of it, of shape (K,)."""


class RunningClassMeans:
    """Running means of latents by group and the spread around them, in the memory of K latents.

    Sums are float64 and taken latent by latent, so that the result does not depend
    on how the samples were cut into batches, and no batch is copied.

    Args:
        classes: Number of groups K.

    Attributes:
        counts: Samples seen of each group, shape (K,); a mean of none is zeros.

    Example:
        >>> running = RunningClassMeans(classes=2)
        >>> running.update(torch.tensor([[1.0], [3.0]]), torch.tensor([0, 0]))
        >>> running.means().tolist(), running.counts.tolist(), running.spread().tolist()
        ([[2.0], [0.0]], [2, 0], [1.0, 0.0])
    """

    def __init__(self, classes: int) -> None:
        self.counts = torch.zeros(classes, dtype=torch.int64)
        self._sums: Tensor | None = None
        self._squares = torch.zeros(classes, dtype=torch.float64)
        self._dtype = torch.float64

    def update(self, latents: Tensor, groups: Tensor) -> None:
        """Add a batch.

        Args:
            latents: Shape (N, ...), the same trailing shape in every batch.
            groups: Group of each, shape (N,), integers from 0 to K - 1.

        Raises:
            ValueError: A group is out of range, or a latent is not finite.
        """
        groups = groups.to(latents.device)
        k = len(self.counts)
        if groups.shape != latents.shape[:1] or ((groups < 0) | (groups >= k)).any():
            raise ValueError(f"groups must be {len(latents)} integers from 0 to {k - 1}, not {groups.tolist()}")
        if len(latents) and not bool(torch.stack([latent.isfinite().all() for latent in latents]).all()):
            raise ValueError("some latents are NaN or infinite and would spoil the means; train a model that converges")
        if self._sums is None:
            self._sums = torch.zeros(k, *latents.shape[1:], dtype=torch.float64, device=latents.device)
            self._dtype, self._squares = latents.dtype, self._squares.to(latents.device)
        for latent, group in zip(latents, groups.tolist(), strict=True):
            self._add(self._sums[group], latent, group)

    def _add(self, total: Tensor, latent: Tensor, group: int) -> None:
        """Apply Welford's update; the mean of squares less the squared mean would lose small differences."""
        seen = int(self.counts[group])
        if seen:
            squared = (latent - total / seen).square_().sum()
            self._squares[group] += squared * seen / (seen + 1)
        total += latent
        self.counts[group] += 1

    def means(self) -> Tensor:
        """Means of shape (K, ...), in the type of the latents; zeros for a group of none.

        Raises:
            ValueError: No batch was added.
        """
        if self._sums is None:
            raise ValueError("there is no mean of no batch; add one with update() first")
        counts = self.counts.clamp(min=1).to(self._sums)
        return (self._sums / counts.view(-1, *[1] * (self._sums.dim() - 1))).to(self._dtype)

    def spread(self) -> Tensor:
        """Root mean square distance of each group's latents to their mean, float64, shape (K,); 0 for none."""
        return (self._squares.cpu() / self.counts.clamp(min=1)).sqrt()


def class_means(
    model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], pooled: PooledLatents | None = None
) -> dict[str, Tensor]:
    """Mean latents of the training images by true and by predicted class.

    Args:
        model: A model that can encode.
        batches: Scaled images (N, C, H, W) with their classes (N,), on any device; -1 for none.
        pooled: Accumulator that gets each latent as well, so that one pass serves a latent map, too.

    Returns:
        ``true`` of shape (K, ...), ``true_counts`` and ``true_spread`` of shape (K,);
        for a model that can classify also ``predicted``, ``predicted_counts``,
        ``predicted_spread`` and ``true_probability``. A class without a sample has a count of 0, a mean of
        zeros and a probability of 0. All on the CPU, as they are stored beside the model.

    Raises:
        LeighError: The model cannot encode.
        ValueError: There are no batches, a class is out of range, or the latent of a field with one is not finite.
    """
    network = require_capabilities(model, ("encode",), "class means")
    kinds = ("true", "predicted") if has_capability(model, "classify") else ("true",)
    running = {kind: RunningClassMeans(len(class_names(model))) for kind in kinds}
    probabilities: list[list[float]] = [[] for _ in class_names(model)]
    with evaluating(model):
        for images, labels in batches:
            latents = network.encode(images.to(_device(model, images), non_blocking=True))
            if pooled is not None:
                pooled.update(latents)
            known = labels >= 0
            running["true"].update(latents[known.to(latents.device)], labels[known])
            if "predicted" in running:
                logits = network.classify(latents)
                running["predicted"].update(latents, logits.argmax(dim=1))
                for row, label in zip(logits.double().softmax(dim=1).tolist(), labels.tolist(), strict=True):
                    if label >= 0:
                        probabilities[label].append(row[label])
    means = {kind: each.means().cpu() for kind, each in running.items()}
    means |= {f"{kind}_counts": each.counts for kind, each in running.items()}
    if "predicted" in running:
        medians = [float(np.median(each)) if each else 0.0 for each in probabilities]
        means["true_probability"] = torch.tensor(medians, dtype=torch.float64)
    return means | {f"{kind}_spread": each.spread() for kind, each in running.items()}


def require_means(means: Means | None, kinds: Sequence[str], groups: Iterable[int], classes: Sequence[str]) -> Means:
    """Check that the means exist for the requested kinds and classes.

    Args:
        means: From `class_means`; without counts every class counts as seen.
        kinds: Some of ``true`` and ``predicted``.
        groups: Required classes, by index.
        classes: The K names.

    Returns:
        The same means.

    Raises:
        LeighError: There are none, or a class had no sample.
    """
    if means is None or any(kind not in means for kind in kinds):
        raise LeighError(
            f"The model has no class means by {' and '.join(kinds)} class;"
            " train it again on images with classes, which stores them with it."
        )
    for kind in kinds:
        counts = means.get(f"{kind}_counts")
        for group in groups:
            if counts is not None and counts[group] == 0:
                verb = "is" if kind == "true" else "was predicted as"
                raise LeighError(
                    f"No training image {verb} {classes[group]}, so that class has no mean latent;"
                    " choose another target or train on more images of it."
                )
    return means


def classes_with_means(means: Means, kinds: Sequence[str]) -> Tensor:
    """Return whether each of K classes has a mean of every one of ``kinds``, bool, shape (K,).

    Args:
        means: From `class_means`; without counts every class counts as seen.
        kinds: Some of ``true`` and ``predicted``, at least one, each of which exists.
    """
    seen = [means.get(f"{kind}_counts", torch.ones(len(means[kind]))) > 0 for kind in kinds]
    return torch.stack(seen).all(dim=0)


def _device(model: nn.Module, images: Tensor) -> torch.device:
    return next(chain(model.parameters(), model.buffers()), images).device
