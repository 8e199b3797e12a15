"""Reusable memory for pixels, as allocating it takes longer than reading a file."""

import math
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

__all__ = ["Allocator", "Scratch"]


class Allocator(Protocol):
    """Function that allocates an uninitialised array, such as ``numpy.empty``."""

    def __call__(self, shape: tuple[int, ...], dtype: Any, /) -> npt.NDArray[Any]:  # noqa: ANN401
        """Return an array of a shape and type."""


class Scratch:
    """Arrays for one field after another in one thread; those of a field are overwritten by the next."""

    def __init__(self) -> None:
        self._blocks: list[npt.NDArray[np.uint8]] = []
        self._used = 0

    def reset(self) -> None:
        """Allow all arrays returned so far to be overwritten."""
        self._used = 0

    def allocate(self, shape: tuple[int, ...], dtype: Any, /) -> npt.NDArray[Any]:  # noqa: ANN401
        """Return an uninitialised array."""
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if self._used == len(self._blocks):
            self._blocks.append(np.empty(size, np.uint8))
        elif self._blocks[self._used].size != size:
            self._blocks[self._used] = np.empty(size, np.uint8)
        self._used += 1
        given: npt.NDArray[Any] = self._blocks[self._used - 1].view(dtype).reshape(shape)
        return given
