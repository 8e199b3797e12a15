"""A convolutional autoencoder with a very small latent."""

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

from torch import Tensor, nn

from leigh_mlops.errors import LeighError
from leigh_mlops.models.bounds import check_integer, check_integers
from leigh_mlops.models.contract import ModelSpec, Network

__all__ = ["Autoencoder"]


class Autoencoder(Network):
    """Autoencoder of images (N, C, H, W) with a latent of 2 x H/32 x W/32.

    A block of the encoder is a 3x3 convolution, batch norm, ReLU and max-pooling
    by 2; a last convolution with ReLU gives the latent. The decoder begins with
    such a convolution and doubles the side with each transposed 2x2 convolution
    with batch norm and ReLU; its output is linear.

    Args:
        spec: Specification of the network.
        widths: Channels of each pooled block; each block halves the image.
        latent_channels: Channels of the latent.
    """

    task = "reconstruct"

    def __init__(
        self, spec: ModelSpec, *, widths: Sequence[int] = (32, 64, 64, 32, 16), latent_channels: int = 2
    ) -> None:
        super().__init__(spec)
        widths = check_integers("widths", widths, 1, 4096, count=(1, 10))
        latent = check_integer("latent_channels", latent_channels, 1, 4096)
        if spec.image_size % 2 ** len(widths):
            raise LeighError(
                f"{len(widths)} widths halve the image {len(widths)} times, but {spec.image_size} pixels"
                f" are not a multiple of {2 ** len(widths)}; give fewer widths or another image_size."
            )
        down = [_encoder_block(before, after) for before, after in pairwise((spec.channels, *widths))]
        up = [_decoder_block(before, after) for before, after in pairwise(reversed(widths))]
        last = nn.ConvTranspose2d(widths[0], spec.channels, kernel_size=2, stride=2)
        self.encoder = nn.Sequential(*down, _conv_block(widths[-1], latent))
        self.decoder = nn.Sequential(_conv_block(latent, widths[-1]), *up, last)

    def stages(self) -> list[list[nn.Module]]:
        """The blocks of encoder and decoder; the last convolution counts as the head."""
        return [[block] for block in (*self.encoder, *self.decoder)]

    def encode(self, images: Tensor) -> Tensor:
        """Latents (N, 2, h, w)."""
        return cast(Tensor, self.encoder(images))

    def decode(self, latents: Tensor) -> Tensor:
        """Images (N, C, H, W) of latents (N, 2, h, w), unclipped."""
        return cast(Tensor, self.decoder(latents))

    def forward(self, images: Tensor) -> Tensor:
        """Reconstructions (N, C, H, W)."""
        return self.decode(self.encode(images))


def _conv_block(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, after, kernel_size=3, padding=1), nn.ReLU())


def _encoder_block(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, kernel_size=3, padding=1), nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2)
    )


def _decoder_block(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(nn.ConvTranspose2d(before, after, kernel_size=2, stride=2), nn.BatchNorm2d(after), nn.ReLU())
