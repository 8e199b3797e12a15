"""Losses of covered windows that are exact in the first layers of a network and linear in the others."""

import torch
from torch import Tensor, fx

from leigh_mlops.explanations.occlusion.incremental_network import IncrementalNetwork
from leigh_mlops.explanations.occlusion.losses import Cover, cover_boxes, group_neighbours
from leigh_mlops.explanations.occlusion.patched_tensor import PatchedMaps

__all__ = ["linear_losses"]

_MAX_SHARE = 0.25
"""Largest share of a map, of an average window, up to which layers are exact: later ones take most of the time."""
_WINDOWS_AT_ONCE = 96


def linear_losses(
    network: IncrementalNetwork, image: Tensor, target: int, cover: Cover, boxes: Tensor
) -> Tensor | None:
    """Estimate the decrease of the target's logit when each box is covered.

    The first layers compute what the box changes in their maps; times the gradient of the logit with respect to the
    last of them, this is the change of the logit to first order.

    Args:
        network: That of the image.
        image: Scaled, shape (1, C, H, W).
        target: Class whose logit is watched.
        cover: Replacement values.
        boxes: As for `cover_boxes`, shape (B, 4).

    Returns:
        float64, on the CPU, shape (B,); ``None`` where no layer of the network is local.
    """
    image = image.contiguous(memory_format=torch.channels_last)
    middle = (boxes[:, :2] + boxes[:, 2:] - torch.tensor(image.shape[2:])).square().sum(dim=1).argmin()
    step = _find_step(network, cover_boxes(image, boxes[middle][None], cover))
    if step is None:
        return None
    clean, gradient = network.linearise(target, step)
    found = torch.zeros(len(boxes), dtype=torch.float64)
    first_layers = network.first_part(step)
    for chosen in group_neighbours(boxes, _WINDOWS_AT_ONCE):
        maps = first_layers(cover_boxes(image, boxes[chosen], cover))
        found[chosen] = _linear_change(maps, clean, gradient).cpu()
    return found


def _find_step(network: IncrementalNetwork, variant: PatchedMaps) -> fx.Node | None:
    """Return the last bottleneck where the patch of a variant is at most a quarter of the map."""
    network(variant)
    local = [step for step in network.bottlenecks() if network.shares[step] <= _MAX_SHARE]
    return local[-1] if local else None


def _linear_change(maps: Tensor, clean: Tensor, gradient: Tensor) -> Tensor:
    """Product of the gradient (1, C, H, W) and of what variants lack of the clean map; float64, shape (B,)."""
    if not isinstance(maps, PatchedMaps):
        return ((clean - maps) * gradient).sum(dim=(1, 2, 3)).double()
    height, width = maps.patches.shape[2:]
    corners = zip(maps.rows.start.tolist(), maps.columns.start.tolist(), strict=True)
    places = [(0, slice(None), slice(top, top + height), slice(left, left + width)) for top, left in corners]
    lost = torch.stack([clean[place] for place in places]) - maps.patches
    return (lost * torch.stack([gradient[place] for place in places])).sum(dim=(1, 2, 3)).double()
