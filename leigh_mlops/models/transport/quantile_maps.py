"""Monotone piecewise-linear maps of numbers, many at once."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

__all__ = ["CELLS", "QuantileMaps", "fit_quantile_maps", "quantiles"]

CELLS = 4096
"""Cells of a map's grid, on whose borders its knots stand, so that the segment of a number is looked up at once."""
_STRONGEST = 0.99  # what remains of the identity keeps every slope above 0
_FINEST = 1e-6

Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class QuantileMaps:
    """R strictly increasing maps of K knots each; beyond the outer knots numbers are only displaced.

    Attributes:
        lows: First number of each grid, shape (R,).
        widths: Width of a cell, above 0, shape (R,).
        cells: Cell at whose beginning a knot stands, ascending, shape (R, K). Knots beyond the last cell are spare:
            they change nothing.
        values: Image of each knot, ascending, shape (R, K).
    """

    lows: Doubles
    widths: Doubles
    cells: npt.NDArray[np.int32]
    values: Floats

    @property
    def knots(self) -> Doubles:
        """Numbers at which the slopes change, shape (R, K)."""
        return self.lows[:, None] + self.cells * self.widths[:, None]


class MapTables:
    """Tables of some maps, by which numbers are mapped and mapped back."""

    def __init__(self, maps: QuantileMaps, dtype: torch.dtype) -> None:
        knots, values = torch.from_numpy(maps.knots), torch.from_numpy(maps.values.astype(np.float64))
        slopes = torch.ones(len(knots), knots.shape[1] + 1, dtype=torch.float64)
        slopes[:, 1:-1] = torch.diff(values) / torch.diff(knots)
        is_spare = torch.from_numpy(maps.cells > CELLS)
        slopes[:, 1:][is_spare] = 1
        slopes[:, 1:-1][is_spare[:, 1:]] = 1
        anchors, images = (torch.cat([each[:, :1], each], 1) for each in (knots, values))
        self._anchors, self._images, self._slopes = (each.to(dtype).reshape(-1) for each in (anchors, images, slopes))
        self._values = values.masked_fill(is_spare, torch.inf).to(dtype)
        inverse_widths = torch.from_numpy(1 / maps.widths[:, None])
        self._starts = (1 - torch.from_numpy(maps.lows[:, None]) * inverse_widths).to(dtype)
        self._inverse_widths = inverse_widths.to(dtype)
        self._first_cells = torch.arange(len(knots), dtype=torch.int32)[:, None] * (CELLS + 2)
        self._first_segments = torch.arange(len(knots), dtype=torch.int32)[:, None] * slopes.shape[1]
        self._segments = torch.from_numpy(_segments_by_cell(maps.cells))

    def map(self, numbers: Tensor) -> Tensor:
        """Map numbers (..., R, n), those of a row by the row's map."""
        cells = torch.addcmul(self._starts, numbers, self._inverse_widths).clamp_(0, CELLS + 1)
        places = cells.to(torch.int32).add_(self._first_cells).view(-1)
        segments = self._segments.index_select(0, places).view(numbers.shape).to(torch.int32)
        segments = segments.add_(self._first_segments).view(-1)
        steps = (numbers.reshape(-1) - self._anchors.index_select(0, segments)).mul_(
            self._slopes.index_select(0, segments)
        )
        return steps.add_(self._images.index_select(0, segments)).view(numbers.shape)

    def map_back(self, numbers: Tensor) -> Tensor:
        """Numbers (N, R, n) that are mapped to these."""
        rows = numbers.transpose(0, 1)
        flat = rows.reshape(len(rows), -1)
        segments = torch.searchsorted(self._values, flat, right=True).add_(self._first_segments).view(-1)
        steps = (flat.view(-1) - self._images.index_select(0, segments)).div_(self._slopes.index_select(0, segments))
        return steps.add_(self._anchors.index_select(0, segments)).view(rows.shape).transpose(0, 1)


def _segments_by_cell(cells: npt.NDArray[np.int32]) -> npt.NDArray[Any]:
    """Number of knots at or before each cell of each map, flattened; the first cell lies before the grid."""
    at = np.minimum(cells, CELLS + 1) + 1
    kind = np.uint8 if cells.shape[1] <= np.iinfo(np.uint8).max else np.int16  # small tables stay in the CPU's cache
    counts = np.zeros((len(cells), CELLS + 3), kind)
    np.add.at(counts, (np.arange(len(cells))[:, None], at), 1)
    segments: npt.NDArray[Any] = np.cumsum(counts, axis=1, dtype=kind)[:, : CELLS + 2].reshape(-1)
    return segments


def quantiles(numbers: Floats, probabilities: Doubles) -> Doubles:
    """Quantiles (R, K) of each row of numbers (R, n), with linear interpolation."""
    ordered = np.sort(numbers, axis=1)
    place = probabilities * (ordered.shape[1] - 1)
    below = np.floor(place).astype(np.int64)
    above = np.minimum(below + 1, ordered.shape[1] - 1)
    share = place - below
    found: Doubles = ordered[:, below] * (1 - share) + ordered[:, above] * share
    return found


def fit_quantile_maps(source: Doubles, target: Doubles, strength: Doubles) -> QuantileMaps:
    """Maps from quantiles of one sample to those of another.

    Knots that fall on the same cell border become one, which is mapped to the mean of their
    targets: a value that many pixels have goes to the middle of where they should go. The knots
    that are saved stand beyond the last one, where they change nothing.

    Args:
        source: Quantiles, ascending, shape (R, K).
        target: Quantiles of the same probabilities, ascending, shape (R, K).
        strength: Share of the way to go, from 0 to 1, shape (R,); 0.99 is the most.
    """
    lows, count = source[:, 0], source.shape[1]
    finest = _FINEST * np.maximum(1, np.abs(source).max(axis=1))
    widths = np.maximum((source[:, -1] - lows) / CELLS, finest)
    nearest = np.minimum(np.rint((source - lows[:, None]) / widths[:, None]).astype(np.int64), CELLS)
    is_new = np.diff(nearest, axis=1, prepend=-1) > 0
    place = np.cumsum(is_new, axis=1) - 1
    flat = (place + np.arange(len(source))[:, None] * count).ravel()
    counts = np.bincount(flat, minlength=source.size).reshape(source.shape)
    means = np.bincount(flat, target.ravel(), source.size).reshape(source.shape) / np.maximum(counts, 1)
    cells = np.zeros(source.shape, np.int64)
    np.put_along_axis(cells, place, nearest, axis=1)
    share = np.minimum(strength, _STRONGEST)[:, None]
    values = (1 - share) * (lows[:, None] + cells * widths[:, None]) + share * means
    last = place[:, -1:]
    beyond = np.arange(count) - last
    cells = np.where(beyond > 0, np.take_along_axis(cells, last, 1) + beyond, cells)
    values = np.where(beyond > 0, np.take_along_axis(values, last, 1) + beyond * widths[:, None], values)
    return QuantileMaps(lows, widths, cells.astype(np.int32), _strictly_increasing(values.astype(np.float32)))


def _strictly_increasing(values: Floats) -> Floats:
    """Rows (R, K) in which rounding leaves no two numbers equal."""
    for column in range(1, values.shape[1]):
        least = np.nextafter(values[:, column - 1], np.float32(np.inf))
        np.maximum(values[:, column], least, out=values[:, column])
    return values
