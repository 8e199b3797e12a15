"""Max pooling by ReLUs, which DeepLift follows exactly."""

from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["ReluMaxPool"]


class ReluMaxPool(nn.Module):
    """Max pooling of what is at least 0, as max(a, b) = a + ReLU(b - a).

    Captum's DeepLift drops contributions where windows overlap; it propagates through ReLUs exactly.

    Args:
        kernel: Side of the window.
        stride: Step of the window.
        padding: Zeros at each end.
        ceil_mode: Let a last window begin within the map and end outside of it.
    """

    def __init__(self, kernel: int = 3, stride: int = 2, padding: int = 1, *, ceil_mode: bool = False) -> None:
        super().__init__()
        self.kernel, self.stride, self.padding, self.ceil_mode = kernel, stride, padding, ceil_mode
        self.steps = nn.ModuleList(nn.ReLU() for _ in range(2 * (kernel - 1)))

    @classmethod
    def like(cls, pool: nn.MaxPool2d) -> "ReluMaxPool":
        """Make the counterpart of a pool with square windows."""
        sides = [value[0] if isinstance(value, tuple) else value for value in (pool.kernel_size, pool.padding)]
        stride = pool.stride[0] if isinstance(pool.stride, tuple) else pool.stride
        return cls(int(sides[0]), int(stride), int(sides[1]), ceil_mode=pool.ceil_mode)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (N, F, H, W), at least 0, to the largest values of their windows."""
        height, width = (self._count(side) for side in x.shape[-2:])
        further = [
            max(0, (count - 1) * self.stride + self.kernel - side - self.padding)
            for count, side in ((width, x.shape[-1]), (height, x.shape[-2]))
        ]
        padded = F.pad(x, (self.padding, further[0], self.padding, further[1]))
        rows = [padded[..., self._places(start, height), :] for start in range(self.kernel)]
        tallest = self._maximum(rows, 0)
        columns = [tallest[..., self._places(start, width)] for start in range(self.kernel)]
        return self._maximum(columns, self.kernel - 1)

    def _count(self, side: int) -> int:
        """Number of windows along a side."""
        free = side + 2 * self.padding - self.kernel
        count = (-(-free // self.stride) if self.ceil_mode else free // self.stride) + 1
        begins_outside = (count - 1) * self.stride >= side + self.padding
        return count - 1 if self.ceil_mode and begins_outside else count

    def _places(self, start: int, count: int) -> slice:
        return slice(start, start + (count - 1) * self.stride + 1, self.stride)

    def _maximum(self, parts: list[Tensor], first: int) -> Tensor:
        largest = parts[0]
        for number, part in enumerate(parts[1:], start=first):
            largest = largest + self.steps[number](part - largest)
        return largest
