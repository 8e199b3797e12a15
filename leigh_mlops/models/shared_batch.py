"""Layers that depend on a whole batch, of which each of several processes holds a portion.

PyTorch's SyncBatchNorm does this for BatchNorm on GPUs alone, and is another class, which plates can't adapt. Here the
layers stay what they are: within a context they measure all portions, and draw noise for the whole batch.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from leigh_mlops.images import Portion
from leigh_mlops.models.autoencoder import Autoencoder
from leigh_mlops.models.invertible import ActNorm
from leigh_mlops.models.iresnet import InvertibleResNet

__all__ = ["shared_batch", "shared_moments"]

_DIMS = (0, 2, 3)


def shared_moments(maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Variance (biased) and mean of each channel over the maps of all processes, with gradients to the own maps.

    Args:
        maps: Feature maps of the own portion, shape (n, C, H, W), n above 0.

    Returns:
        Variance and mean in float32, shape (C,), and the number of values of a channel, shape ().
    """
    variance, mean = torch.var_mean(maps.float(), dim=_DIMS, correction=0)
    count = mean.new_full((1,), maps.numel() / len(mean))
    rows = mean.new_zeros(dist.get_world_size(), 2 * len(mean) + 1)
    own = torch.arange(len(rows), device=rows.device) == dist.get_rank()
    table = cast(Tensor, _Sum.apply(torch.where(own[:, None], torch.cat([variance, mean, count]), rows)))
    variances, means, counts = table[:, : len(mean)], table[:, len(mean) : -1], table[:, -1:]
    weights = counts / counts.sum()
    whole = (weights * means).sum(0)
    # Squares of differences and not differences of squares, which would cancel (Chan et al. 1983).
    return (weights * (variances + (means - whole).square())).sum(0), whole, counts.sum()


@contextmanager
def shared_batch(model: nn.Module, portion: Portion | None) -> Iterator[None]:
    """Let the layers of a network see the whole batch within the context; ``None`` for a batch that is not divided."""
    if portion is None:
        yield
        return
    changed: list[nn.Module] = []
    try:
        for module in model.modules():
            changed.append(module)
            if isinstance(module, nn.BatchNorm2d):
                module.forward = partial(_normalise, module)  # type: ignore[method-assign]
            elif isinstance(module, nn.Dropout):
                module.forward = partial(_drop, module, portion)  # type: ignore[method-assign]
            elif isinstance(module, ActNorm):
                module.measure = _measure_deviations  # type: ignore[method-assign]
            elif isinstance(module, Autoencoder | InvertibleResNet):
                draw = partial(_draw_noise, type(module).draw_noise, portion)
                module.draw_noise = draw  # type: ignore[method-assign]
            elif type(module).__name__ == "StochasticDepth":  # torchvision's, whose import takes seconds
                module.forward = partial(_drop_paths, module, portion)
        yield
    finally:
        for module in changed:
            for name in ("forward", "measure", "draw_noise"):
                module.__dict__.pop(name, None)


def _normalise(layer: nn.BatchNorm2d, maps: Tensor) -> Tensor:
    if not layer.training:
        return nn.BatchNorm2d.forward(layer, maps)
    return cast(Tensor, _SharedBatchNorm.apply(maps, layer.weight, layer.bias, layer))


def _drop(layer: nn.Dropout, portion: Portion, x: Tensor) -> Tensor:
    if not layer.training:
        return x
    factors = F.dropout(x.new_ones(portion.seen, *x.shape[1:]), layer.p)
    return x * torch.cat([factors[place] for place in portion.places])


def _drop_paths(layer: Any, portion: Portion, x: Tensor) -> Tensor:  # noqa: ANN401
    factors = type(layer).forward(layer, x.new_ones(portion.seen, *[1] * (x.ndim - 1)))
    return x * torch.cat([factors[place] for place in portion.places])


def _draw_noise(draw: Callable[[Tensor], Tensor], portion: Portion, x: Tensor) -> Tensor:
    is_last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
    order = torch.channels_last if is_last else torch.contiguous_format  # random numbers come in the order of memory
    noise = draw(torch.empty(portion.seen, *x.shape[1:], dtype=x.dtype, device=x.device, memory_format=order))
    return torch.cat([noise[place] for place in portion.places])


def _measure_deviations(x: Tensor) -> tuple[Tensor, Tensor]:
    variance, mean, _ = shared_moments(x)
    return variance.sqrt(), mean


class _Sum(torch.autograd.Function):
    """Sum of a tensor over all processes; the gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:  # noqa: ANN401
        return _sum_over_processes(values.clone())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ANN401
        return _sum_over_processes(gradient.clone())


class _SharedBatchNorm(torch.autograd.Function):
    """Batch normalisation of the portions of all processes (Ioffe and Szegedy 2015, algorithm 1)."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor, weight: Tensor, bias: Tensor, layer: nn.BatchNorm2d) -> Tensor:  # noqa: ANN401
        variance, mean, count = shared_moments(maps)
        if layer.running_mean is not None and layer.running_var is not None and layer.num_batches_tracked is not None:
            momentum = layer.momentum or 0.0
            layer.running_mean.lerp_(mean, momentum)
            layer.running_var.lerp_(variance * (count / (count - 1)), momentum)
            layer.num_batches_tracked += 1
        ctx.save_for_backward(maps, weight, mean, torch.rsqrt(variance + layer.eps), count)
        return F.batch_norm(maps, mean, variance, weight, bias, eps=layer.eps)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        maps, weight, mean, scale, count = ctx.saved_tensors
        normal = (maps.float() - _per_channel(mean)) * _per_channel(scale)
        received = gradient.float()
        to_bias, to_weight = received.sum(_DIMS), (received * normal).sum(_DIMS)
        means = _sum_over_processes(torch.stack([to_bias, to_weight])) / count
        to_maps = received - _per_channel(means[0]) - normal * _per_channel(means[1])
        to_maps = (to_maps * _per_channel(scale * weight)).to(maps.dtype)
        return to_maps, to_weight.to(weight.dtype), to_bias.to(weight.dtype), None


def _per_channel(values: Tensor) -> Tensor:
    return values[:, None, None]


def _sum_over_processes(values: Tensor) -> Tensor:
    dist.all_reduce(values)
    return values
