"""i-ResNet: a classifier that can be inverted from its latent to the image."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from leigh_mlops.errors import LeighError
from leigh_mlops.models.bounds import check_choice, check_integer, check_integers, check_number
from leigh_mlops.models.contract import ModelSpec, Network
from leigh_mlops.models.head import classifier_head
from leigh_mlops.models.invertible import ActNorm, ResidualBlock, Squeeze
from leigh_mlops.models.invertible.log_det import power_series_log_det, random_signs, roulette_log_det
from leigh_mlops.models.prior import ClassGaussian

__all__ = ["Inversion", "InvertibleResNet"]

CONTINUATION_PROBABILITY = 0.6
"""Probability of one more term of a log-determinant by roulette; its variance is bounded above Lip(g)^2."""


@dataclass(frozen=True)
class Inversion:
    """Result of inverting some latents.

    Attributes:
        images: All padded channels, scaled, unclipped, shape (N, P, H, W).
        residual: Largest of the blocks' residuals before their last steps, relative to max(1, max abs)
            of a block's output, shape (N,).
        iterations: Evaluations of all branches together, shape (N,).
        padding_energy: Fraction of the sum of squares after the first ActNorm that is in
            padding channels, 0 to 1, shape (N,). Above 0 the latent belongs to no
            image, and dropping the channels changes it.
    """

    images: Tensor
    residual: Tensor
    iterations: Tensor
    padding_energy: Tensor


class InvertibleResNet(Network):
    """Invertible residual network (Behrmann et al. 2019) in the form that ECINN uses (Hvilshoj et al. 2021).

    Images (N, C, S, S) are padded with zero channels to P. Each stage squeezes
    2x2 patches into channels, followed by blocks with an ActNorm on the trunk
    before each. The latent of T stages is (N, P 4^T, S / 2^T, S / 2^T), 2048 x 14
    x 14 at 224 pixels. With P = C the map is a bijection; otherwise the latents
    of images are a surface in it, and density there has no meaning.

    With the head ``gaussian`` the classes are Gaussians in the latent, and the
    logits their log-densities, so that the boundary between two of them is the
    hyperplane that ECINN assumes.

    Args:
        spec: Specification of the network.
        padded_channels: Channels P after padding, at least C; ``None`` for no padding.
        blocks: Blocks of each stage.
        widths: Channels inside the branches of each stage, as many as ``blocks``.
        lipschitz: Bound c of each convolution; a branch then has c^3.
        power_iterations: Per convolution and training step.
        dropout: Probability in the published head.
        head: ``published`` (BatchNorm - ReLU - mean - 2048 - 256 - 100 - K) or ``gaussian``.
        log_det: Estimator of the volume term of a density in :meth:`encode_with_log_det`:
            ``none``, ``series`` (power series, biased) or ``roulette`` (unbiased; for a
            ``lipschitz`` of at most 0.91). It needs the head ``gaussian`` and no padding.
        log_det_terms: Terms of the series, or those that roulette always takes.
        memory: ``store`` all activations for the gradients, or ``checkpoint`` each block,
            which a log-determinant does not allow.

    Attributes:
        latent_shape: (c, h, w) of a latent.
    """

    task = "classify"
    trains_in_bf16 = True

    def __init__(
        self,
        spec: ModelSpec,
        *,
        padded_channels: int | None = 8,
        blocks: Sequence[int] = (3, 4, 6, 3),
        widths: Sequence[int] = (64, 128, 256, 512),
        lipschitz: float = 0.8,
        power_iterations: int = 1,
        dropout: float = 0.4,
        head: str = "published",
        log_det: str = "none",
        log_det_terms: int = 4,
        memory: str = "store",
    ) -> None:
        super().__init__(spec)
        check_choice("head", head, ("published", "gaussian"))
        check_choice("memory", memory, ("store", "checkpoint"))
        self.log_det = check_choice("log_det", log_det, ("none", "series", "roulette"))
        self.log_det_terms = check_integer("log_det_terms", log_det_terms, 1, 100)
        blocks = check_integers("blocks", blocks, 1, 64, count=(1, 8))
        widths = check_integers("widths", widths, 1, 4096, count=(len(blocks), len(blocks)))
        padded = spec.channels if padded_channels is None else padded_channels
        self.padded_channels = check_integer("padded_channels", padded, spec.channels, 1024)
        c = check_number("lipschitz", lipschitz, 0.01, 0.99)
        self._check_density(head, memory, c)
        steps = check_integer("power_iterations", power_iterations, 1, 1000)
        if spec.image_size % 2 ** len(blocks):
            raise LeighError(
                f"{len(blocks)} stages halve the image {len(blocks)} times, but {spec.image_size} pixels"
                f" are not a multiple of {2 ** len(blocks)}; give fewer stages or another image_size."
            )
        channels, side = self.padded_channels * 4 ** len(blocks), spec.image_size // 2 ** len(blocks)
        self.latent_shape = (channels, side, side)
        options = {"lipschitz": c, "power_iterations": steps}
        options |= {"checkpointed": memory == "checkpoint", "twice_differentiable": log_det != "none"}
        self.trunk = nn.ModuleList(_build_trunk(self.padded_channels, spec.image_size, blocks, widths, options))
        self.head: nn.Module
        if head == "gaussian":
            self.head = ClassGaussian(len(spec.classes), self.latent_shape)
        else:
            self.head = nn.Sequential(
                nn.BatchNorm2d(channels),
                nn.ReLU(),
                nn.AdaptiveAvgPool2d(1),
                nn.Flatten(),
                *classifier_head(channels, len(spec.classes), check_number("dropout", dropout, 0, 1)),
            )

    def stages(self) -> list[list[nn.Module]]:
        """The trunk between its squeezes, and the head."""
        stages: list[list[nn.Module]] = []
        for part in self.trunk:
            if isinstance(part, Squeeze):
                stages.append([])
            stages[-1].append(part)
        return [*stages, [self.head]]

    def encode(self, images: Tensor) -> Tensor:
        """Latents (N, c, h, w) of scaled images (N, C, S, S).

        Raises:
            ValueError: The images do not have the network's shape.
        """
        self._check_images(images)
        x = F.pad(images, (0, 0, 0, 0, 0, self.padded_channels - self.spec.channels))
        for part in self.trunk:
            x = part(x)
        return x

    def encode_with_log_det(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Latents (N, c, h, w) of scaled images (N, C, S, S), and log abs det of the Jacobian in nats, shape (N,).

        The latter is an estimate: unbiased in training and in eval mode where
        ``log_det`` is ``roulette``, by the first ``log_det_terms`` terms where it is ``series``.
        It differentiates, and so does not work in inference mode.

        Raises:
            LeighError: The network was built with ``log_det`` ``none``.
            ValueError: The images do not have the network's shape.
        """
        if self.log_det == "none":
            raise LeighError("This network was built without a log-determinant; set log_det to roulette or series.")
        self._check_images(images)
        x, log_det = images, images.new_zeros(len(images))
        for part in self.trunk:
            if isinstance(part, ResidualBlock):
                branch, volume = self._branch_with_log_det(part, x)
                x, log_det = x + branch, log_det + volume
                continue
            x = part(x)
            if isinstance(part, ActNorm):
                log_det = log_det + part.log_det(x.shape[-2:])
        return x, log_det

    @staticmethod
    def draw_noise(x: Tensor) -> Tensor:
        """Noise of the shape of x for an estimate of a log-determinant."""
        return random_signs(x)

    def _branch_with_log_det(self, block: ResidualBlock, x: Tensor) -> tuple[Tensor, Tensor]:
        terms, draw_signs = self.log_det_terms, self.draw_noise
        if self.log_det == "series":
            return power_series_log_det(block.branch, x, terms, draw_signs=draw_signs)
        go_on = CONTINUATION_PROBABILITY
        return roulette_log_det(block.branch, x, exact_terms=terms, go_on=go_on, draw_signs=draw_signs)

    def _check_images(self, images: Tensor) -> None:
        expected = (self.spec.channels, self.spec.image_size, self.spec.image_size)
        if images.shape[1:] != expected:
            raise ValueError(f"images are {tuple(images.shape[1:])}; this network takes {expected}")

    def _check_density(self, head: str, memory: str, lipschitz: float) -> None:
        if self.log_det == "none":
            return
        if self.padded_channels != self.spec.channels:
            raise LeighError(
                f"log_det is {self.log_det!r} with {self.padded_channels} padded channels, but padded images of"
                f" {self.spec.channels} channels have no density; set padded_channels to null."
            )
        if head != "gaussian":
            raise LeighError(f"log_det is {self.log_det!r}, and head {head!r} has no density; set head to gaussian.")
        if memory != "store":
            raise LeighError(f"memory is {memory!r}, which a log-determinant cannot use; set memory to store.")
        if self.log_det == "roulette" and lipschitz**6 >= CONTINUATION_PROBABILITY:
            raise LeighError(
                f"lipschitz is {lipschitz:g}, where the roulette estimate has unbounded variance;"
                " give at most 0.91, or set log_det to series."
            )

    def certificate(self) -> dict[str, Any]:
        """Certified properties of the weights in eval mode.

        Returns:
            ``lipschitz``, the bound of each block's branch by its name, below 1;
            ``convolutions``, those of its three convolutions, each at most
            ``allowed``; ``actnorm_scales``, smallest and largest.
        """
        blocks = [part for part in self.trunk if isinstance(part, ResidualBlock)]
        scales = torch.cat([part.scale.detach().flatten() for part in self.trunk if isinstance(part, ActNorm)])
        bounds = {block.name: block.bounds() for block in blocks}
        return {
            "allowed": self.spec.architecture["lipschitz"],
            "lipschitz": {name: math.prod(each) for name, each in bounds.items()},
            "convolutions": bounds,
            "actnorm_scales": [float(scales.min()), float(scales.max())],
        }

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
        """Compute the preimages of latents (N, c, h, w), padding channels included, and their residuals.

        A small residual of each block does not imply a small error of the image;
        encode the image again to measure it.

        Args:
            latents: Shape (N, c, h, w).
            tolerance: Error of each block's preimage, relative to max(1, max abs) of the sample.
            max_iterations: Steps per block at most.

        Raises:
            InverseError: A block did not converge, or the model is in training mode.
            ValueError: The latents do not have the network's ``latent_shape``.
        """
        if latents.shape[1:] != self.latent_shape:
            raise ValueError(f"latents are {tuple(latents.shape[1:])}; those of this network are {self.latent_shape}")
        x, residual = latents, latents.new_zeros(len(latents))
        iterations = torch.zeros(len(latents), dtype=torch.int64, device=latents.device)
        for part in reversed(self.trunk):
            if isinstance(part, ResidualBlock):
                solved = part.inverse(x, tolerance, max_iterations)
                x, residual = solved.x, torch.maximum(residual, solved.residual)
                iterations = iterations + solved.iterations
            else:
                x = cast(ActNorm | Squeeze, part).inverse(x)
        return Inversion(x, residual, iterations, self._padding_energy(x))

    def _padding_energy(self, x: Tensor) -> Tensor:
        squeeze, norm = cast(Squeeze, self.trunk[0]), cast(ActNorm, self.trunk[1])
        # ActNorm may scale channels that are zero in every image by far more than the others.
        images = norm(squeeze(x))[:, : 4 * self.spec.channels].square().sum(dim=(1, 2, 3))
        # Empty padding is not 0 there, but minus the channel's shift: the difference from it is measured.
        padding = (squeeze(x) * norm.scale)[:, 4 * self.spec.channels :].square().sum(dim=(1, 2, 3))
        return cast(Tensor, padding / (images + padding).clamp(min=torch.finfo(x.dtype).tiny))


def _build_trunk(
    channels: int, side: int, blocks: Sequence[int], widths: Sequence[int], options: dict[str, Any]
) -> Iterator[nn.Module]:
    for stage, (count, width) in enumerate(zip(blocks, widths, strict=True), start=1):
        channels, side = channels * 4, side // 2
        yield Squeeze()
        for number in range(1, count + 1):
            yield ActNorm(channels)
            yield ResidualBlock(channels, width, map_size=side, name=f"block {number} of stage {stage}", **options)
