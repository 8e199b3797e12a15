"""i-ResNet: a classifier that can be inverted from its latent to the image."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from leigh_mlops.errors import LeighError
from leigh_mlops.models.bounds import real, whole, wholes
from leigh_mlops.models.contract import ModelSpec, Network
from leigh_mlops.models.head import classifier_head
from leigh_mlops.models.invertible import ActNorm, ResidualBlock, Squeeze

__all__ = ["Inversion", "InvertibleResNet"]


@dataclass(frozen=True)
class Inversion:
    """What inverting some latents gave.

    Attributes:
        images: All padded channels, scaled, unclipped, shape (N, P, H, W).
        residual: Largest last step of a block, relative to max(1, max abs) of its output.
        iterations: Steps that the slowest block took.
        padding_energy: Share of each image's sum of squares that is in padding
            channels, shape (N,). Above 0 the latent is that of no image, and
            dropping the channels changes it.
    """

    images: Tensor
    residual: float
    iterations: int
    padding_energy: Tensor


class InvertibleResNet(Network):
    """Invertible residual network (Behrmann et al. 2019) in the form that ECINN uses (Hvilshoj et al. 2021).

    Images (N, C, S, S) are padded with zero channels to P. Each stage squeezes
    2x2 patches into channels, then come blocks with an ActNorm on the trunk
    before each. The latent of T stages is (N, P 4^T, S / 2^T, S / 2^T), 2048 x 14
    x 14 at 224 pixels. With P = C the map is a bijection; otherwise the latents
    of images are a subspace.

    Args:
        spec: What the network is built from.
        padded_channels: Channels P after padding, at least C.
        blocks: Blocks of each stage.
        widths: Channels inside the branches of each stage, as many as ``blocks``.
        lipschitz: Bound c of each convolution; a branch then has c^3.
        power_iterations: Per convolution and training step.
        dropout: Probability in the head.

    Attributes:
        latent_shape: (c, h, w) of a latent.
    """

    task = "classify"

    def __init__(
        self,
        spec: ModelSpec,
        *,
        padded_channels: int = 8,
        blocks: Sequence[int] = (3, 4, 6, 3),
        widths: Sequence[int] = (64, 128, 256, 512),
        lipschitz: float = 0.8,
        power_iterations: int = 5,
        dropout: float = 0.4,
    ) -> None:
        super().__init__(spec)
        blocks = wholes("blocks", blocks, 1, 64, count=(1, 8))
        widths = wholes("widths", widths, 1, 4096, count=(len(blocks), len(blocks)))
        self.padded_channels = whole("padded_channels", padded_channels, spec.channels, 1024)
        c = real("lipschitz", lipschitz, 0.01, 0.99)
        steps = whole("power_iterations", power_iterations, 1, 1000)
        if spec.image_size % 2 ** len(blocks):
            raise LeighError(
                f"{len(blocks)} stages halve the image as often, and {spec.image_size} pixels"
                f" are no multiple of {2 ** len(blocks)}; give fewer stages or another image_size."
            )
        channels, side = self.padded_channels * 4 ** len(blocks), spec.image_size // 2 ** len(blocks)
        self.latent_shape = (channels, side, side)
        self.trunk = nn.ModuleList(_trunk(self.padded_channels, spec.image_size, blocks, widths, c, steps))
        self.head = nn.Sequential(
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            *classifier_head(channels, len(spec.classes), real("dropout", dropout, 0, 1)),
        )

    def encode(self, images: Tensor) -> Tensor:
        """Latents (N, c, h, w) of scaled images (N, C, S, S).

        Raises:
            ValueError: The images are not those that the network was built for.
        """
        expected = (self.spec.channels, self.spec.image_size, self.spec.image_size)
        if images.shape[1:] != expected:
            raise ValueError(f"images are {tuple(images.shape[1:])}; this network takes {expected}")
        x = F.pad(images, (0, 0, 0, 0, 0, self.padded_channels - self.spec.channels))
        for part in self.trunk:
            x = part(x)
        return x

    def classify(self, latents: Tensor) -> Tensor:
        """Logits (N, K) of latents (N, c, h, w)."""
        return cast(Tensor, self.head(latents))

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, K)."""
        return self.classify(self.encode(images))

    def decode(self, latents: Tensor, tolerance: float = 1e-6, max_iterations: int = 200) -> Tensor:
        """Images (N, C, S, S) of latents (N, c, h, w), unclipped, padding channels dropped; no gradients.

        Raises:
            InverseError: A block's inverse did not converge, or the model is in training mode.
        """
        return self.invert(latents, tolerance, max_iterations).images[:, : self.spec.channels]

    @torch.no_grad()
    def invert(self, latents: Tensor, tolerance: float = 1e-6, max_iterations: int = 200) -> Inversion:
        """The preimages of latents (N, c, h, w), padding channels included, and how well that went.

        A small residual of each block is no small error of the image; encode the
        image again to know it.

        Args:
            latents: Shape (N, c, h, w).
            tolerance: Largest last step of each block's iteration, relative to
                max(1, max abs) of the sample.
            max_iterations: Steps per block at most.

        Raises:
            InverseError: A block did not converge, or the model is in training mode.
        """
        x, residual, iterations = latents, 0.0, 0
        for part in reversed(self.trunk):
            if isinstance(part, ResidualBlock):
                solved = part.inverse(x, tolerance, max_iterations)
                x, residual = solved.x, max(residual, solved.residual)
                iterations = max(iterations, solved.iterations)
            else:
                x = cast(ActNorm | Squeeze, part).inverse(x)
        return Inversion(x, residual, iterations, self._padding_energy(x))

    def _padding_energy(self, x: Tensor) -> Tensor:
        energy = x.square().sum(dim=(2, 3))
        total = energy.sum(dim=1).clamp(min=torch.finfo(x.dtype).tiny)
        return energy[:, self.spec.channels :].sum(dim=1) / total


def _trunk(
    channels: int, side: int, blocks: Sequence[int], widths: Sequence[int], lipschitz: float, power_iterations: int
) -> Iterator[nn.Module]:
    for stage, (count, width) in enumerate(zip(blocks, widths, strict=True), start=1):
        channels, side = channels * 4, side // 2
        yield Squeeze()
        for number in range(1, count + 1):
            yield ActNorm(channels)
            yield ResidualBlock(
                channels,
                width,
                map_size=side,
                lipschitz=lipschitz,
                power_iterations=power_iterations,
                name=f"block {number} of stage {stage}",
            )
