"""Occlusion within a budget: coarse tiles first, and windows where tiles matter most."""

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor

from leigh_mlops.errors import LeighError
from leigh_mlops.explanations.occlusion.windows import WindowGrid

__all__ = ["MIN_BUDGET", "RefinedLosses", "correct_estimates", "refine"]

MIN_BUDGET = 50
"""Smallest budget that suffices for a search and for a check of its estimates."""

_HELD_OUT_DIVISOR = 5
_FIRST_TILES_DIVISOR = 3
_SPLITS_AT_ONCE = 8
_WIDTHS, _NOISES = (1.0, 2.0, 4.0, 8.0), (0.1, 1.0)
"""Widths of the Gaussian process in windows, and its noise as a share of its variance."""


class RefinedLosses(NamedTuple):
    """Losses of the windows of one image, and their quality.

    Attributes:
        losses: Loss of each window, measured or estimated, float64, shape (R C,).
        evaluations: Number of windows and tiles that were measured.
        agreement: Rank correlation (Spearman) of the estimates with the held-out windows, -1 to 1; 1 where
            every window was measured, NaN where either side is constant.
    """

    losses: Tensor
    evaluations: int
    agreement: float


def refine(measure: Callable[[Tensor], Tensor], grid: WindowGrid, budget: int, seed: int = 0) -> RefinedLosses:
    """Spend a budget on the windows with the largest losses.

    At most a third of it measures equal tiles of neighbouring windows that cover the image. The
    tiles with the largest absolute loss are then quartered repeatedly until it is spent;
    a tile of one window is exact, and any other window has its share of the loss of its smallest
    tile, by area. Losses that cancel within a tile are not detected. A fifth of the budget measures
    windows drawn at random, which are held out to check the estimates; only then they replace
    their estimates.

    Args:
        measure: The losses (B,) of boxes (B, 4).
        grid: The windows that an exact map would measure.
        budget: Evaluations at most; from R C on every window is measured.
        seed: Seed of the draw.

    Raises:
        LeighError: The budget is smaller than `MIN_BUDGET`, and than the number of windows.
    """
    rows, columns = grid.shape
    if budget >= rows * columns:
        return RefinedLosses(measure(grid.boxes()), rows * columns, 1.0)
    _require_budget(budget)
    drawn = np.random.default_rng(seed).choice(rows * columns, size=budget // _HELD_OUT_DIVISOR, replace=False)
    held = torch.from_numpy(np.sort(drawn))
    estimates, spent = _estimate(measure, grid, budget - len(held), set(held.tolist()))
    exact = measure(grid.boxes()[held])
    agreement = _rank_correlation(estimates[held], exact)
    estimates[held] = exact
    return RefinedLosses(estimates, spent + len(held), agreement)


def correct_estimates(
    measure: Callable[[Tensor], Tensor], estimates: Tensor, grid: WindowGrid, budget: int, seed: int = 0
) -> RefinedLosses:
    """Spend a budget on random windows, and correct the estimates of all others by what was measured.

    Estimates are multiplied by one factor, and what then remains at measured windows is spread to their neighbours by
    a Gaussian process, whose width and noise predict left-out windows best. A fifth of the budget is held out as for
    `refine`.

    Args:
        measure: The losses (B,) of boxes (B, 4).
        estimates: Of all windows, float64, shape (R C,).
        grid: The windows that an exact map would measure.
        budget: Evaluations at most; from R C on every window is measured.
        seed: Seed of the draw.

    Raises:
        LeighError: The budget is smaller than `MIN_BUDGET`, and than the number of windows.
    """
    count = len(estimates)
    if budget >= count:
        return RefinedLosses(measure(grid.boxes()), count, 1.0)
    _require_budget(budget)
    drawn = torch.from_numpy(np.random.default_rng(seed).permutation(count)[:budget])
    exact, held = measure(grid.boxes()[drawn]), budget // _HELD_OUT_DIVISOR
    known, base = drawn[held:], estimates[drawn[held:]]
    factor = float((exact[held:] * base).sum() / (base * base).sum().clamp_min(1e-300))
    scaled = factor * estimates
    places = torch.cartesian_prod(*(torch.arange(side) for side in grid.shape)).double()
    corrected = scaled + _spread(places[known], exact[held:] - scaled[known], places)
    agreement = _rank_correlation(corrected[drawn[:held]], exact[:held])
    corrected[drawn] = exact
    return RefinedLosses(corrected, budget, agreement)


def _spread(known: Tensor, values: Tensor, places: Tensor) -> Tensor:
    """Values (M,) at known places (M, 2), in windows, as a Gaussian process predicts them at others (P, 2)."""
    best, found = float(values.square().mean()), torch.zeros(len(places), dtype=values.dtype)
    for width in _WIDTHS:
        own, others = (torch.exp(-torch.cdist(each, known).square() / (2 * width**2)) for each in (known, places))
        for noise in _NOISES:
            inverse = torch.linalg.inv(own + noise * torch.eye(len(known), dtype=own.dtype))
            weights = inverse @ values
            error = float((weights / inverse.diagonal()).square().mean())  # of each from all others
            if error < best:
                best, found = error, others @ weights
    return found


def _require_budget(budget: int) -> None:
    if budget < MIN_BUDGET:
        raise LeighError(f"A budget of {budget} evaluations is too small; give at least {MIN_BUDGET}, or 0 for all.")


def _estimate(measure: Callable[[Tensor], Tensor], grid: WindowGrid, budget: int, held: set[int]) -> tuple[Tensor, int]:
    """Estimate the losses of all windows from measured tiles, none of which is a held-out window; count the tiles."""
    rows, columns = grid.shape
    estimates = torch.zeros(rows, columns, dtype=torch.float64)
    open_: dict[tuple[int, ...], float] = {}
    tiles, spent = _first_tiles(rows, columns, budget // _FIRST_TILES_DIVISOR), 0
    while tiles:
        boxes = grid.boxes(torch.tensor(tiles))
        spent += len(tiles)
        for tile, loss, box in zip(tiles, measure(boxes).tolist(), boxes.tolist(), strict=True):
            top, left, bottom, right = tile
            share = grid.window**2 / ((box[2] - box[0]) * (box[3] - box[1]))
            estimates[top:bottom, left:right] = loss * min(1.0, share)
            if len(_quarters(tile)) > 1:
                open_[tile] = abs(loss)
        tiles = []
        for tile in sorted(open_, key=lambda each: -open_[each])[:_SPLITS_AT_ONCE]:
            new = [each for each in _quarters(tile) if not _is_held_out_window(each, held, columns)]
            if spent + len(tiles) + len(new) > budget:
                break
            tiles += new
            del open_[tile]
    return estimates.flatten(), spent


def _first_tiles(rows: int, columns: int, most: int) -> list[tuple[int, ...]]:
    """Smallest square tiles of windows of which at most ``most`` cover the grid."""
    side = next(side for side in range(1, max(rows, columns) + 1) if -(-rows // side) * -(-columns // side) <= most)
    return [
        (top, left, min(top + side, rows), min(left + side, columns))
        for top in range(0, rows, side)
        for left in range(0, columns, side)
    ]


def _quarters(tile: tuple[int, ...]) -> list[tuple[int, ...]]:
    """A tile halved along each side that is longer than one window."""
    top, left, bottom, right = tile
    down, across = sorted({top, (top + bottom + 1) // 2, bottom}), sorted({left, (left + right + 1) // 2, right})
    return [(a, c, b, d) for a, b in pairwise(down) for c, d in pairwise(across)]


def _is_held_out_window(tile: tuple[int, ...], held: set[int], columns: int) -> bool:
    top, left, bottom, right = tile
    return (bottom - top) * (right - left) == 1 and top * columns + left in held


def _rank_correlation(a: Tensor, b: Tensor) -> float:
    if bool((a == a[0]).all()) or bool((b == b[0]).all()):
        return float("nan")
    return float(spearmanr(a.numpy(), b.numpy()).statistic)
