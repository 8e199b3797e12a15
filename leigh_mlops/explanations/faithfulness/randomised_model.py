"""Randomisation of a network's weights, for checks of maps."""

import copy

import torch
from torch import Tensor, nn

from leigh_mlops.explanations.eval_mode import evaluating
from leigh_mlops.models.invertible import ActNorm
from leigh_mlops.models.invertible.lipschitz import LipschitzConv2d

__all__ = ["randomise_weights"]


def randomise_weights(model: nn.Module, images: Tensor, seed: int = 0) -> nn.Module:
    """Copy a network and shuffle the entries of every weight tensor (after Adebayo et al. 2018, section 3).

    They draw new weights, all layers at once; shuffled entries keep each tensor's distribution,
    so that no layer vanishes for its scale alone. Normalising layers measure their statistics
    on the images. An invertible network becomes a plain one: its weights, divided by their
    certified norms, are shuffled as they are, and the result has no certificate.

    Args:
        model: A classifier in eval mode.
        images: Images on which normalising layers measure, scaled, shape (N, C, H, W).
        seed: Seed of the order.

    Returns:
        The copy in eval mode, on the device of ``model``.
    """
    twin = copy.deepcopy(model)
    _replace_lipschitz_convolutions(twin)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weights in twin.parameters():
            order = torch.randperm(weights.numel(), generator=generator).to(weights.device)
            weights.copy_(weights.flatten()[order].view_as(weights))
    with evaluating(twin):
        for layer in twin.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.reset_running_stats()
                layer.momentum = None  # the mean over all batches, here of one
                layer.training = True
            elif isinstance(layer, ActNorm):
                layer.reset()
                layer.training = True
        twin(images)
    return twin.eval()


def _replace_lipschitz_convolutions(module: nn.Module) -> None:
    """Replace convolutions whose norm would have to be certified again, which is slow, by plain ones."""
    for name, part in module.named_children():
        if isinstance(part, LipschitzConv2d):
            weight = part.eval_weight()
            side = weight.shape[-1]
            plain = nn.Conv2d(part.in_channels, part.out_channels, side, padding=side // 2).to(weight)
            plain.load_state_dict({"weight": weight, "bias": part.bias})
            setattr(module, name, plain)
        else:
            _replace_lipschitz_convolutions(part)
