"""A convolution with a bounded Lipschitz constant."""

from typing import Any, Self, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from leigh_mlops.models.invertible.operator_norm import (
    certified_norm,
    convolved_norm,
    power_iterate,
    unit_vector,
)
from leigh_mlops.models.precision import full_float32

__all__ = ["LipschitzConv2d"]

_FIRST_ITERATIONS = 10


class LipschitzConv2d(nn.Conv2d):
    """Zero-padded convolution with the weight W / max(1, sigma / c) (Behrmann et al. 2019, section 2.1).

    Sigma is the norm of the convolution as an operator on feature maps of
    ``map_size``. In training it is estimated, from below, by power iteration that
    is warm-started from the last step, and gradients flow through it. The
    iteration shares the convolution of the batch: v is convolved together with the images,
    and the backward pass, which transposes the convolution anyway, gives the next
    v. In eval mode sigma is a certified bound (:func:`certified_norm`), and the
    weight is divided once; parameters get no gradients then. Sigma is part of the
    state, so that a loaded network computes what the saved one did; it is NaN
    while it is out of date. Changes through ``weight.data`` are not
    detected: change the weight itself, under ``no_grad``.

    Args:
        in_channels: Channels in, I.
        out_channels: Channels out, O.
        kernel_size: Side of the kernel, odd.
        map_size: Side of the feature maps in pixels.
        lipschitz: The bound c, above 0.
        power_iterations: Steps per backward pass in training, or per forward pass
            where ``twice_differentiable``.
        twice_differentiable: Write the training step in operations that can be
            differentiated twice. The power iteration then has convolutions of its own.
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
        twice_differentiable: bool = False,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, padding=kernel_size // 2)
        self.map_size, self.lipschitz, self.power_iterations = map_size, lipschitz, power_iterations
        self.twice_differentiable = twice_differentiable
        start = torch.randn(1, in_channels, *[1 if kernel_size == 1 else map_size] * 2)
        self.register_buffer("v", unit_vector(start, start))
        self.register_buffer("sigma", torch.tensor(torch.nan))
        self._warm = False
        self._sigma_version: int | None = None
        self._divided: tuple[object, Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Convolve x (N, I, S, S) to (N, O, S, S), S the ``map_size``.

        Raises:
            ValueError: The maps have another size, for which nothing is bounded.
        """
        if x.shape[2:] != (self.map_size, self.map_size):
            raise ValueError(f"maps are {tuple(x.shape[2:])}; this convolution is bounded on {self.map_size} pixels")
        if not self.training:
            weight = self.eval_weight()
            return F.conv2d(x, weight, self.bias, padding=weight.shape[-1] // 2)
        self._prepare_step()
        if self.twice_differentiable:
            sigma = convolved_norm(self.weight, self.v.clone())
            return F.conv2d(x, self._divide(sigma), self.bias, padding=self.weight.shape[-1] // 2)
        bound = self.lipschitz, self.power_iterations
        return cast(Tensor, _TrainingStep.apply(x, self.weight, self.bias, self.v, *bound))

    def train(self, mode: bool = True) -> Self:
        """Switch the mode; the switch to eval mode certifies sigma."""
        super().train(mode)
        if not mode:
            self.certify()
        return self

    def certify(self) -> None:
        """Make sigma a certified bound, unless it is up to date."""
        if self._sigma_version == self.weight._version:
            return
        with torch.no_grad(), full_float32():
            # Otherwise a network that is saved before it was trained would be loaded as if v were warm.
            self._iterate_v(0 if self._warm else _FIRST_ITERATIONS)
            self.sigma.copy_(certified_norm(self.weight, self.map_size))
        self._sigma_version = self.weight._version

    def eval_weight(self) -> Tensor:
        """The divided weight of eval mode, computed once per weight, type and device."""
        self.certify()
        key = (self.weight._version, self.weight.dtype, self.weight.device)
        if self._divided is None or self._divided[0] != key:
            # A tensor made in inference mode could not take part in gradients to the image later.
            with torch.inference_mode(False), torch.no_grad():
                self._divided = key, self._divide(self._safe_sigma())
        return self._divided[1]

    def bound(self) -> float:
        """Certified bound on the norm of the divided weight, at most c; switch to eval mode first."""
        self.certify()
        divisor = (self._safe_sigma() / self.lipschitz).clamp(min=1)
        return float(self.sigma.double() / divisor.double())

    def _safe_sigma(self) -> Tensor:
        """Sigma, raised so that dividing by it in this precision leaves no more than c."""
        return self.sigma * (1 + 4 * torch.finfo(self.sigma.dtype).eps)

    @torch.no_grad()
    def _prepare_step(self) -> None:
        iterations = 0 if self._warm else _FIRST_ITERATIONS
        if self.twice_differentiable:
            iterations += self.power_iterations
        self._iterate_v(iterations)
        self._forget_sigma()

    def _iterate_v(self, iterations: int) -> None:
        if iterations:
            with torch.autocast(self.v.device.type, enabled=False):
                self.v.copy_(power_iterate(self.weight, self.v, iterations))
        self._warm = True

    def _divide(self, sigma: Tensor) -> Tensor:
        return self.weight / (sigma / self.lipschitz).clamp(min=1)

    def _forget_sigma(self) -> None:
        self.sigma.fill_(torch.nan)
        self._sigma_version = self._divided = None

    def __getstate__(self) -> dict[str, Any]:
        # Copies count the versions of their weights anew.
        valid = self._sigma_version == self.weight._version
        return self.__dict__ | {"_divided": None, "_sigma_version": 0 if valid else None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._sigma_version = None if self._sigma_version is None else self.weight._version

    def _save_to_state_dict(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        if self._sigma_version != self.weight._version:
            self._forget_sigma()
        super()._save_to_state_dict(*args, **kwargs)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        self._forget_sigma()
        super()._load_from_state_dict(*args, **kwargs)
        self._warm = True
        self._sigma_version = None if self.sigma.isnan() else self.weight._version


class _TrainingStep(torch.autograd.Function):
    """Convolve with W / max(1, sigma / c), sigma = |W v|, and update v in the backward pass.

    v is one more image of the batch, since its convolution is cheap compared with
    that of the images; in the backward pass u = W v / sigma takes the place
    of its gradient, and the result is W^T u, the next v. v does not change
    between a forward pass and its backward pass, so that a checkpointed block
    computes the same twice.
    """

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        v: Tensor,
        lipschitz: float,
        iterations: int,
    ) -> Tensor:
        ctx.types, ctx.v, ctx.lipschitz, ctx.iterations = (x.dtype, weight.dtype), v, lipschitz, iterations
        precision = (
            torch.get_autocast_dtype(x.device.type) if torch.is_autocast_enabled(x.device.type) else weight.dtype
        )
        weight, padding = weight.to(precision), weight.shape[-1] // 2
        with torch.autocast(x.device.type, enabled=False):
            ctx.memory_format = _memory_format(x)
            inputs = _join_vector(x.to(precision), v.to(precision), ctx.memory_format)
            y, convolved = _split_vector([F.conv2d(each, weight, padding=padding) for each in inputs])
            convolved = convolved.to(v.dtype)
            scale = (torch.linalg.vector_norm(convolved) / lipschitz).clamp(min=1)
            out = torch.addcmul(bias.to(precision).view(-1, 1, 1), y, (1 / scale).to(precision))
        ctx.save_for_backward(weight, bias, scale, unit_vector(convolved, convolved), out, *inputs)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        weight, bias, scale, u, out, *inputs = ctx.saved_tensors
        image_type, weight_type = ctx.types
        to_bias = gradient.sum(dim=(0, 2, 3), dtype=weight_type)
        # Without its bias, out is linear in 1 / scale; and sigma = <u, W v>, hence u v^T with this factor.
        to_scale = ((to_bias * bias).sum() - (gradient * out).sum(dtype=weight_type)) / scale
        to_sigma = torch.where(scale > 1, to_scale / ctx.lipschitz, torch.zeros_like(scale))
        divided = gradient / scale.to(gradient.dtype)
        backs = _join_vector(divided, u.to(weight.dtype), ctx.memory_format)
        to_images, to_v = _split_vector(
            [_gradients(each, weight, back, 0) for each, back in zip(inputs, backs, strict=True)]
        )
        backs = _join_vector(divided, (to_sigma * u).to(weight.dtype), ctx.memory_format)
        parts = [_gradients(each, weight, back, 1) for each, back in zip(inputs, backs, strict=True)]
        to_weight = torch.stack(parts).sum(dim=0, dtype=weight_type) if len(parts) > 1 else parts[0].to(weight_type)
        v = unit_vector(to_v.to(ctx.v.dtype), otherwise=ctx.v).contiguous()
        ctx.v.copy_(power_iterate(weight.to(ctx.v.dtype), v, ctx.iterations - 1))
        return to_images.to(image_type), to_weight, to_bias, None, None, None


def _memory_format(x: Tensor) -> torch.memory_format:
    is_last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
    return torch.channels_last if is_last else torch.contiguous_format


def _join_vector(images: Tensor, v: Tensor, memory_format: torch.memory_format) -> list[Tensor]:
    """Concatenate images and v for one convolution, unless v is the single pixel of a 1x1 kernel."""
    if images.shape[2:] != v.shape[2:]:
        # A backward pass updates v, and a second one may still need this one.
        return [images, v.clone()]
    # Memory formats that differ would cost a conversion of the whole batch.
    return [torch.cat([each.contiguous(memory_format=memory_format) for each in (images, v)])]


def _split_vector(results: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Split results into those of the images and of v."""
    return (results[0][:-1], results[0][-1:]) if len(results) == 1 else (results[0], results[1])


def _gradients(x: Tensor, weight: Tensor, back: Tensor, which: int) -> Tensor:
    """Gradient of a zero-padded convolution to its input (``which`` 0) or its kernel (1)."""
    padding, needs_gradient = [weight.shape[-1] // 2] * 2, [which == 0, which == 1, False]
    gradients = torch.ops.aten.convolution_backward(
        back, x, weight, None, [1, 1], padding, [1, 1], False, [0, 0], 1, needs_gradient
    )
    return cast(Tensor, gradients[which])
