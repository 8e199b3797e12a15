"""Batch size of a worker, from the memory that is free."""

import psutil
import torch

from leigh_mlops.models import Network
from leigh_mlops.training import image_bytes

__all__ = ["fit_batch_size"]

_MAX_BATCH, _MAX_GPU_BATCH = 8, 32
_MEMORY_SHARE = 0.5
"""Share of the free memory to use; the rest is for Ray, files and what explanations keep besides a pass."""


def fit_batch_size(model: Network, workers: int, gpus: float = 0.0) -> int:
    """Return the number of fields that fit into memory, from what one takes in a forward and a backward pass.

    Args:
        model: Network to explain.
        workers: Number of workers that share this machine's memory.
        gpus: Share of a GPU that each worker has; 0 without a GPU.

    Returns:
        Batch size, 1 to 8, or 1 to 32 on a GPU.
    """
    if gpus and torch.cuda.is_available():
        free, most = gpus * torch.cuda.get_device_properties(0).total_memory, _MAX_GPU_BATCH
    else:
        free, most = psutil.virtual_memory().available / workers, _MAX_BATCH
    return max(1, min(most, int(_MEMORY_SHARE * free / image_bytes(model))))
