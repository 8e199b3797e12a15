"""3x3 convolutions with fewer multiplications."""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

__all__ = ["transform_kernels", "winograd_convolution"]

_FORWARD, _FLIPPED = (0, 1, 2, 3), (3, 1, 2, 0)
"""Order of the four numbers of a side for a kernel, and for the same kernel from back to front."""

_TILES_PER_PASS = 200
"""More tiles at once would not fit into a cache."""


def transform_kernels(weight: Tensor) -> Tensor:
    """Transform kernels (O, I, 3, 3) for `winograd_convolution`, shape (16, I, O)."""
    rows = _transform_side(*weight.permute(2, 3, 1, 0).contiguous())
    return torch.stack([tile for row in rows for tile in _transform_side(*row)])


def _transform_side(first: Tensor, middle: Tensor, last: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Transform a side of kernels: from 3 numbers to 4."""
    mean, half = (first + last) / 2, middle / 2
    return first, mean + half, mean - half, last


def winograd_convolution(x: Tensor, kernels: Tensor, bias: Tensor) -> Tensor:
    """Convolve x (N, I, H, W) to (N, O, H, W), zero-padded, H and W even, channels last in memory.

    F(2 x 2, 3 x 3) of Lavin and Gray (2016, section 4.1): 2 x 2 outputs by 16 multiplications per pair of channels
    instead of 36, with errors of rounding as large. It pays for many channels on small maps, whose tiles are few.
    Only x gets a gradient, and only once.

    Args:
        x: Images, float32.
        kernels: From `transform_kernels`, shape (16, I, O).
        bias: Shape (O,).
    """
    return cast(Tensor, _Winograd.apply(x, kernels, bias))


class _Winograd(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, kernels: Tensor, bias: Tensor) -> Tensor:  # noqa: ANN401
        ctx.kernels = kernels
        return _convolve(x, kernels, _FORWARD).add_(bias.view(-1, 1, 1))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN401
        return _convolve(gradient, ctx.kernels.transpose(1, 2), _FLIPPED), None, None


def _convolve(x: Tensor, kernels: Tensor, order: Sequence[int]) -> Tensor:
    """Convolve x (N, I, H, W) with transformed kernels (16, I, O) whose rows have this order, a few images at once."""
    last = x.permute(0, 2, 3, 1).contiguous()
    out = last.new_empty(*last.shape[:3], kernels.shape[2])
    size = max(1, _TILES_PER_PASS * 4 // (last.shape[1] * last.shape[2]))
    for images, results in zip(torch.split(last, size), torch.split(out, size), strict=True):
        products = _tiles(images, order).flatten(2, 4).flatten(0, 1) @ kernels
        _join_tiles(products.view(4, 4, -1), order, results)
    return out.permute(0, 3, 1, 2)


def _tiles(x: Tensor, order: Sequence[int]) -> Tensor:
    """Transformed 4 x 4 tiles of x (N, H, W, I) at every second pixel, shape (4, 4, N, H / 2, W / 2, I)."""
    images, height, width, channels = x.shape
    padded = F.pad(x, (0, 0, 1, 1, 1, 1))
    tiles = x.new_empty(4, 4, images, height // 2, width // 2, channels)
    rows = x.new_empty(4, images, height // 2, width + 2, channels)
    _transform([padded[:, start : start + height : 2] for start in range(4)], rows)
    for row, place in zip(rows, order, strict=True):
        columns = [row[:, :, start : start + width : 2] for start in range(4)]
        _transform(columns, [tiles[place, column] for column in order])
    return tiles


def _transform(parts: Sequence[Tensor], out: Sequence[Tensor] | Tensor) -> None:
    """Transform the four pixels of a tile's side."""
    torch.sub(parts[0], parts[2], out=out[0])
    torch.add(parts[1], parts[2], out=out[1])
    torch.sub(parts[2], parts[1], out=out[2])
    torch.sub(parts[1], parts[3], out=out[3])


def _join_tiles(products: Tensor, order: Sequence[int], out: Tensor) -> None:
    """Transform products (4, 4, …) back to 2 x 2 pixels each, into out (N, H, W, O)."""
    images, height, width, channels = out.shape
    pixels = out.view(images, height // 2, 2, width // 2, 2, channels)
    for y, rows in enumerate(_transform_back([products[place] for place in order])):
        columns = [rows[place].view(images, height // 2, width // 2, channels) for place in order]
        for x, values in enumerate(_transform_back(columns)):
            pixels[:, :, y, :, x] = values


def _transform_back(parts: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Both pixels of a tile's side."""
    return (parts[0] + parts[1]).add_(parts[2]), (parts[1] - parts[2]).sub_(parts[3])
