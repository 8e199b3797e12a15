"""A network that has learned nothing, built like the one that has."""

import copy

import torch
from torch import Tensor, nn

from leigh_mlops.explanations.evaluation import evaluating
from leigh_mlops.models.invertible import ActNorm
from leigh_mlops.models.invertible.lipschitz import LipschitzConv2d

__all__ = ["randomised"]


def randomised(model: nn.Module, images: Tensor, seed: int = 0) -> nn.Module:
    """A copy of which every tensor of weights has its entries in random order (after Adebayo et al. 2018, section 3).

    Theirs are drawn anew, all layers at once; entries in another order keep each tensor's
    distribution, so that no layer falls silent for its scale alone. Normalising layers measure their
    statistics on the images. An invertible network becomes a plain one: its weights, divided by their
    certified norms, are shuffled as they are, and nothing is proved of the result.

    Args:
        model: A classifier in eval mode.
        images: On which normalising layers measure, scaled, shape (N, C, H, W).
        seed: Of the order.

    Returns:
        In eval mode, on the device of ``model``.
    """
    twin = copy.deepcopy(model)
    _replace_bounded(twin)
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
                layer.initialised.fill_(False)
                layer.training = True
        twin(images)
    return twin.eval()


def _replace_bounded(module: nn.Module) -> None:
    """Plain convolutions for those whose norm would have to be proved again, which takes long."""
    for name, part in module.named_children():
        if isinstance(part, LipschitzConv2d):
            weight = part.eval_weight()
            side = weight.shape[-1]
            plain = nn.Conv2d(part.in_channels, part.out_channels, side, padding=side // 2).to(weight)
            plain.load_state_dict({"weight": weight, "bias": part.bias})
            setattr(module, name, plain)
        else:
            _replace_bounded(part)
