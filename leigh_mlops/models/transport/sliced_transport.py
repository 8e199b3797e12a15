"""Invertible transport of images from one class to another, as plain arrays."""

from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from leigh_mlops.errors import LeighError
from leigh_mlops.models.transport.block_transform import BlockTransform, dct_matrix
from leigh_mlops.models.transport.layer_sequence import Layer, LayerSequence
from leigh_mlops.models.transport.quantile_maps import MapTables, QuantileMaps

__all__ = ["SlicedTransport"]

_LARGEST_SIDE = 32
_MOST_LAYERS = 1000
_MOST_KNOTS = 2048
_CHUNK_NUMBERS = 2**20
_ORTHOGONAL = 1e-9
_OF_TURNED = {"turned", "directions"}
_LARGEST_NUMBER = 1e9

Images = npt.NDArray[Any]


@dataclass(frozen=True)
class SlicedTransport:
    """Composition of L layers, each an orthonormal transform, monotone maps of its coefficients, and the way back.

    Images are (N, C, H, W) in network units; their sides are multiples of every block side. What is
    given as float64 is computed in float64, anything else in float32.

    Attributes:
        sides: Side p of each layer's blocks in pixels, shape (L,).
        shifts: Rows and columns by which blocks begin later, each from 0 to p - 1, shape (L, 2).
        rotations: Orthogonal matrices over the channels, shape (L, C, C).
        lows: First number of the grid of each map, shape (R,), R the sum of C p^2 over the layers.
        widths: Width of a grid's cell, above 0, shape (R,).
        cells: Cell at whose beginning a knot stands, ascending, shape (R, K).
        values: Image of each knot, ascending, shape (R, K).
        turned: Numbers of the layers that turn the coefficients of a block, ascending, shape (T,).
        directions: Orthogonal matrices (C p^2, C p^2) of these layers, one after the other, flattened.
    """

    sides: npt.NDArray[np.int64]
    shifts: npt.NDArray[np.int64]
    rotations: npt.NDArray[np.float64]
    lows: npt.NDArray[np.float64]
    widths: npt.NDArray[np.float64]
    cells: npt.NDArray[np.int32]
    values: npt.NDArray[np.float32]
    turned: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    directions: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))

    def __post_init__(self) -> None:
        integers = {"sides", "shifts", "cells", "turned"}
        kinds = {each.name: getattr(self, each.name).dtype.kind for each in fields(self)}
        typed = all(kind == ("i" if name in integers else "f") for name, kind in kinds.items())
        if not (typed and self._has_layers() and self._has_directions() and self._has_maps()):
            raise LeighError("The stored transport between classes is damaged; train the model again.")

    def _has_layers(self) -> bool:
        """Return whether block sides, shifts and rotations fit each other."""
        sides, shifts, rotations = self.sides, self.shifts, self.rotations
        shaped = sides.ndim == 1 and shifts.shape == (len(sides), 2) and rotations.ndim == 3
        if not shaped or rotations.shape[0] != len(sides) or rotations.shape[1] != rotations.shape[2]:
            return False
        if len(sides) > _MOST_LAYERS or not ((sides >= 1) & (sides <= _LARGEST_SIDE)).all():
            return False
        if not ((shifts >= 0) & (shifts < sides[:, None])).all() or not (np.abs(rotations) < 1 + _ORTHOGONAL).all():
            return False
        products = rotations @ rotations.transpose(0, 2, 1) - np.eye(self.channels)
        return bool((np.abs(products) < _ORTHOGONAL).all())

    def _has_directions(self) -> bool:
        """Return whether each turned layer has an orthogonal matrix."""
        turned, count = self.turned, len(self.sides)
        if turned.ndim != 1 or self.directions.ndim != 1 or (np.diff(turned, prepend=-1, append=count) < 1).any():
            return False
        sizes = self.channels * np.square(self.sides[turned])
        if self.directions.shape != (int(np.square(sizes).sum()),):
            return False
        if not (np.abs(self.directions) < 1 + _ORTHOGONAL).all():
            return False
        return all((np.abs(each @ each.T - np.eye(len(each))) < _ORTHOGONAL).all() for each in self._matrices.values())

    @property
    def _matrices(self) -> dict[int, npt.NDArray[np.float64]]:
        """Matrix of each turned layer by the layer's number."""
        sizes = (self.channels * np.square(self.sides[self.turned])).tolist()
        parts = np.split(self.directions, np.cumsum(np.square(np.array(sizes, np.int64)))[:-1]) if sizes else []
        return {
            layer: part.reshape(size, size)
            for layer, size, part in zip(self.turned.tolist(), sizes, parts, strict=True)
        }

    def _has_maps(self) -> bool:
        """Return whether there is a strictly increasing map for each coefficient."""
        shape = (self.channels * int(np.square(self.sides).sum()),)
        if self.lows.shape != shape or self.widths.shape != shape or self.cells.ndim != 2:
            return False
        if self.cells.shape != self.values.shape or len(self.cells) != shape[0]:
            return False
        if not 2 <= self.cells.shape[1] <= _MOST_KNOTS or not (self.cells >= 0).all():
            return False
        bounded = all((np.abs(each) < _LARGEST_NUMBER).all() for each in (self.lows, self.widths, self.values))
        increasing = (np.diff(self.cells) > 0).all() and (np.diff(self.values) > 0).all()
        return bool(bounded and increasing and (self.widths > 1 / _LARGEST_NUMBER).all())

    @property
    def channels(self) -> int:
        """Number of channels C."""
        return int(self.rotations.shape[1])

    def apply(self, images: Images) -> Images:
        """Images of the target class (N, C, H, W) from images of the source class.

        Raises:
            LeighError: The images have other channels, or sides that are no multiples of the blocks'.
        """
        return self._run(images, forward=True)

    def invert(self, images: Images) -> Images:
        """Images (N, C, H, W) that :meth:`apply` takes to these.

        Raises:
            LeighError: The images have other channels, or sides that are no multiples of the blocks'.
        """
        return self._run(images, forward=False)

    def _run(self, images: Images, *, forward: bool) -> Images:
        largest = int(np.lcm.reduce(self.sides)) if len(self.sides) else 1
        if images.ndim != 4 or images.shape[1] != self.channels or any(side % largest for side in images.shape[2:]):
            raise LeighError(
                f"The transport is of {self.channels} channels and sides that are multiples of {largest}, the images "
                f"here are of shape {images.shape}; give images as the model was trained on."
            )
        if not np.isfinite(images).all():
            raise LeighError("An image has values that are not finite; exclude the field.")
        given = images.astype(np.float64 if images.dtype == np.float64 else np.float32)
        layers = self._sequence(given)
        step = max(_CHUNK_NUMBERS // max(int(np.prod(images.shape[1:])), 1), 1)
        for start in range(0, len(given), step):
            chunk = torch.from_numpy(given[start : start + step])
            given[start : start + step] = (layers.apply(chunk) if forward else layers.invert(chunk)).numpy()
        return given

    def _sequence(self, images: Images) -> LayerSequence:
        """Return the layers for images of a shape and type; those of the latest ones stay in memory."""
        key = (images.dtype, images.shape[1:])
        found = self._sequences.get(key)
        if found is None:
            layers = self._double_layers if images.dtype == np.float64 else self._single_layers
            found = LayerSequence(layers, images.shape[1:])
            self._sequences.clear()
            self._sequences[key] = found
        return found

    @cached_property
    def _sequences(self) -> dict[tuple[np.dtype[Any], tuple[int, ...]], LayerSequence]:
        return {}

    @cached_property
    def _single_layers(self) -> list[Layer]:
        return self._layers(torch.float32)

    @cached_property
    def _double_layers(self) -> list[Layer]:
        return self._layers(torch.float64)

    def _layers(self, dtype: torch.dtype) -> list[Layer]:
        ends = np.cumsum(self.channels * np.square(self.sides)).tolist()
        bases = {side: torch.from_numpy(dct_matrix(side)).to(dtype) for side in set(self.sides.tolist())}
        matrices = {
            number: torch.from_numpy(each.astype(np.float64)).to(dtype) for number, each in self._matrices.items()
        }
        layers = []
        for number, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
            some = slice(start, end)
            maps = QuantileMaps(self.lows[some], self.widths[some], self.cells[some], self.values[some])
            side, (down, right) = int(self.sides[number]), self.shifts[number].tolist()
            rotation = torch.from_numpy(self.rotations[number].astype(np.float64)).to(dtype)
            transform = BlockTransform(side, (down, right), rotation, bases[side], matrices.get(number))
            layers.append((transform, MapTables(maps, dtype)))
        return layers

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the transport as plain numeric arrays; those of turned layers only where there are such layers."""
        arrays = asdict(self)
        return {name: array for name, array in arrays.items() if len(self.turned) or name not in _OF_TURNED}

    @classmethod
    def from_arrays(cls, arrays: dict[str, npt.NDArray[Any]]) -> "SlicedTransport":
        """Create a transport from the arrays of :meth:`to_arrays`.

        Raises:
            LeighError: An array is missing, or they do not fit each other.
        """
        try:
            return cls(**arrays)
        except TypeError as error:
            raise LeighError(f"The stored transport is incomplete ({error}); train the model again.") from None


def apply_layer(transform: BlockTransform, tables: MapTables, images: Tensor) -> Tensor:
    """Images (N, C, H, W) after one layer."""
    return transform.to_images(tables.map(transform.to_coefficients(images)), images.shape)
