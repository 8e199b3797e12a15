"""Evaluation mode in full precision, restored afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from leigh_mlops.models.precision import full_float32

__all__ = ["evaluating"]


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Switch to evaluation mode, no gradients, and full float32 without autocast or TF32.

    An inverse iterates a residual to far below what half precision or TF32 can
    hold, and the differences that occlusion takes are as small. The mode of every
    submodule and both TF32 settings are restored, also after an error.

    Args:
        model: The network that is used inside the block.
    """
    modes = {module: module.training for module in model.modules()}
    if any(modes.values()):
        model.eval()
    try:
        with torch.no_grad(), full_float32():
            yield
    finally:
        if any(modes.values()):
            model.train(modes[model])
        for module, mode in modes.items():
            module.training = mode
