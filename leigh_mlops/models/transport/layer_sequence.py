"""Layers of a transport for images of one shape, with as few passes over memory as possible."""

from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise

import torch
from torch import Tensor

from leigh_mlops.models.transport.block_transform import BlockTransform
from leigh_mlops.models.transport.quantile_maps import MapTables

__all__ = ["Layer", "LayerSequence"]

Layer = tuple[BlockTransform, MapTables]

_LARGEST_FUSED = 64  # coefficients of a block from which channels and frequencies are faster one after the other


class LayerSequence:
    """Layers one after the other; numbers go from the blocks of a layer straight to those of the next one."""

    def __init__(self, layers: Sequence[Layer], shape: tuple[int, int, int]) -> None:
        self._turns = [_Turn(transform) for transform, _ in layers]
        self._tables = [tables for _, tables in layers]
        pixels = torch.arange(shape[0] * shape[1] * shape[2], dtype=torch.int32)
        self._orders = [pixels, *(block_order(transform, shape) for transform, _ in layers), pixels]

    def apply(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) after all layers."""
        numbers = images.reshape(len(images), -1)
        for turn, tables, places in zip(self._turns, self._tables, self._forward_places, strict=False):
            blocks = turn.to_coefficients(_blocks(numbers, places, turn.size))
            numbers = turn.to_numbers(tables.map(blocks)).reshape(len(images), -1)
        return numbers.index_select(1, self._forward_places[-1]).view(images.shape)

    def invert(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) before all layers."""
        numbers = images.reshape(len(images), -1)
        for turn, tables, places in zip(self._turns[::-1], self._tables[::-1], self._backward_places, strict=False):
            blocks = turn.to_coefficients(_blocks(numbers, places, turn.size))
            numbers = turn.to_numbers(tables.map_back(blocks)).reshape(len(images), -1)
        return numbers.index_select(1, self._backward_places[-1]).view(images.shape)

    @cached_property
    def _forward_places(self) -> list[Tensor]:
        return [_places(*some) for some in pairwise(self._orders)]

    @cached_property
    def _backward_places(self) -> list[Tensor]:
        orders = self._orders[::-1]
        return [_places(*some) for some in pairwise(orders)]


class _Turn:
    """Orthogonal transform of the blocks of one layer, as one matrix where that is faster."""

    def __init__(self, transform: BlockTransform) -> None:
        self._transform, self._channels = transform, len(transform.rotation)
        self.size = self._channels * transform.side**2
        self._matrix = None
        if transform.directions is not None or self.size <= _LARGEST_FUSED:
            self._matrix = _single_matrix(transform)
        self._is_identity = self._matrix is not None and torch.equal(
            self._matrix, torch.eye(self.size).to(self._matrix)
        )

    def to_coefficients(self, blocks: Tensor) -> Tensor:
        """Coefficients (N, C p^2, n) of blocks of pixels of the same shape."""
        if self._is_identity:
            return blocks
        if self._matrix is not None:
            return self._matrix @ blocks
        mixed = self._transform.rotation @ blocks.view(len(blocks), self._channels, -1)
        return (self._transform.basis @ self._by_channel(mixed, blocks)).view(blocks.shape)

    def to_numbers(self, coefficients: Tensor) -> Tensor:
        """Blocks of pixels (N, C p^2, n) or (N, C, p^2 n) from their coefficients."""
        if self._is_identity:
            return coefficients
        if self._matrix is not None:
            return self._matrix.T @ coefficients
        mixed = self._transform.basis.T @ self._by_channel(coefficients, coefficients)
        return self._transform.rotation.T @ mixed.view(len(coefficients), self._channels, -1)

    def _by_channel(self, numbers: Tensor, blocks: Tensor) -> Tensor:
        return numbers.view(len(blocks), self._channels, self._transform.side**2, blocks.shape[2])


def block_order(transform: BlockTransform, shape: tuple[int, int, int]) -> Tensor:
    """Pixel, in an image (C, H, W), of each number of its blocks in the order of channel, pixel of the block, block."""
    channels, height, width = shape
    side = transform.side
    pixels = torch.arange(channels * height * width, dtype=torch.int32).view(shape)
    pixels = torch.roll(pixels, (-transform.shift[0], -transform.shift[1]), (1, 2))
    blocks = pixels.reshape(channels, height // side, side, width // side, side)
    return blocks.permute(0, 2, 4, 1, 3).reshape(-1)


def _single_matrix(transform: BlockTransform) -> Tensor:
    """Matrix (C p^2, C p^2) that is rotation, DCT and directions together."""
    fused = torch.kron(transform.rotation.double(), transform.basis.double())
    if transform.directions is not None:
        fused = transform.directions.double() @ fused
    return fused.to(transform.basis.dtype).contiguous()


def _places(before: Tensor, after: Tensor) -> Tensor:
    """Place, in one order of the pixels, of each number of another order."""
    place = torch.empty_like(before)
    place[before.long()] = torch.arange(len(before), dtype=torch.int32)
    return place[after.long()]


def _blocks(numbers: Tensor, places: Tensor, size: int) -> Tensor:
    """Blocks (N, C p^2, n) of numbers (N, C H W) in another order."""
    count, total = numbers.shape
    return numbers.index_select(1, places).view(count, size, total // size)
