"""Labels that linear classifiers can learn with the largest margins."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from leigh_mlops.errors import LeighError

__all__ = ["label_by_margins"]

_LARGEST_BATCH = 4096

Labels = npt.NDArray[np.int64]


def label_by_margins(
    spaces: Sequence[npt.ArrayLike],
    k: int,
    *,
    seed: int = 0,
    steps: int = 300,
    inner_steps: int = 10,
    learning_rate: float = 1e-2,
    entropy_weight: float = 10.0,
) -> Labels:
    """Find the labelling of points whose linear classifiers have the largest margins (Gadetsky et al. 2024, TURTLE).

    A task encoder, linear and followed by a softmax in each feature space, proposes labels; linear classifiers learn
    them by gradient descent; the encoder then takes a step that makes their loss smaller, while the entropy of the
    mean label keeps it from naming one label for all. Classifiers go on from step to step, and the encoder's gradient
    is of first order.

    Deviations: features are standardised; the classifiers descend with the largest step that is certain to converge,
    not with Adam; the encoder takes fewer and larger steps.

    Args:
        spaces: Features of the same N points in one or more spaces, each (N, F).
        k: Number of labels, at least 2.
        seed: Seed of the encoder and of the batches.
        steps: Steps of the encoder.
        inner_steps: Steps of the classifiers for each of them.
        learning_rate: Step size of the encoder (Adam).
        entropy_weight: Weight of the entropy of the mean label against the loss.

    Returns:
        Label of each point, from 0, shape (N,); not every label needs to occur.

    Raises:
        LeighError: There are fewer points than labels, or fewer than two labels.
    """
    inputs = [_standardise(space) for space in spaces]
    count = len(inputs[0])
    if not 2 <= k <= count:
        raise LeighError(f"k is {k}, and there are {count} images; choose a k from 2 to {count}.")
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoders = [nn.utils.parametrizations.weight_norm(nn.Linear(each.shape[1], k)) for each in inputs]
    learners = [torch.zeros(each.shape[1], k) for each in inputs]
    rates = [2 * len(each) / float(torch.linalg.matrix_norm(each, 2)) ** 2 for each in inputs]
    optimizer = torch.optim.Adam([weight for encoder in encoders for weight in encoder.parameters()], learning_rate)
    for _ in range(steps):
        chosen = torch.randperm(count, generator=generator)[:_LARGEST_BATCH]
        batch = [each[chosen] for each in inputs]
        soft = _propose(encoders, batch)
        for weights, each, rate in zip(learners, batch, rates, strict=True):
            _descend(weights, each, soft.detach(), rate, inner_steps)
        losses = [F.cross_entropy(each @ weights, soft) for each, weights in zip(batch, learners, strict=True)]
        optimizer.zero_grad()
        (torch.stack(losses).sum() - entropy_weight * _entropy(soft.mean(0))).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    with torch.no_grad():
        labels: Labels = _propose(encoders, inputs).argmax(1).numpy()
    return labels


def _descend(weights: Tensor, inputs: Tensor, soft: Tensor, rate: float, steps: int) -> None:
    """Gradient steps of a linear classifier (F, k) on soft labels (N, k), in place."""
    for _ in range(steps):
        errors = (inputs @ weights).softmax(1) - soft
        weights.addmm_(inputs.T, errors, alpha=-rate / len(inputs))


def _standardise(space: npt.ArrayLike) -> Tensor:
    features = torch.from_numpy(np.asarray(space, np.float32))
    spread = features.std(0, keepdim=True)
    scaled: Tensor = (features - features.mean(0)) / torch.where(spread > 0, spread, 1.0) / features.shape[1] ** 0.5
    return scaled


def _propose(encoders: Sequence[nn.Module], inputs: Sequence[Tensor]) -> Tensor:
    """Soft labels (N, k): the mean over the spaces."""
    return torch.stack([encoder(each).softmax(1) for encoder, each in zip(encoders, inputs, strict=True)]).mean(0)


def _entropy(shares: Tensor) -> Tensor:
    return -(shares * shares.clamp_min(1e-12).log()).sum()
