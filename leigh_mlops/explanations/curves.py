"""Deletion and insertion: whether a map's best places are those that the classifier uses."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from leigh_mlops.explanations.evaluation import evaluating

__all__ = ["TILES", "Areas", "areas", "edges", "random_orders", "tiled"]

TILES = 28
"""Tiles along a side of an image, where it has as many pixels."""

_STEPS = 10
_IMAGES_PER_PASS = 32


class Areas(NamedTuple):
    """Areas under both curves, probabilities of the target, 0 to 1.

    Attributes:
        deletion: While the best places go first; small is good, shape (N,).
        insertion: While the best places come first; large is good, shape (N,).
    """

    deletion: Tensor
    insertion: Tensor


def areas(
    model: nn.Module,
    images: Tensor,
    target: Tensor,
    scores: Tensor,
    *,
    fill: Tensor | None = None,
    channel: int | None = None,
) -> Areas:
    """Areas under the curves of deletion and insertion (Petsiuk et al. 2018, section 3.3).

    Our deviations: tiles of pixels go together, and a map is judged by its mean over each, since
    single pixels of another value are a pattern of their own, to which a network answers more than to
    what is gone; ten steps instead of one for each row; and in both curves what is gone has the
    mean of the training fields (scaled 0), since black is no absence where a class is dim.

    Args:
        model: A classifier.
        images: Scaled, on the model's device, shape (N, C, H, W).
        target: Class whose probability is watched, shape (N,).
        scores: By which tiles are ranked, shape (N, h, w), see `tiled`.
        fill: What stands where something is gone, shape (N, C, H, W); None for 0.
        channel: The only channel that changes; None for all.
    """
    n, (height, width) = len(images), images.shape[-2:]
    ranks = scores.flatten(1).argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    share = ((ranks + 0.5) / ranks.shape[1]).view_as(scores).to(images)
    place = F.interpolate(share[:, None], (height, width), mode="nearest")
    gone = torch.zeros_like(images) if fill is None else fill
    moved = torch.zeros(1, images.shape[1], 1, 1, dtype=torch.bool, device=images.device)
    moved[:, slice(None) if channel is None else channel] = True
    deleted = [torch.where(moved & (place < step / _STEPS), gone, images) for step in range(_STEPS + 1)]
    inserted = [torch.where(moved & (place >= step / _STEPS), gone, images) for step in range(1, _STEPS)]
    goals = target.repeat(len(deleted) + len(inserted))
    curves = _probabilities(model, torch.cat(deleted + inserted), goals).view(-1, n)
    down, up = curves[: len(deleted)], torch.cat([curves[_STEPS : _STEPS + 1], curves[len(deleted) :], curves[:1]])
    return Areas(*(torch.trapezoid(curve, dx=1 / _STEPS, dim=0) for curve in (down, up)))


def tiled(maps: Tensor) -> Tensor:
    """Mean of each tile, shape (N, h, w), of maps (N, H, W)."""
    height, width = maps.shape[-2:]
    return F.adaptive_avg_pool2d(maps[:, None], (min(TILES, height), min(TILES, width)))[:, 0]


def edges(images: Tensor) -> Tensor:
    """Strength of the edges (Sobel) of all channels together, shape (N, H, W): a map that knows no network."""
    grey = F.pad(images.mean(dim=1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    across = torch.tensor([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]]).to(images)
    return F.conv2d(grey, torch.stack([across, across.T])[:, None]).square().sum(dim=1).sqrt()


def random_orders(images: Tensor, seed: int) -> Tensor:
    """A score for each tile that says nothing, shape (N, h, w)."""
    height, width = images.shape[-2:]
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(len(images), min(TILES, height), min(TILES, width), generator=generator).to(images.device)


def _probabilities(model: nn.Module, images: Tensor, target: Tensor) -> Tensor:
    with evaluating(model):
        parts = [model(part).double().softmax(dim=1) for part in torch.split(images, _IMAGES_PER_PASS)]
    return torch.cat(parts).gather(1, target[:, None])[:, 0]
