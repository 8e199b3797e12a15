"""A residual block and its inverse."""

import math
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from leigh_mlops.errors import LeighError
from leigh_mlops.models.invertible.fixed_point import solve_fixed_point
from leigh_mlops.models.invertible.lipschitz import LipschitzConv2d
from leigh_mlops.models.precision import full_float32

__all__ = ["BlockInverse", "InverseError", "ResidualBlock"]


class InverseError(LeighError):
    """A latent could not be inverted."""


class BlockInverse(NamedTuple):
    """Result of inverting a block.

    Attributes:
        x: The preimages, shape (N, C, H, W).
        residual: Largest abs(y - g(x) - x) before the last step, relative to max(1, max abs y), shape (N,).
        iterations: Evaluations of the branch, shape (N,).
    """

    x: Tensor
    residual: Tensor
    iterations: Tensor


class ResidualBlock(nn.Module):
    """y = x + g(x) with Lip(g) <= c^3 < 1, hence invertible (Behrmann et al. 2019, theorem 1).

    g is conv 3x3 - ELU - conv 1x1 - ELU - conv 3x3; each convolution has at most
    norm c, and ELU is 1-Lipschitz.

    Args:
        channels: Channels C of the trunk.
        width: Channels inside the branch.
        map_size: Side of the feature maps in pixels.
        lipschitz: Bound c of each convolution, below 1.
        power_iterations: Per convolution and training step.
        name: Name of the block in errors.
        checkpointed: Keep only the block's input in training and compute the rest again for the
            gradients: less memory, and a third more time.
        twice_differentiable: Whether gradients of the branch have gradients in training.
    """

    def __init__(
        self,
        channels: int,
        width: int,
        *,
        map_size: int,
        lipschitz: float,
        power_iterations: int,
        name: str,
        checkpointed: bool = False,
        twice_differentiable: bool = False,
    ) -> None:
        super().__init__()

        def conv(before: int, after: int, kernel_size: int) -> LipschitzConv2d:
            return LipschitzConv2d(
                before,
                after,
                kernel_size,
                map_size=map_size,
                lipschitz=lipschitz,
                power_iterations=power_iterations,
                twice_differentiable=twice_differentiable,
            )

        self.name, self.checkpointed = name, checkpointed
        self._has_large_maps = map_size**2 >= width
        self.branch = nn.Sequential(
            conv(channels, width, 3), nn.ELU(), conv(width, width, 1), nn.ELU(), conv(width, channels, 3)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return y (N, C, H, W), channels last in memory where that is faster."""
        x = x.contiguous(memory_format=self._memory_format(x))
        if self.checkpointed and self.training and torch.is_grad_enabled():
            return x + cast(Tensor, checkpoint(self.branch, x, use_reentrant=False))
        return x + cast(Tensor, self.branch(x))

    def _memory_format(self, x: Tensor) -> torch.memory_format:
        """Choose the order of the maps in memory: a CPU would copy kernels that are larger than the maps to another."""
        return torch.channels_last if x.is_cuda or self._has_large_maps else torch.contiguous_format

    def bounds(self) -> list[float]:
        """Certified bounds on the norms of the branch's convolutions, each at most c; for eval mode."""
        return [part.bound() for part in self.branch if isinstance(part, LipschitzConv2d)]

    def lipschitz(self) -> float:
        """Certified bound L on the Lipschitz constant of the branch, the product of :meth:`bounds`."""
        return math.prod(self.bounds())

    @torch.no_grad()
    @full_float32()
    def inverse(
        self, y: Tensor, tolerance: float = 1e-6, max_iterations: int = 200, *, acceleration: int = 2
    ) -> BlockInverse:
        """Solve x = y - g(x) from x = y by accelerated iteration (after Behrmann et al. 2019, algorithm 1).

        A state with a residual r = y - g(x) - x has an error of at most |r| / (1 - L)
        in the Euclidean norm, L the branch's certified bound, and the step that adds r
        shrinks it by L. So that is the last step where max abs r is at most
        (1 - L) / L times the tolerance, or at the resolution of the type. The largest
        error is then asked for, and not proved, as the bound is on the Euclidean norm.
        Each sample stops by itself. There are no gradients, and no TF32.

        Args:
            y: Shape (N, C, H, W).
            tolerance: Error of x that is asked for, relative to max(1, max abs y) of the sample.
            max_iterations: Evaluations of the branch at most.
            acceleration: States that Anderson acceleration combines; 0 for the plain iteration.

        Raises:
            InverseError: A sample did not converge or is not finite, or the block is in training mode.
        """
        if self.training:
            raise InverseError(f"{self.name} is in training mode, where its weights vary; call eval() on the model.")
        if not bool(y.isfinite().all()):
            raise InverseError(f"{self.name} can't invert a latent that is not finite; check the image.")
        # In the order of forward, in which convolutions are faster.
        is_last = self._memory_format(y) == torch.channels_last
        order, back = ((0, 2, 3, 1), (0, 3, 1, 2)) if is_last else ((0, 1, 2, 3), (0, 1, 2, 3))
        target, maps = y.permute(order).flatten(1), y.permute(order).shape[1:]
        size = target.abs().amax(dim=1).clamp(min=1)

        def step(x: Tensor, samples: Tensor) -> Tensor:
            branch = cast(Tensor, self.branch(x.view(-1, *maps).permute(back)))
            change = branch.permute(order).flatten(1)
            return (target if len(samples) == len(target) else target[samples]) - change

        resolution = torch.finfo(y.dtype).eps
        contraction = max(self.lipschitz(), resolution)
        needed = max(tolerance * (1 - contraction) / contraction, 2 * resolution)
        solved = solve_fixed_point(step, target, size=size, tolerance=needed, most=max_iterations, memory=acceleration)
        if not bool((solved.residual <= needed).all()):
            missed, taken = float(solved.residual.max()), int(solved.iterations.max())
            raise InverseError(
                f"The inverse of {self.name} has an error of {missed:.3g} of its largest value after {taken} steps,"
                f" but a tolerance of {tolerance:g} needs {needed:.3g}; allow more iterations, raise the tolerance,"
                " or train with a smaller lipschitz."
            )
        return BlockInverse(solved.x.view(-1, *maps).permute(back), solved.residual, solved.iterations)
