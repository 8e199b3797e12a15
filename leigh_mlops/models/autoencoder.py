"""Convolutional autoencoders with a very small latent."""

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from leigh_mlops.errors import LeighError
from leigh_mlops.models.bounds import check_choice, check_integer, check_integers
from leigh_mlops.models.contract import ModelSpec, Network

__all__ = ["Autoencoder"]

_PATCH = 4
_MOST_LOG_VARIANCE = 10.0  # either way, so that no exponential overflows early in a training
_WIDTHS = {"published": (32, 64, 64, 32, 16), "patches": (64, 96, 128, 128)}


class Autoencoder(Network):
    """Autoencoder of images (N, C, H, W) with a latent of 2 x H/32 x W/32.

    Published design: a block of the encoder is a 3x3 convolution, batch norm, ReLU
    and max-pooling by 2; a last convolution with ReLU gives the latent. The decoder
    begins with such a convolution and doubles the side with each transposed 2x2
    convolution with batch norm and ReLU; its output is linear.

    Design in patches: patches of 4 x 4 pixels become channels, so that convolutions
    are wider and cheaper. Average pooling and bilinear upsampling stand between the
    blocks, and the latent is linear: half of its range is not lost to a ReLU, and
    blocks of 32 pixels don't end at hard edges.

    Variational (Kingma and Welling 2014): the encoder gives mean and log variance of a normal distribution of each
    latent, and the mean is linear in both designs. Latents and reconstructions are those of the mean, so that they
    do not vary by chance; the objective draws from the distribution.

    Args:
        spec: Specification of the network.
        widths: Channels of each block, by default (32, 64, 64, 32, 16) or, in
            patches, (64, 96, 128, 128); each block halves the image, the first one
            in patches divides its side by 4.
        latent_channels: Channels of the latent.
        design: ``published`` or ``patches``.
        variational: Whether latents are distributions, whose prior is standard normal.
    """

    task = "reconstruct"
    needs_labels = False

    def __init__(
        self,
        spec: ModelSpec,
        *,
        widths: Sequence[int] | None = None,
        latent_channels: int = 2,
        design: str = "published",
        variational: bool = False,
    ) -> None:
        super().__init__(spec)
        design = check_choice("design", design, tuple(_WIDTHS))
        widths = check_integers("widths", widths or _WIDTHS[design], 1, 4096, count=(1, 10))
        latent = check_integer("latent_channels", latent_channels, 1, 4096)
        halvings = len(widths) + (design == "patches")
        if spec.image_size % 2**halvings:
            raise LeighError(
                f"{len(widths)} widths halve the image {halvings} times, but {spec.image_size} pixels"
                f" are not a multiple of {2**halvings}; give fewer widths or another image_size."
            )
        if not isinstance(variational, bool):
            raise LeighError(f"variational is {variational!r}; give true or false.")
        self.variational = variational
        self._prior_shape = (latent, *[spec.image_size // 2**halvings] * 2)
        build = _build_published if design == "published" else _build_patches
        self.encoder, self.decoder = build(spec.channels, widths, latent, variational)

    def stages(self) -> list[list[nn.Module]]:
        """The blocks of encoder and decoder; the last convolution counts as the head."""
        return [[block] for block in (*self.encoder, *self.decoder)]

    def encode(self, images: Tensor) -> Tensor:
        """Latents (N, 2, h, w); the means of those that are distributions."""
        return self.encode_distribution(images)[0] if self.variational else cast(Tensor, self.encoder(images))

    def encode_distribution(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of the latents of a variational network, each (N, 2, h, w)."""
        mean, log_variance = self.encoder(images).chunk(2, dim=1)
        return mean, log_variance.clamp(-_MOST_LOG_VARIANCE, _MOST_LOG_VARIANCE)

    @staticmethod
    def draw_noise(x: Tensor) -> Tensor:
        """Standard normal noise of the shape of x."""
        return torch.randn_like(x)

    def sample(self, count: int, seed: int = 0) -> Tensor:
        """Images (N, C, H, W) of latents drawn from the prior of a variational network, on the network's device."""
        drawn = torch.randn(count, *self._prior_shape, generator=torch.Generator().manual_seed(seed))
        return self.decode(drawn.to(next(self.parameters())))

    def decode(self, latents: Tensor) -> Tensor:
        """Images (N, C, H, W) of latents (N, 2, h, w), unclipped."""
        return cast(Tensor, self.decoder(latents))

    def forward(self, images: Tensor) -> Tensor:
        """Reconstructions (N, C, H, W)."""
        return self.decode(self.encode(images))


def _build_published(
    channels: int, widths: Sequence[int], latent: int, variational: bool
) -> tuple[nn.Sequential, nn.Sequential]:
    """Encoder and decoder of the published design."""
    down = [
        nn.Sequential(*_conv_block(before, after), nn.MaxPool2d(2)) for before, after in pairwise((channels, *widths))
    ]
    up = [_upsampling_block(before, after) for before, after in pairwise(reversed(widths))]
    last = nn.ConvTranspose2d(widths[0], channels, kernel_size=2, stride=2)
    to_latent = _linear_conv(widths[-1], 2 * latent) if variational else _relu_conv(widths[-1], latent)
    encoder = nn.Sequential(*down, to_latent)
    return encoder, nn.Sequential(_relu_conv(latent, widths[-1]), *up, last)


def _build_patches(
    channels: int, widths: Sequence[int], latent: int, variational: bool
) -> tuple[nn.Sequential, nn.Sequential]:
    """Encoder and decoder of the design in patches."""
    pixels = channels * _PATCH**2
    first = nn.Sequential(nn.PixelUnshuffle(_PATCH), *_conv_block(pixels, widths[0]))
    down = [nn.Sequential(nn.AvgPool2d(2), *_conv_block(before, after)) for before, after in pairwise(widths)]
    up = [
        nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False), *_conv_block(before, after))
        for before, after in pairwise(reversed(widths))
    ]
    last = nn.Sequential(nn.Conv2d(widths[0], pixels, kernel_size=3, padding=1), nn.PixelShuffle(_PATCH))
    begin = [nn.Sequential(*_conv_block(latent, widths[-1])), nn.Sequential(*_conv_block(widths[-1], widths[-1]))]
    encoder = nn.Sequential(first, *down, _linear_conv(widths[-1], latent * (1 + variational)))
    return encoder, nn.Sequential(*begin, *up, last)


def _linear_conv(before: int, after: int) -> nn.Conv2d:
    return nn.Conv2d(before, after, kernel_size=3, padding=1)


def _relu_conv(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, after, kernel_size=3, padding=1), nn.ReLU())


def _conv_block(before: int, after: int) -> tuple[nn.Module, nn.Module, nn.Module]:
    return nn.Conv2d(before, after, kernel_size=3, padding=1), nn.BatchNorm2d(after), nn.ReLU()


def _upsampling_block(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(nn.ConvTranspose2d(before, after, kernel_size=2, stride=2), nn.BatchNorm2d(after), nn.ReLU())
