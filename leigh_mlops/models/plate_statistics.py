"""Adaptation of a network to a plate: its BatchNorms normalise by the statistics of the plate's negative controls.

After the idea of CS-ARM-BN (arXiv 2604.20824): a network that is trained in episodes of one plate each, and takes the
statistics of its BatchNorms from the plate, learns what does not depend on the plate; controls, which every plate has,
keep them from following the classes of the batch. Here the controls alone give the statistics and the batch none. So
a prediction depends on nothing but its field and the controls of its plate, in whatever batch it is made, and a plate
that is nearly of one class is no special case.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from leigh_mlops.models.contract import Network
from leigh_mlops.models.precision import full_float32
from leigh_mlops.models.shared_batch import shared_moments

__all__ = ["PlateStatistics", "control_statistics", "measure_statistics", "plate_statistics"]

PlateStatistics = Mapping[str, Tensor]
"""Mean and biased variance of the input of each BatchNorm, each of shape (channels,), by the names of its buffers."""

_MEAN, _VARIANCE = ".running_mean", ".running_var"


def measure_statistics(model: Network, controls: Tensor) -> dict[str, Tensor]:
    """Statistics of each BatchNorm for some fields, in eval mode; each layer sees what the ones before it normalised.

    Args:
        model: The network, which is not changed.
        controls: Fields of negative controls of one plate in network units, shape (n, C, S, S).
    """
    found: dict[str, Tensor] = {}

    def normalise(name: str, layer: nn.BatchNorm2d, maps: Tensor) -> Tensor:
        variance, mean = torch.var_mean(maps, dim=(0, 2, 3), correction=0)
        found[name + _MEAN], found[name + _VARIANCE] = mean, variance
        return F.batch_norm(maps, mean, variance, layer.weight, layer.bias, False, 0.0, layer.eps)

    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad(), full_float32(), _replaced_norms(model, normalise):
            model.encode(controls.to(next(model.parameters()).device))
    finally:
        for module, mode in modes.items():
            module.training = mode
    return found


@contextmanager
def plate_statistics(model: Network, statistics: PlateStatistics | None) -> Iterator[None]:
    """Let a network use the statistics of a plate within the context; ``None`` leaves those of its training."""
    if statistics is None:
        yield
        return
    layers = _norms(model)
    before = {name: (layer.running_mean, layer.running_var) for name, layer in layers.items()}
    device = next(model.parameters()).device
    try:
        for name, layer in layers.items():
            layer.running_mean = statistics[name + _MEAN].to(device)
            layer.running_var = statistics[name + _VARIANCE].to(device)
        yield
    finally:
        for name, layer in layers.items():
            layer.running_mean, layer.running_var = before[name]


@contextmanager
def control_statistics(model: Network, controls: int, *, is_shared: bool = False) -> Iterator[None]:
    """Normalise batches by the statistics of their first fields within the context; gradients flow through them.

    The running statistics follow those of the controls, so that a network that is used without a plate's statistics
    has those of an average one.

    Args:
        model: The network.
        controls: Number of fields at the beginning of a batch that are controls of its plate.
        is_shared: Whether other processes hold further controls of the same batch, which count as well.
    """

    def normalise(_: str, layer: nn.BatchNorm2d, maps: Tensor) -> Tensor:
        known = maps[:controls].float()
        variance, mean = shared_moments(known)[:2] if is_shared else torch.var_mean(known, dim=(0, 2, 3), correction=0)
        with torch.no_grad():
            momentum = layer.momentum or 0.1
            for kept, new in ((layer.running_mean, mean), (layer.running_var, variance)):
                if kept is not None:
                    kept.lerp_(new.detach().to(kept.dtype), momentum)
        factor = layer.weight * torch.rsqrt(variance + layer.eps)
        offset = layer.bias - mean * factor
        return maps * factor[:, None, None].to(maps.dtype) + offset[:, None, None].to(maps.dtype)

    with _replaced_norms(model, normalise):
        yield


def _norms(model: nn.Module) -> dict[str, nn.BatchNorm2d]:
    return {name: module for name, module in model.named_modules() if isinstance(module, nn.BatchNorm2d)}


@contextmanager
def _replaced_norms(model: Network, normalise: Callable[[str, nn.BatchNorm2d, Tensor], Tensor]) -> Iterator[None]:
    layers = _norms(model)

    def replace(name: str, layer: nn.BatchNorm2d) -> Callable[[Tensor], Tensor]:
        return lambda maps: normalise(name, layer, maps)

    try:
        for name, layer in layers.items():
            layer.forward = replace(name, layer)  # type: ignore[method-assign,assignment]
        yield
    finally:
        for layer in layers.values():
            layer.__dict__.pop("forward", None)
