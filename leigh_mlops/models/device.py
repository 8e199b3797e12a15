"""The device that networks run on."""

import re
from collections.abc import Iterable

import torch

from leigh_mlops.errors import LeighError

__all__ = ["default_device", "is_supported"]


def default_device() -> torch.device:
    """Return the first GPU, or the CPU where there is none.

    Raises:
        LeighError: This build of PyTorch has no code for the GPU.
    """
    if not torch.cuda.is_available():
        return torch.device("cpu")
    capability, built_for = torch.cuda.get_device_capability(), torch.cuda.get_arch_list()
    if torch.version.hip is None and not is_supported(capability, built_for):
        raise LeighError(
            f"PyTorch {torch.__version__} has code for {', '.join(built_for)}, but none for the "
            f"{torch.cuda.get_device_name()} of this machine (sm_{capability[0]}{capability[1]}); install a build of "
            "PyTorch for it, or set CUDA_VISIBLE_DEVICES= to use the CPU."
        )
    return torch.device("cuda")


def is_supported(capability: tuple[int, int], architectures: Iterable[str]) -> bool:
    """Return whether code for some of the architectures runs on a GPU of a compute capability.

    Machine code (``sm_86``) runs on GPUs of the same generation that are not older, intermediate code
    (``compute_86``) on all that are not older, and code with a letter (``sm_90a``) on its own kind alone.

    Example:
        >>> is_supported((8, 9), ["sm_86"]), is_supported((9, 0), ["sm_86"]), is_supported((9, 0), ["compute_86"])
        (True, False, True)
    """
    return any(_matches(capability, architecture) for architecture in architectures)


def _matches(capability: tuple[int, int], architecture: str) -> bool:
    found = re.fullmatch(r"(sm|compute)_(\d+)(\d)([af]?)", architecture)
    if found is None:
        return False
    built_for = int(found[2]), int(found[3])
    if found[4] == "a":
        return capability == built_for
    return capability >= built_for and ((found[1] == "compute" and not found[4]) or capability[0] == built_for[0])
