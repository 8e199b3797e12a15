"""The class that an explanation is asked for."""

from collections.abc import Sequence

import torch
from torch import Tensor

from leigh_mlops.errors import LeighError

__all__ = ["Target", "choose_target"]

Target = Tensor | str | int | None
"""One class per image (N,), one for all by name or index, or none given."""


def choose_target(target: Target, scores: Tensor, classes: Sequence[str]) -> Tensor:
    """One class index per image.

    Args:
        target: What the user asked for. None means the second best class, which
            for two classes is the other one.
        scores: How near each image is to each class, larger is nearer, such as
            logits, shape (N, K).
        classes: The K names.

    Returns:
        Class indices as int64, shape (N,), on the device of ``scores``.

    Raises:
        LeighError: A class does not exist, or there is no second one.
    """
    n, k = scores.shape
    if target is None:
        if k < 2:
            raise LeighError(f"The model knows only the class {', '.join(classes)}; name a target or add a class.")
        return scores.topk(2, dim=1).indices[:, 1]
    if isinstance(target, str):
        if target not in classes:
            raise LeighError(f"Unknown class {target!r}; the model knows {', '.join(classes)}.")
        target = list(classes).index(target)
    chosen = torch.as_tensor(target, device=scores.device)
    if chosen.is_floating_point() or chosen.shape not in ((), (n,)):
        raise LeighError(
            f"The target has the shape {tuple(chosen.shape)}; give one class index for each of {n} images."
        )
    if ((chosen < 0) | (chosen >= k)).any():
        raise LeighError(f"The target {chosen.tolist()} is no class; give indices from 0 to {k - 1}.")
    return chosen.long().expand(n)
