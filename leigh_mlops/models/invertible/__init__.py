"""The parts of an invertible residual network, each a map with its inverse."""

from leigh_mlops.models.invertible.actnorm import ActNorm
from leigh_mlops.models.invertible.block import InverseError, ResidualBlock
from leigh_mlops.models.invertible.lipschitz import LipschitzConv2d
from leigh_mlops.models.invertible.squeeze import Squeeze

__all__ = ["ActNorm", "InverseError", "LipschitzConv2d", "ResidualBlock", "Squeeze"]
