"""Trunk of AlexNet with batch normalisation, of any width."""

from collections.abc import Sequence

from torch import Tensor, nn

__all__ = ["AlexNetTrunk"]

_MAP_SIDE = 6  # of the published network at 224 pixels


class AlexNetTrunk(nn.Module):
    """Five convolutions and two linear layers (Krizhevsky et al. 2012), with BatchNorm as in Caron et al. 2018.

    Images (N, C, S, S) to features (N, F) before the last ReLU. On images whose last map is smaller than 6 x 6, the
    linear layers are as small.

    Args:
        channels: Image channels C.
        image_size: S in pixels.
        widths: Channels of the five convolutions.
        hidden: Features F.
        stem_stride: Stride of the first convolution; its kernel is 2 stride + 3.
        dropout: Probability before each of the linear layers.
    """

    def __init__(
        self, channels: int, image_size: int, *, widths: Sequence[int], hidden: int, stem_stride: int, dropout: float
    ) -> None:
        super().__init__()
        first, second, third, fourth, fifth = widths
        kernel = 2 * stem_stride + 3
        self.stem = _convolution(channels, first, kernel, stem_stride, 2, pool=True)
        self.second = _convolution(first, second, 5, 1, 2, pool=True)
        self.third = _convolution(second, third, 3, 1, 1)
        self.fourth = _convolution(third, fourth, 3, 1, 1)
        self.fifth = _convolution(fourth, fifth, 3, 1, 1)
        side = min(_MAP_SIDE, _last_side(image_size, kernel, stem_stride))
        self.pool = nn.Sequential(nn.MaxPool2d(3, 2, 1), nn.AdaptiveAvgPool2d(side), nn.Flatten())
        self.first_linear = nn.Sequential(nn.Dropout(dropout), nn.Linear(fifth * side**2, hidden), nn.ReLU())
        self.second_linear = nn.Sequential(nn.Dropout(dropout), nn.Linear(hidden, hidden))

    def convolutions(self) -> list[nn.Module]:
        """The five convolutions with what belongs to them, from the image on."""
        return [self.stem, self.second, self.third, self.fourth, self.fifth]

    def linear_layers(self) -> list[nn.Module]:
        """The two linear layers."""
        return [self.first_linear, self.second_linear]

    def forward(self, images: Tensor) -> Tensor:
        """Features (N, F)."""
        maps = images
        for layer in self.convolutions():
            maps = layer(maps)
        features: Tensor = self.pool(maps)
        for layer in self.linear_layers():
            features = layer(features)
        return features


def _convolution(
    channels: int, width: int, kernel: int, stride: int, padding: int, *, pool: bool = False
) -> nn.Sequential:
    layers = [nn.Conv2d(channels, width, kernel, stride, padding, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
    return nn.Sequential(*layers, *([nn.MaxPool2d(3, 2, 1)] if pool else []))


def _last_side(image_size: int, kernel: int, stride: int) -> int:
    """Side of the map behind the last pool in pixels."""
    side = (image_size + 4 - kernel) // stride + 1
    for _ in range(3):
        side = (side - 1) // 2 + 1
    return side
