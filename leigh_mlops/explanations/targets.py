"""Target classes of explanations."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from leigh_mlops.errors import LeighError
from leigh_mlops.explanations.counterfactuals.class_means import Means, classes_with_means

__all__ = ["Target", "choose_target", "choose_reachable_target"]

Target = Tensor | str | int | None
"""One class per image (N,), -1 for one without a request; one for all by name or index; or None for no request."""


def choose_target(target: Target, scores: Tensor, classes: Sequence[str], *, default: Tensor | None = None) -> Tensor:
    """Resolve a target to one class index per image.

    Args:
        target: Requested target.
        scores: Nearness of each image to each class, larger is nearer, such as
            logits, shape (N, K).
        classes: The K names.
        default: Class of images without a request, shape (N,). None means the second best class, which
            for two classes is the other one.

    Returns:
        Class indices as int64, shape (N,), on the device of ``scores``.

    Raises:
        LeighError: A class does not exist, or there is no second one.
    """
    requested = _read_target(target, scores, classes)
    if (requested >= 0).all():
        return requested
    if default is None:
        if len(classes) < 2:
            raise LeighError(f"The model knows only the class {', '.join(classes)}; name a target or add a class.")
        default = scores.topk(2, dim=1).indices[:, 1]
    return torch.where(requested < 0, default, requested)


def _read_target(target: Target, scores: Tensor, classes: Sequence[str]) -> Tensor:
    """Class index of each image, -1 for one without a request."""
    n, k = scores.shape
    if target is None:
        target = torch.full((n,), -1)
    if isinstance(target, str):
        if target not in classes:
            raise LeighError(f"Unknown class {target!r}; the model knows {', '.join(classes)}.")
        target = list(classes).index(target)
    chosen = torch.as_tensor(target, device=scores.device)
    if chosen.is_floating_point() or chosen.shape not in ((), (n,)):
        raise LeighError(
            f"The target has the shape {tuple(chosen.shape)}; give one class index for each of {n} images."
        )
    lowest = -1 if chosen.shape else 0  # of one class for all, -1 is a slip
    if ((chosen < lowest) | (chosen >= k)).any():
        raise LeighError(f"The target {chosen.tolist()} is no class; give indices from 0 to {k - 1}.")
    return chosen.long().expand(n)


def choose_reachable_target(
    target: Target, scores: Tensor, means: Means, kinds: Sequence[str], classes: Sequence[str]
) -> Tensor:
    """Choose targets as `choose_target` does, but without a request none of the classes without means.

    Args:
        target: Requested target.
        scores: Nearness of each image to each class; the nearest is never the default, shape (N, K).
        means: From `class_means`.
        kinds: Kinds of means that a target needs, some of ``true`` and ``predicted``.
        classes: The K names.

    Returns:
        Class indices as int64, shape (N,); that of a class without means where there is no other.

    Raises:
        LeighError: A class does not exist, or there is no second one.
    """
    missing = ~classes_with_means(means, kinds).to(scores.device)
    reachable = scores.masked_fill(missing, -math.inf).scatter(1, scores.argmax(dim=1, keepdim=True), math.inf)
    return choose_target(target, reachable, classes)
