"""Memory for pixels that is used again, as new memory costs more to get than a file to read."""

import math
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

__all__ = ["Allocate", "Scratch"]


class Allocate(Protocol):
    """What gives an array whose values are not set, as ``numpy.empty`` does."""

    def __call__(self, shape: tuple[int, ...], dtype: Any, /) -> npt.NDArray[Any]:  # noqa: ANN401
        """An array of a shape and type."""


class Scratch:
    """Arrays for one field after the other, by one thread; those of a field are overwritten by the next."""

    def __init__(self) -> None:
        self._blocks: list[npt.NDArray[np.uint8]] = []
        self._used = 0

    def begin(self) -> None:
        """All arrays given so far may be overwritten."""
        self._used = 0

    def empty(self, shape: tuple[int, ...], dtype: Any, /) -> npt.NDArray[Any]:  # noqa: ANN401
        """An array whose values are not set."""
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if self._used == len(self._blocks):
            self._blocks.append(np.empty(size, np.uint8))
        elif self._blocks[self._used].size != size:
            self._blocks[self._used] = np.empty(size, np.uint8)
        self._used += 1
        given: npt.NDArray[Any] = self._blocks[self._used - 1].view(dtype).reshape(shape)
        return given
