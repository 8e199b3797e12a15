"""Published weights: fetching them, and adapting first kernels of three colours to the channels of a plate."""

import pickle
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from leigh_mlops.errors import LeighError

__all__ = ["adapt_stem", "fetch_torchvision_weights", "socket_timeout"]

_SILENCE_S = 20.0


def fetch_torchvision_weights(weights: Any) -> dict[str, Tensor]:  # noqa: ANN401
    """Return the tensors of an entry of torchvision's registry, from PyTorch's cache or the internet.

    Raises:
        LeighError: They could not be fetched.
    """
    try:
        with socket_timeout():
            state = weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except (OSError, RuntimeError, EOFError, HTTPException, pickle.UnpicklingError) as error:
        checkpoints = Path(torch.hub.get_dir()) / "checkpoints"
        raise LeighError(
            f"The ImageNet weights could not be fetched ({error}); connect to the internet once, or put"
            f" {Path(weights.url).name} into {checkpoints}, or train with --init FILE.safetensors or --init random."
        ) from None
    return cast(dict[str, Tensor], state)


def adapt_stem(kernels: Tensor, channels: int) -> Tensor:
    """Convert first kernels (F, 3, h, w) to (F, channels, h, w), so that the answer to a grey image stays the same.

    Two channels are taken as red and green, and the published work's third channel,
    their combination, as blue: here the mean of the two, which is folded into the
    kernels exactly, without an image of three channels. Any other number of
    channels gets the mean of the kernels over red, green and blue, times 3 / C.
    """
    if channels == 3:
        return kernels
    if channels == 2:
        return kernels[:, :2] + kernels[:, 2:] / 2
    return (kernels.mean(dim=1, keepdim=True) * (3 / channels)).repeat(1, channels, 1, 1)


@contextmanager
def socket_timeout(seconds: float = _SILENCE_S) -> Iterator[None]:
    """End connections within the context that stay silent, for which a download would wait without end."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
