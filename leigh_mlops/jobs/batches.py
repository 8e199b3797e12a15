"""How many fields a worker takes at once."""

import psutil
import torch

from leigh_mlops.models import Network
from leigh_mlops.training import image_bytes

__all__ = ["batch_size_for"]

_MOST, _MOST_ON_GPU = 8, 32
_SHARE = 0.5
"""Of the free memory; the rest is for Ray, files, and what explanations keep beside a pass."""


def batch_size_for(model: Network, workers: int, gpus: float = 0.0) -> int:
    """Fields at once that fit into memory, by what one of them takes in a pass and back.

    Args:
        model: What explains them.
        workers: How many share this machine's memory.
        gpus: What each worker has of a GPU; 0 where it has none.

    Returns:
        1 to 8, on a GPU to 32.
    """
    if gpus and torch.cuda.is_available():
        free, most = gpus * torch.cuda.get_device_properties(0).total_memory, _MOST_ON_GPU
    else:
        free, most = psutil.virtual_memory().available / workers, _MOST
    return max(1, min(most, int(_SHARE * free / image_bytes(model))))
