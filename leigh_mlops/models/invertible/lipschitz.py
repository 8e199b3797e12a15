"""A convolution with a bounded Lipschitz constant."""

from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from leigh_mlops.models.invertible.operator_norm import (
    converged_vector,
    convolved_norm,
    matrix_norm,
    power_iterate,
    unit,
)

__all__ = ["LipschitzConv2d"]


class LipschitzConv2d(nn.Conv2d):
    """Zero-padded convolution with the weight W / max(1, sigma / c) (Behrmann et al. 2019, section 2.1).

    Sigma is the norm of the convolution as an operator on feature maps of
    ``map_size``. In training each call takes a few power iterations, warm-started
    from the last, and gradients flow through sigma. In eval mode sigma is taken
    once, to convergence, and the weight is divided once; parameters get no
    gradients then. Sigma is part of the state, so that a loaded network computes
    what the saved one did; it is NaN while it is not that of the weight.

    Args:
        in_channels: Channels in, I.
        out_channels: Channels out, O.
        kernel_size: Side of the kernel, odd.
        map_size: Side of the feature maps in pixels.
        lipschitz: The bound c, above 0.
        power_iterations: Steps per call in training.
    """

    v: Tensor
    sigma: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        map_size: int,
        lipschitz: float,
        power_iterations: int,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, padding=kernel_size // 2)
        self.lipschitz, self.power_iterations = lipschitz, power_iterations
        start = torch.randn(1, in_channels, *[1 if kernel_size == 1 else map_size] * 2)
        self.register_buffer("v", unit(start, start))
        self.register_buffer("sigma", torch.tensor(torch.nan))
        self._sigma_version: int | None = None
        self._divided: tuple[object, Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        """(N, I, S, S) to (N, O, S, S), S the ``map_size``."""
        weight = self._training_weight() if self.training else self.eval_weight()
        return F.conv2d(x, weight, self.bias, padding=weight.shape[-1] // 2)

    def train(self, mode: bool = True) -> Self:
        """Switch the mode; the switch to eval mode takes sigma to convergence."""
        super().train(mode)
        if not mode:
            self.certify()
        return self

    def certify(self) -> None:
        """Take sigma to convergence, unless it already is that of the weight."""
        if self._sigma_version == self.weight._version:
            return
        with torch.no_grad():
            if self.weight.shape[-1] == 1:
                self.sigma.copy_(matrix_norm(self.weight))
            else:
                self.v.copy_(converged_vector(self.weight, self.v))
                self.sigma.copy_(convolved_norm(self.weight, self.v))
        self._sigma_version = self.weight._version

    def eval_weight(self) -> Tensor:
        """The divided weight of eval mode, computed once per weight, type and device."""
        self.certify()
        key = (self.weight._version, self.weight.dtype, self.weight.device)
        if self._divided is None or self._divided[0] != key:
            # A tensor made in inference mode could not take part in gradients to the image later.
            with torch.inference_mode(False), torch.no_grad():
                self._divided = key, self._divide(self.sigma)
        return self._divided[1]

    def _training_weight(self) -> Tensor:
        self.v.copy_(power_iterate(self.weight.detach(), self.v, self.power_iterations))
        self._forget_sigma()
        # The next call changes v in place, perhaps before this call's gradients are taken.
        return self._divide(convolved_norm(self.weight, self.v.clone()))

    def _divide(self, sigma: Tensor) -> Tensor:
        return self.weight / (sigma / self.lipschitz).clamp(min=1)

    def _forget_sigma(self) -> None:
        self.sigma.fill_(torch.nan)
        self._sigma_version = self._divided = None

    def _save_to_state_dict(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        if self._sigma_version != self.weight._version:
            self._forget_sigma()
        super()._save_to_state_dict(*args, **kwargs)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        self._forget_sigma()
        super()._load_from_state_dict(*args, **kwargs)
        self._sigma_version = None if self.sigma.isnan() else self.weight._version
