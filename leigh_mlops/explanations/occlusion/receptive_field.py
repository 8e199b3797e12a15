"""Parts of a feature map that a covered window can touch."""

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["SlidingWindow", "Span"]


class SlidingWindow(NamedTuple):
    """Sliding window of an operation along one axis.

    Attributes:
        reach: Number of inputs from the first to the last under the window.
        stride: Step of the window.
        padding: Number of inputs added at either end.
    """

    reach: int
    stride: int
    padding: int


class Span(NamedTuple):
    """Interval of each of B maps that may differ from a clean map along one axis, and patches of equal length.

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
        """Length of every patch: that of the longest interval."""
        return int((self.high - self.low).max())

    @property
    def start(self) -> Tensor:
        """First index of each patch, shape (B,): moved inwards where the patch would leave the map."""
        return self.low.clamp(max=self.side - self.size)

    def propagate(self, sliding: SlidingWindow) -> "Span":
        """Span after an operation with a sliding window.

        A stride that is longer than its window may step over the whole interval; one index
        then counts as touched nevertheless.

        Example:
            >>> span = Span(torch.tensor([0, 5]), torch.tensor([3, 8]), side=8).propagate(SlidingWindow(3, 2, 1))
            >>> span.low.tolist(), span.high.tolist(), span.side
            ([0, 2], [2, 4], 4)
        """
        side = (self.side + 2 * sliding.padding - sliding.reach) // sliding.stride + 1
        low = -((sliding.reach - 1 - sliding.padding - self.low) // sliding.stride)
        high = (self.high - 1 + sliding.padding) // sliding.stride + 1
        low = low.clamp(0, side - 1)
        return Span(low, torch.maximum(high.clamp(max=side), low + 1), side)

    def input_range(self, sliding: SlidingWindow) -> tuple[Tensor, int]:
        """First index (B,) in the padded input, and length, of the inputs of these patches."""
        return self.start * sliding.stride, (self.size - 1) * sliding.stride + sliding.reach

    def union(self, other: "Span") -> "Span":
        """Smallest span that contains two spans of one axis."""
        return Span(torch.minimum(self.low, other.low), torch.maximum(self.high, other.high), self.side)

    def is_equal(self, other: "Span") -> bool:
        """Return whether two spans are equal, so that their patches are at the same places."""
        return torch.equal(self.low, other.low) and torch.equal(self.high, other.high)

    def full_axis(self) -> "Span":
        """Span of the whole axis for each map."""
        return Span(torch.zeros_like(self.low), torch.full_like(self.high, self.side), self.side)
