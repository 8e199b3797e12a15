"""Activation normalisation."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["ActNorm"]

_LOG_BOUND = 5.0


class ActNorm(nn.Module):
    """y = (x - shift) * scale per channel (Kingma and Dhariwal 2018, section 3.1).

    The first batch in training mode sets shift and scale so that it comes out
    with mean 0 and variance 1; until then the map is the identity. Our
    deviations: whether that has happened is stored in the state, a channel without
    variance (zero padding) keeps scale 1, and the scale is bounded to
    [exp(-5), exp(5)], which bounds what the inverse can amplify.

    Args:
        channels: Channels C.
    """

    initialised: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(channels, 1, 1))
        self.log_scale = nn.Parameter(torch.zeros(channels, 1, 1))
        self.register_buffer("initialised", torch.tensor(False))
        # Otherwise a GPU would be waited for in each step.
        self._is_known_initialised = False

    @property
    def scale(self) -> Tensor:
        """Scale per channel, shape (C, 1, 1), from exp(-5) to exp(5)."""
        return self.log_scale.clamp(-_LOG_BOUND, _LOG_BOUND).exp()

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x (N, C, H, W)."""
        if self.training and not self._is_known_initialised:
            if not self.initialised:
                self._initialise(x)
            self._is_known_initialised = True
        return (x - self.shift) * self.scale

    def inverse(self, y: Tensor) -> Tensor:
        """Recover x from y, both (N, C, H, W)."""
        return y / self.scale + self.shift

    def log_det(self, sides: Sequence[int]) -> Tensor:
        """Log abs det of the Jacobian on maps of sides (H, W), in nats, shape ()."""
        return math.prod(sides) * self.log_scale.clamp(-_LOG_BOUND, _LOG_BOUND).sum()

    def reset(self) -> None:
        """Let the next batch in training mode set shift and scale anew."""
        self.initialised.fill_(False)
        self._is_known_initialised = False

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        super()._load_from_state_dict(*args, **kwargs)
        self._is_known_initialised = False

    @staticmethod
    def measure(x: Tensor) -> tuple[Tensor, Tensor]:
        """Standard deviation and mean of each channel of x (N, C, H, W), both of shape (C,)."""
        return torch.std_mean(x, dim=(0, 2, 3), correction=0)

    @torch.no_grad()
    def _initialise(self, x: Tensor) -> None:
        std, mean = self.measure(x)
        # A constant channel's computed deviation is rounding noise, in proportion to its mean.
        varies = std > 1e-5 * (1 + mean.abs())
        log_scale = torch.where(varies, -std.clamp(min=1e-30).log(), torch.zeros_like(std))
        self.shift.copy_(mean.view(-1, 1, 1))
        self.log_scale.copy_(log_scale.clamp(-_LOG_BOUND, _LOG_BOUND).view(-1, 1, 1))
        self.initialised.fill_(True)
