"""Space to depth."""

from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["Squeeze"]


class Squeeze(nn.Module):
    """Each 2x2 patch of a channel becomes four channels: a permutation of the numbers.

    Example:
        >>> import torch
        >>> Squeeze()(torch.arange(4.0).view(1, 1, 2, 2)).flatten().tolist()
        [0.0, 1.0, 2.0, 3.0]
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, 4 C, H / 2, W / 2)."""
        return F.pixel_unshuffle(x, 2)

    def inverse(self, y: Tensor) -> Tensor:
        """(N, 4 C, H / 2, W / 2) to (N, C, H, W)."""
        return F.pixel_shuffle(y, 2)
