"""Solving x = h(x) for a contraction, sample by sample."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["FixedPoint", "solve_fixed_point"]

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
    so a sample that has not converged after half of the evaluations takes plain steps.
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
    states = x
    residual, iterations = torch.full_like(size, torch.inf), torch.zeros(len(x), dtype=torch.int64, device=x.device)
    moving, now, history = torch.arange(len(x), device=x.device), x, _History(memory)
    for iteration in range(1, most + 1):
        further = step(now, moving)
        difference = further - now
        # One pass, unlike the maximum of the absolute values.
        reached = torch.linalg.vector_norm(difference, torch.inf, dim=1) / size[moving]
        residual[moving], iterations[moving] = reached, iteration
        left = ~(reached <= tolerance)
        if iteration == most or not left.any():
            states = _place(states, further, moving, torch.ones_like(left))
            break
        if not left.all():
            states = _place(states, further, moving, ~left)
            moving, further, difference = moving[left], further[left], difference[left]
            history.keep(left)
        now = history.accelerate(further, difference) if iteration < most // 2 else further
    return FixedPoint(states, residual, iterations)


def _place(states: Tensor, further: Tensor, moving: Tensor, stopped: Tensor) -> Tensor:
    """States (N, D) with the latest ones (n, D) of those of the moving samples (n,) that stop."""
    if len(moving) == len(states) and bool(stopped.all()):
        return further
    if len(moving) == len(states):
        states = states.clone()  # until now they are the caller's
    states[moving[stopped]] = further[stopped]
    return states


class _History:
    """The last h(x) and h(x) - x of each sample, (n, D), and the differences of the last few of both, newest last."""

    def __init__(self, memory: int) -> None:
        self.memory = memory
        self.last: tuple[Tensor, Tensor] | None = None
        self.steps: list[tuple[Tensor, Tensor]] = []

    def keep(self, samples: Tensor) -> None:
        """Keep only the samples that have not converged."""
        if self.last is not None:
            self.last = self.last[0][samples], self.last[1][samples]
        self.steps = [(image[samples], residual[samples]) for image, residual in self.steps]

    def accelerate(self, image: Tensor, residual: Tensor) -> Tensor:
        """Compute the next states (n, D) from h(x) and h(x) - x of the present ones."""
        if not self.memory:
            return image
        if self.last is not None:
            step = image - self.last[0], residual - self.last[1]
            self.steps = [*self.steps, step][-self.memory :]
        self.last = image, residual
        if not self.steps:
            return image
        shares = _least_squares([each for _, each in self.steps], residual)
        following = image
        for share, (each, _) in zip(shares.T, self.steps, strict=True):
            following = torch.addcmul(following, share[:, None], each, value=-1)
        return following


def _least_squares(columns: list[Tensor], target: Tensor) -> Tensor:
    """Coefficients (n, m) of the m columns (n, D) that best fit a target (n, D); zero columns get 0."""
    products = [[_dot(one, other) for other in (*columns[:place], target)] for place, one in enumerate(columns, 1)]
    gram = target.new_zeros((len(target), len(columns), len(columns)), dtype=torch.float64)
    for place, row in enumerate(products):
        for other, product in enumerate(row[:-1]):
            gram[:, place, other] = gram[:, other, place] = product
    right = torch.stack([row[-1] for row in products], dim=1)[:, :, None].double()
    # Nearly parallel columns would get huge coefficients of opposite sign; columns of zeros would be singular.
    diagonal = gram.diagonal(dim1=1, dim2=2)
    ridge = 1e-6 * diagonal + torch.where(diagonal > 0, torch.zeros_like(diagonal), torch.ones_like(diagonal))
    solution: Tensor = torch.linalg.solve(gram + torch.diag_embed(ridge), right)
    return solution[:, :, 0].to(target.dtype)


def _dot(one: Tensor, other: Tensor) -> Tensor:
    """Scalar products (n,) of the rows of two tensors (n, D); a product of batches of matrices takes far longer."""
    return torch.stack([row.dot(column) for row, column in zip(one, other, strict=True)])
