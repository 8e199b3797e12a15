"""Small networks of two architectures: strided convolutions, and residual blocks."""

from itertools import pairwise
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from leigh_mlops.errors import LeighError

__all__ = ["OracleNetwork", "build_cnn", "build_resnet"]

_COUNTER = "num_batches_tracked"  # of batch normalisation; not used with a fixed momentum

Arrays = dict[str, npt.NDArray[Any]]


class OracleNetwork(nn.Module):
    """Convolutions, then a linear layer on the mean and the maximum of each feature map.

    Images (N, C, H, W) in units of the panel's scale, of any size, to logits (N, K).

    Args:
        trunk: Layers from images to feature maps.
        features: Number of those maps.
        classes_count: K.
    """

    def __init__(self, trunk: nn.Sequential, features: int, classes_count: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.head = nn.Linear(2 * features, classes_count)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, K)."""
        maps = self.trunk(images)
        return cast(Tensor, self.head(torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], dim=1)))

    @torch.inference_mode()
    def log_probs(self, images: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Natural log-probabilities (N, K) of images (N, C, H, W)."""
        logits: Tensor = self(torch.from_numpy(images))
        return F.log_softmax(logits.double(), dim=1).numpy()

    def to_arrays(self) -> Arrays:
        """Return weights and statistics as plain arrays."""
        return {name: tensor.numpy().copy() for name, tensor in self.state_dict().items() if _COUNTER not in name}

    def load_arrays(self, arrays: Arrays) -> None:
        """Take weights and statistics from the arrays of :meth:`to_arrays`.

        Raises:
            LeighError: They are of another network, or a variance is below 0.
        """
        shapes = {name: array.shape for name, array in self.to_arrays().items()}
        fit = {name: array.shape for name, array in arrays.items()} == shapes
        if not fit or any((array < 0).any() for name, array in arrays.items() if name.endswith("running_var")):
            raise LeighError("A stored independent classifier is damaged; train the model again.")
        self.load_state_dict({name: torch.tensor(array) for name, array in arrays.items()}, strict=False)


class BasicBlock(nn.Module):
    """Residual block of two 3 x 3 convolutions (He et al. 2016); the first halves the sides.

    Args:
        channels: Feature maps that come in.
        width: Feature maps that go out.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_convolution(channels, width), nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)
        )
        self.shortcut = nn.Sequential(nn.Conv2d(channels, width, 1, 2, bias=False), nn.BatchNorm2d(width))

    def forward(self, maps: Tensor) -> Tensor:
        """Feature maps (N, width, H / 2, W / 2)."""
        return F.relu(self.body(maps) + self.shortcut(maps))


def build_cnn(channels: int, classes_count: int) -> OracleNetwork:
    """Four strided 3 x 3 convolutions of 16, 32, 64 and 64 maps."""
    widths = (channels, 16, 32, 64, 64)
    layers = [layer for given, width in pairwise(widths) for layer in _convolution(given, width)]
    return OracleNetwork(nn.Sequential(*layers), widths[-1], classes_count)


def build_resnet(channels: int, classes_count: int) -> OracleNetwork:
    """A strided 5 x 5 convolution and three residual blocks of 16, 32 and 64 maps: seven convolutions in depth."""
    stem = [nn.Conv2d(channels, 16, 5, 2, 2, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    return OracleNetwork(
        nn.Sequential(*stem, BasicBlock(16, 16), BasicBlock(16, 32), BasicBlock(32, 64)), 64, classes_count
    )


def _convolution(channels: int, width: int) -> list[nn.Module]:
    return [nn.Conv2d(channels, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
