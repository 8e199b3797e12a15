"""A residual block and its inverse."""

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from leigh_mlops.errors import LeighError
from leigh_mlops.models.invertible.lipschitz import LipschitzConv2d

__all__ = ["BlockInverse", "InverseError", "ResidualBlock"]


class InverseError(LeighError):
    """A latent could not be inverted."""


class BlockInverse(NamedTuple):
    """What inverting a block gave.

    Attributes:
        x: The preimages, shape (N, C, H, W).
        residual: Largest last step of a sample, relative to max(1, max abs y).
        iterations: Steps that the slowest sample took.
    """

    x: Tensor
    residual: float
    iterations: int


class ResidualBlock(nn.Module):
    """y = x + g(x) with Lip(g) <= c^3 < 1, hence invertible (Behrmann et al. 2019, theorem 1).

    g is conv 3x3 - ELU - conv 1x1 - ELU - conv 3x3; each convolution has at most
    norm c, and ELU is 1-Lipschitz.

    Args:
        channels: Channels C of the trunk.
        width: Channels inside the branch.
        map_size: Side of the feature maps in pixels.
        lipschitz: Bound c of each convolution, below 1.
        power_iterations: Per convolution and call in training.
        name: How errors call the block.
    """

    def __init__(
        self, channels: int, width: int, *, map_size: int, lipschitz: float, power_iterations: int, name: str
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
            )

        self.name = name
        self.branch = nn.Sequential(
            conv(channels, width, 3), nn.ELU(), conv(width, width, 1), nn.ELU(), conv(width, channels, 3)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        return x + cast(Tensor, self.branch(x))

    @torch.no_grad()
    def inverse(self, y: Tensor, tolerance: float = 1e-6, max_iterations: int = 200) -> BlockInverse:
        """Solve x = y - g(x) by iteration from x = y (Behrmann et al. 2019, algorithm 1).

        Each sample stops by itself, so that its result does not depend on the
        batch that it is in. With L = Lip(g) the error is at most L / (1 - L)
        times the last step. There are no gradients.

        Args:
            y: Shape (N, C, H, W).
            tolerance: Largest last step, relative to max(1, max abs y) of the sample.
            max_iterations: Steps at most.

        Raises:
            InverseError: A sample did not converge, or the block is in training mode.
        """
        if self.training:
            raise InverseError(f"{self.name} is in training mode, where its weights vary; call eval() on the model.")
        x, active = y.clone(), torch.arange(len(y), device=y.device)
        size = _largest(y).clamp(min=1)
        steps = torch.full_like(size, torch.inf)
        for iteration in range(1, max_iterations + 1):
            better = y[active] - self.branch(x[active])
            steps[active] = _largest(better - x[active]) / size[active]
            x[active] = better
            active = active[~(steps[active] <= tolerance)]
            if not len(active):
                return BlockInverse(x, float(steps.max()), iteration)
        raise InverseError(
            f"The inverse of {self.name} still moves by {float(steps.max()):.3g} of its largest value after"
            f" {max_iterations} iterations, above the tolerance of {tolerance:g}; allow more iterations, raise the"
            " tolerance, or train with a smaller lipschitz."
        )


def _largest(x: Tensor) -> Tensor:
    return x.abs().amax(dim=(1, 2, 3))
