"""Space to depth."""

from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["Squeeze"]


class Squeeze(nn.Module):
    """Space-to-depth permutation, by which each 2x2 patch of a channel becomes four channels.

    Example:
        >>> import torch
        >>> Squeeze()(torch.arange(4.0).view(1, 1, 2, 2)).flatten().tolist()
        [0.0, 1.0, 2.0, 3.0]
    """

    def forward(self, x: Tensor) -> Tensor:
        """Convert (N, C, H, W) to (N, 4 C, H / 2, W / 2)."""
        return F.pixel_unshuffle(x, 2)

    def inverse(self, y: Tensor) -> Tensor:
        """Convert (N, 4 C, H / 2, W / 2) to (N, C, H, W)."""
        return F.pixel_shuffle(y, 2)
