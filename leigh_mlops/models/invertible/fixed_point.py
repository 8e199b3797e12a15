"""Solving x = h(x) for a contraction, sample by sample."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["FixedPoint", "solve_fixed_point"]

Map = Callable[[Tensor, Tensor], Tensor]
"""From states (n, D) and the samples (n,) that they belong to, to the next states (n, D)."""


class FixedPoint(NamedTuple):
    """Where an iteration came to rest.

    Attributes:
        x: The states, shape (N, D).
        residual: Largest abs(h(x) - x) of each sample before its last step, relative to its size, shape (N,).
        iterations: Evaluations of h that each sample took, shape (N,).
    """

    x: Tensor
    residual: Tensor
    iterations: Tensor


def solve_fixed_point(
    step: Map, x: Tensor, *, size: Tensor, tolerance: float, most: int, memory: int = 2
) -> FixedPoint:
    """Anderson acceleration (Walker and Ni 2011) of x <- h(x), with a safeguard.

    The next state is the combination of the last few that would annul the residual
    if h were affine. Where an accelerated step makes a sample's residual larger, it
    is taken back: the sample goes on from the plain step, which a contraction
    guarantees, and forgets its history. Samples stop one by one and never mix, so
    that a result depends on the batch by no more than the rounding of ``step``.

    Args:
        step: The map h; it is called with the samples that still move.
        x: States to begin with, shape (N, D).
        size: What residuals are relative to, above 0, shape (N,).
        tolerance: Largest abs(h(x) - x) relative to ``size`` at which a sample rests.
        most: Evaluations of h per sample at most.
        memory: States that are combined; 0 for the plain iteration.

    Returns:
        The states, also of samples that did not come to rest: their residual is above ``tolerance``.
    """
    x = x.clone()
    residual, iterations = torch.full_like(size, torch.inf), torch.zeros(len(x), dtype=torch.int64, device=x.device)
    moving, now, history = torch.arange(len(x), device=x.device), x, _History(memory)
    for iteration in range(1, most + 1):
        further = step(now, moving)
        difference = further - now
        reached = difference.abs().amax(dim=1) / size[moving]
        x[moving], residual[moving], iterations[moving] = further, reached, iteration
        left = ~(reached <= tolerance)
        if not left.any():
            break
        if not left.all():
            moving, further, difference = moving[left], further[left], difference[left]
            history.keep(left)
        now = history.accelerate(further, difference)
    return FixedPoint(x, residual, iterations)


class _History:
    """The last few states of each sample, newest last.

    Attributes:
        images: Differences of successive h(x), shape (m, n, D).
        residuals: Differences of successive h(x) - x, shape (m, n, D).
    """

    def __init__(self, memory: int) -> None:
        self.memory = memory
        self.images: list[Tensor] = []
        self.residuals: list[Tensor] = []
        self.last: _Last | None = None

    def keep(self, samples: Tensor) -> None:
        """Drop the samples that rest."""
        self.images, self.residuals = (
            [each[samples] for each in self.images],
            [each[samples] for each in self.residuals],
        )
        if self.last is not None:
            self.last = self.last.of(samples)

    def accelerate(self, further: Tensor, difference: Tensor) -> Tensor:
        """The next states (n, D) from h(x) and h(x) - x of the present ones."""
        norm = torch.linalg.vector_norm(difference, dim=1)
        last, self.last = self.last, _Last(further, difference, norm, torch.ones_like(norm, dtype=torch.bool))
        if last is None or not self.memory:
            return further
        image, residual = further - last.further, difference - last.difference
        worse = ~last.plain & ~(norm <= last.norm)
        if worse.any():
            # On from the last plain step, as if the accelerated one had not been.
            self.last = self.last.replaced(worse, last)
            for each in (image, residual, *self.images, *self.residuals):
                each[worse] = 0
        self.images, self.residuals = [*self.images, image][-self.memory :], [*self.residuals, residual][-self.memory :]
        self.last = self.last._replace(plain=worse)
        shares = _least_squares(torch.stack(self.residuals, dim=1), self.last.difference)
        following = self.last.further
        for share, each in zip(shares.T, self.images, strict=True):
            following = following - share[:, None] * each
        return following


class _Last(NamedTuple):
    """The newest state x of each sample that was kept.

    Attributes:
        further: h(x), shape (n, D).
        difference: h(x) - x, shape (n, D).
        norm: Euclidean norm of the latter, shape (n,).
        plain: Whether the next state is h(x) itself, shape (n,).
    """

    further: Tensor
    difference: Tensor
    norm: Tensor
    plain: Tensor

    def of(self, samples: Tensor) -> "_Last":
        """Some samples of it."""
        return _Last(*(each[samples] for each in self))

    def replaced(self, samples: Tensor, other: "_Last") -> "_Last":
        """Another's values for some samples."""
        wide = samples[:, None]
        return _Last(
            torch.where(wide, other.further, self.further),
            torch.where(wide, other.difference, self.difference),
            torch.where(samples, other.norm, self.norm),
            self.plain,
        )


def _least_squares(columns: Tensor, wanted: Tensor) -> Tensor:
    """Shares (n, m) that bring the columns (n, m, D) nearest to what is wanted (n, D); zero columns get none."""
    gram = (columns @ columns.transpose(1, 2)).double()
    right = (columns @ wanted[:, :, None]).double()
    # Nearly parallel columns would get huge shares of opposite sign; columns of zeros would be singular.
    diagonal = gram.diagonal(dim1=1, dim2=2)
    ridge = 1e-6 * diagonal + torch.where(diagonal > 0, torch.zeros_like(diagonal), torch.ones_like(diagonal))
    solution: Tensor = torch.linalg.solve(gram + torch.diag_embed(ridge), right)
    return solution[:, :, 0].to(wanted.dtype)
