"""Orthonormal transform of images into coefficients of shifted square blocks, and back."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

__all__ = ["BlockTransform", "dct_matrix"]


@dataclass(frozen=True)
class BlockTransform:
    """Cyclic shift, rotation of the channels, two-dimensional DCT-II of every block, and turn of its coefficients.

    Attributes:
        side: Side p of the blocks in pixels; image sides are multiples of it.
        shift: Rows and columns by which blocks begin later, each from 0 to p - 1.
        rotation: Orthogonal matrix over the channels, shape (C, C).
        basis: Orthonormal DCT-II of one block, shape (p^2, p^2).
        directions: Orthogonal matrix over the coefficients of a block, shape (C p^2, C p^2); none leaves them.
    """

    side: int
    shift: tuple[int, int]
    rotation: Tensor
    basis: Tensor
    directions: Tensor | None = None

    def to_coefficients(self, images: Tensor, columns: Tensor | None = None) -> Tensor:
        """Coefficients (C p^2, n) of the n blocks of images (N, C, H, W), or of some columns of them.

        Blocks are in the order of image, row, column; a row of coefficients is one channel and frequency.
        """
        count, channels, height, width = images.shape
        side = self.side
        blocks = torch.roll(images, (-self.shift[0], -self.shift[1]), (2, 3))
        blocks = blocks.reshape(count, channels, height // side, side, width // side, side).permute(1, 3, 5, 0, 2, 4)
        blocks = blocks.reshape(channels, side * side, -1)
        if columns is not None:
            blocks = blocks[:, :, columns]
        mixed = self.rotation @ blocks.reshape(channels, -1)
        coefficients = (self.basis @ mixed.view(blocks.shape)).view(channels * side * side, -1)
        return coefficients if self.directions is None else self.directions @ coefficients

    def to_images(self, coefficients: Tensor, shape: torch.Size) -> Tensor:
        """Images of a shape (N, C, H, W) from the coefficients of all their blocks."""
        count, channels, height, width = shape
        side = self.side
        if self.directions is not None:
            coefficients = self.directions.T @ coefficients
        blocks = self.basis.T @ coefficients.view(channels, side * side, -1)
        blocks = (self.rotation.T @ blocks.view(channels, -1)).view(
            channels, side, side, count, height // side, width // side
        )
        images = blocks.permute(3, 0, 4, 1, 5, 2).reshape(count, channels, height, width)
        return torch.roll(images, self.shift, (2, 3))


def dct_matrix(side: int) -> npt.NDArray[np.float64]:
    """Orthonormal DCT-II of a flattened block, shape (p^2, p^2); one row per pair of frequencies.

    Example:
        >>> dct_matrix(2)[0]
        array([0.5, 0.5, 0.5, 0.5])
    """
    place, frequency = np.arange(side) + 0.5, np.arange(side)
    line = np.sqrt(2 / side) * np.cos(np.pi / side * np.outer(frequency, place))
    line[0] = np.sqrt(1 / side)
    return np.kron(line, line)
