"""Solving x = h(x) for a contraction, sample by sample."""

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["FixedPoint", "solve_fixed_point"]

FAST = 0.1
"""Factor by which a plain step shrinks a residual that needs no acceleration."""

Map = Callable[[Tensor, Tensor], Tensor]
"""Function of states (n, D) and the indices (n,) of their samples that returns the next states (n, D)."""


class FixedPoint(NamedTuple):
    """Result of a fixed-point iteration.

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
    """Solve x = h(x) by Anderson acceleration (Walker and Ni 2011), and by plain steps where it does not help.

    The next state is the combination of the last few that would annul the residual
    if h were affine. Only the plain step is guaranteed to converge for a contraction,
    so a sample that has not converged after half of the evaluations takes plain steps,
    as does one as long as its residual falls to less than a tenth in each step anyway.
    Samples stop one by one and never mix, so that a result depends on the batch by
    no more than the rounding of ``step``.

    Args:
        step: The map h; it is called with the samples that have not converged.
        x: Initial states, shape (N, D).
        size: Scale of the residuals, above 0, shape (N,).
        tolerance: Largest abs(h(x) - x) relative to ``size`` at which a sample has converged.
        most: Evaluations of h per sample at most.
        memory: States that are combined; 0 for the plain iteration.

    Returns:
        The states, also of samples that did not converge: their residual is above ``tolerance``.
    """
    x = x.clone()
    residual, iterations = torch.full_like(size, torch.inf), torch.zeros(len(x), dtype=torch.int64, device=x.device)
    moving, now, history = torch.arange(len(x), device=x.device), x, _History(memory)
    before, slow = residual.clone(), torch.zeros_like(size, dtype=torch.bool)
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
            reached, before, slow = reached[left], before[left], slow[left]
            history.keep(left)
        history.add(further, difference)
        slow = slow | ~(reached <= FAST * before)
        before, now = reached, further
        if iteration < most // 2 and slow.any():
            now = torch.where(slow[:, None], history.accelerate(), further)
    return FixedPoint(x, residual, iterations)


class _History:
    """The last few h(x), and h(x) - x, of each sample, newest last, each of shape (n, D)."""

    def __init__(self, memory: int) -> None:
        self.memory = memory
        self.images: list[Tensor] = []
        self.residuals: list[Tensor] = []

    def keep(self, samples: Tensor) -> None:
        """Keep only the samples that have not converged."""
        self.images = [each[samples] for each in self.images]
        self.residuals = [each[samples] for each in self.residuals]

    def add(self, image: Tensor, residual: Tensor) -> None:
        """Add h(x) and h(x) - x of the present states, each (n, D)."""
        self.images = [*self.images, image][-self.memory - 1 :]
        self.residuals = [*self.residuals, residual][-self.memory - 1 :]

    def accelerate(self) -> Tensor:
        """Compute the next states (n, D)."""
        image, residual = self.images[-1], self.residuals[-1]
        if len(self.images) == 1:
            return image
        columns = torch.stack([after - before for before, after in pairwise(self.residuals)], dim=1)
        for share, (before, after) in zip(_least_squares(columns, residual).T, pairwise(self.images), strict=True):
            image = image - share[:, None] * (after - before)
        return image


def _least_squares(columns: Tensor, target: Tensor) -> Tensor:
    """Coefficients (n, m) of the columns (n, m, D) that best fit a target (n, D); zero columns get 0."""
    gram = (columns @ columns.transpose(1, 2)).double()
    right = (columns @ target[:, :, None]).double()
    # Nearly parallel columns would get huge coefficients of opposite sign; columns of zeros would be singular.
    diagonal = gram.diagonal(dim1=1, dim2=2)
    ridge = 1e-6 * diagonal + torch.where(diagonal > 0, torch.zeros_like(diagonal), torch.ones_like(diagonal))
    solution: Tensor = torch.linalg.solve(gram + torch.diag_embed(ridge), right)
    return solution[:, :, 0].to(target.dtype)
