"""Tensors and JSON on disk: written atomically, read without executing code."""

import json
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file as load_numpy
from safetensors.numpy import save_file as save_numpy
from safetensors.torch import load_file, save_file
from torch import Tensor

from leigh_mlops.errors import LeighError

__all__ = [
    "read_arrays",
    "read_json",
    "read_shapes",
    "read_tensors",
    "size_mib",
    "write_arrays",
    "write_json",
    "write_tensors",
]

# Far above the size of any model of ours, where the size of the model is not known.
_LARGEST_JSON_MIB, _LARGEST_TENSORS_MIB = 64, 16 * 1024
_HEADER_BYTES = 1024  # of a tensor, more than any name and shape take
T = TypeVar("T")
Arrays = dict[str, npt.NDArray[Any]]


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write JSON under a temporary name, then rename."""
    text = json.dumps(values, indent=2)
    _write(path, lambda part: part.write_text(text, encoding="utf-8"))


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors of any device and layout; those that share memory are written separately."""
    plain = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()
    }
    _write(path, lambda part: save_file(plain, part))


def write_arrays(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write numeric arrays."""
    plain = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    _write(path, lambda part: save_numpy(plain, part))


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        LeighError: The file is missing, larger than any model's or no JSON object.
    """

    def load() -> Any:  # noqa: ANN401
        return json.loads(path.read_text(encoding="utf-8"))

    values = _read(path, load, _LARGEST_JSON_MIB)
    if not isinstance(values, dict):
        raise LeighError(f"{path} is not a description of a model; save the model again.")
    return values


def size_mib(tensors: Mapping[str, Tensor]) -> int:
    """Return the size in MiB of a file of tensors, rounded up, with its header."""
    return 1 + sum(tensor.numel() * tensor.element_size() + _HEADER_BYTES for tensor in tensors.values()) // 2**20


def read_shapes(path: Path, most_mib: int = _LARGEST_TENSORS_MIB) -> dict[str, tuple[int, ...]]:
    """Names and shapes from the header of a safetensors file, without reading a tensor.

    Args:
        path: The file.
        most_mib: Largest size of the file that is read, in MiB.

    Raises:
        LeighError: The file is missing, truncated, larger than any model's or of another kind.
    """

    def load() -> dict[str, tuple[int, ...]]:
        with safe_open(path, framework="pt") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118

    return _read(path, load, most_mib)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file, on the CPU.

    Raises:
        LeighError: The file is missing, truncated, larger than any model's or of another kind.
    """
    return _read(path, lambda: dict(load_file(path)))


def read_arrays(path: Path, most_mib: int = _LARGEST_TENSORS_MIB) -> Arrays:
    """All arrays of a safetensors file.

    Args:
        path: The file.
        most_mib: Largest size of the file that is read, in MiB.

    Raises:
        LeighError: The file is missing, truncated, larger than any model's or of another kind.
    """
    return _read(path, lambda: dict(load_numpy(path)), most_mib)


def _write(path: Path, write: Callable[[Path], object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    write(part)
    os.replace(part, path)


def _read(path: Path, load: Callable[[], T], most_mib: int = _LARGEST_TENSORS_MIB) -> T:
    try:
        _check_file(path, min(most_mib, _LARGEST_TENSORS_MIB))
        return load()
    except LeighError:
        raise
    except (OSError, SafetensorError, ValueError, TypeError, RecursionError) as error:
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else _error_line(error)
        raise LeighError(f"{path} can't be read ({reason}); save the model again or check the path.") from None


def _check_file(path: Path, most_mib: int) -> None:
    """Refuse a pipe or device, of which reading may never end, and a file of a size that would fill the memory."""
    state = path.stat()
    if not stat.S_ISREG(state.st_mode):
        raise OSError("it is no regular file")
    size = state.st_size // 2**20
    if size > most_mib:
        raise LeighError(
            f"{path} has {size} MiB, more than its model requires ({most_mib} MiB); use a package that the tune or "
            "train command made."
        )


def _error_line(error: Exception) -> str:
    """Message of an error in one short line, as it may quote the content of a file."""
    return " ".join(str(error).split())[:200]
