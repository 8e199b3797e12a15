"""What of a map a covered window can touch."""

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Sliding", "Span"]


class Sliding(NamedTuple):
    """How the window of an operation slides along one axis.

    Attributes:
        reach: Inputs from the first to the last under the window.
        stride: Its step.
        padding: Inputs added at either end.
    """

    reach: int
    stride: int
    padding: int


class Span(NamedTuple):
    """Where B maps may differ from one clean map along one axis, and the equally long patches that hold it.

    Attributes:
        low: First index touched, int64, on the CPU, shape (B,).
        high: One past the last index touched, shape (B,).
        side: Length of the axis.

    Example:
        >>> span = Span(torch.tensor([0, 6]), torch.tensor([3, 8]), side=8)
        >>> span.size, span.start.tolist()
        (3, [0, 5])
    """

    low: Tensor
    high: Tensor
    side: int

    @property
    def size(self) -> int:
        """Length of every patch: that of the longest stretch touched."""
        return int((self.high - self.low).max())

    @property
    def start(self) -> Tensor:
        """First index of each patch, shape (B,): moved inwards where the patch would leave the map."""
        return self.low.clamp(max=self.side - self.size)

    def through(self, sliding: Sliding) -> "Span":
        """What is touched after an operation with a sliding window.

        A stride that is longer than its window may step over all that was touched; one index
        then counts as touched all the same.

        Example:
            >>> span = Span(torch.tensor([0, 5]), torch.tensor([3, 8]), side=8).through(Sliding(3, 2, 1))
            >>> span.low.tolist(), span.high.tolist(), span.side
            ([0, 2], [2, 4], 4)
        """
        side = (self.side + 2 * sliding.padding - sliding.reach) // sliding.stride + 1
        low = -((sliding.reach - 1 - sliding.padding - self.low) // sliding.stride)
        high = (self.high - 1 + sliding.padding) // sliding.stride + 1
        low = low.clamp(0, side - 1)
        return Span(low, torch.maximum(high.clamp(max=side), low + 1), side)

    def beneath(self, sliding: Sliding) -> tuple[Tensor, int]:
        """First index (B,) in the padded input, and length, of what these patches are computed from."""
        return self.start * sliding.stride, (self.size - 1) * sliding.stride + sliding.reach

    def together(self, other: "Span") -> "Span":
        """What either of two spans of one axis touches."""
        return Span(torch.minimum(self.low, other.low), torch.maximum(self.high, other.high), self.side)

    def same(self, other: "Span") -> bool:
        """Whether patches stand at the same places."""
        return torch.equal(self.low, other.low) and torch.equal(self.high, other.high)

    def everything(self) -> "Span":
        """The whole axis for each map."""
        return Span(torch.zeros_like(self.low), torch.full_like(self.high, self.side), self.side)
