"""Grid of the windows of an occlusion map."""

from typing import NamedTuple

import torch
from torch import Tensor

from leigh_mlops.errors import LeighError

__all__ = ["WindowGrid"]


class WindowGrid(NamedTuple):
    """Windows in R rows and C columns over an image; the last ones are cut at its edges.

    A box is (top, left, bottom, right) in pixels, ends excluded. Windows are counted row by row.

    Attributes:
        tops: First pixel of each row of windows, int64, shape (R,).
        lefts: First pixel of each column of windows, shape (C,).
        window: Side of a window in pixels.
        height: Height of the image in pixels.
        width: Width of the image in pixels.
    """

    tops: Tensor
    lefts: Tensor
    window: int
    height: int
    width: int

    @classmethod
    def for_image(cls, height: int, width: int, window: int, stride: int) -> "WindowGrid":
        """Make the grid of windows that cover every pixel of an image.

        Args:
            height: Height of the image in pixels.
            width: Width of the image in pixels.
            window: Side of a window in pixels, 1 to the image's side.
            stride: Step in pixels, 1 to ``window``, so that no pixel is left out.

        Raises:
            LeighError: Window or stride do not fit.

        Example:
            >>> WindowGrid.for_image(5, 4, window=2, stride=2).boxes().tolist()[-1]
            [4, 2, 5, 4]
        """
        if not 1 <= window <= min(height, width):
            raise LeighError(f"A window of {window} does not fit images of {height} x {width}; give a smaller one.")
        if not 1 <= stride <= window:
            raise LeighError(f"A stride of {stride} leaves gaps between windows of {window}; give 1 to {window}.")
        tops, lefts = (torch.arange(-(-(side - window) // stride) + 1) * stride for side in (height, width))
        return cls(tops, lefts, window, height, width)

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows R and of columns C of windows."""
        return len(self.tops), len(self.lefts)

    def boxes(self, tiles: Tensor | None = None) -> Tensor:
        """Boxes of windows, or of tiles of neighbouring windows, shape (B, 4).

        Args:
            tiles: First and last row and column of windows (top, left, bottom, right), ends
                excluded, shape (B, 4); by default every window is a tile.
        """
        if tiles is None:
            first = torch.cartesian_prod(*(torch.arange(count) for count in self.shape)).view(-1, 2)
            tiles = torch.cat([first, first + 1], dim=1)
        top, left, bottom, right = tiles.unbind(dim=1)
        ends = [self.tops[bottom - 1] + self.window, self.lefts[right - 1] + self.window]
        ends = [end.clamp(max=side) for end, side in zip(ends, (self.height, self.width), strict=True)]
        return torch.stack([self.tops[top], self.lefts[left], *ends], dim=1)

    def to_maps(self, losses: Tensor) -> Tensor:
        """Maps whose pixels have the mean loss of the windows over them.

        Args:
            losses: Loss of each window, on the CPU, shape (N, R C).

        Returns:
            Shape (N, H, W), of the same type.
        """
        maps = losses.new_zeros(len(losses), self.height, self.width)
        covers = losses.new_zeros(self.height, self.width)
        for number, (top, left, bottom, right) in enumerate(self.boxes().tolist()):
            maps[:, top:bottom, left:right] += losses[:, number, None, None]
            covers[top:bottom, left:right] += 1
        return maps / covers
