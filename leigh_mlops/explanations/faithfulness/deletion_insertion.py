"""Deletion and insertion: a test of whether a map's top places are those that the classifier uses."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from leigh_mlops.explanations.eval_mode import evaluating

__all__ = [
    "TILES_PER_SIDE",
    "CurveAreas",
    "deletion_insertion_areas",
    "edge_strength",
    "random_tile_scores",
    "tile_means",
]

TILES_PER_SIDE = 28
"""Tiles along a side of an image, where it has as many pixels."""

_STEPS = 10
_IMAGES_PER_PASS = 32


class CurveAreas(NamedTuple):
    """Areas under both curves, probabilities of the target, 0 to 1.

    Attributes:
        deletion: While the top places are removed first; small is good, shape (N,).
        insertion: While the top places are added first; large is good, shape (N,).
    """

    deletion: Tensor
    insertion: Tensor


def deletion_insertion_areas(
    model: nn.Module,
    images: Tensor,
    target: Tensor,
    scores: Tensor,
    *,
    fill: Tensor | None = None,
    channel: int | None = None,
) -> CurveAreas:
    """Areas under the curves of deletion and insertion (Petsiuk et al. 2018, section 3.3).

    Our deviations: pixels are removed by tiles, ranked by the map's mean over each, since single
    changed pixels are a pattern of their own, to which a network reacts more than to what is
    missing; ten steps instead of one for each row; and in both curves removed pixels have the
    mean of the training fields (scaled 0), since black is no absence where a class is dim.

    Args:
        model: A classifier.
        images: Scaled, on the model's device, shape (N, C, H, W).
        target: Class whose probability is measured, shape (N,).
        scores: Scores by which tiles are ranked, shape (N, h, w), see `tile_means`.
        fill: Values of removed pixels, shape (N, C, H, W); None for 0.
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
    return CurveAreas(*(torch.trapezoid(curve, dx=1 / _STEPS, dim=0) for curve in (down, up)))


def tile_means(maps: Tensor) -> Tensor:
    """Mean of each tile, shape (N, h, w), of maps (N, H, W)."""
    height, width = maps.shape[-2:]
    return F.adaptive_avg_pool2d(maps[:, None], (min(TILES_PER_SIDE, height), min(TILES_PER_SIDE, width)))[:, 0]


def edge_strength(images: Tensor) -> Tensor:
    """Strength of the edges (Sobel) of all channels together, shape (N, H, W): a baseline that ignores the network."""
    grey = F.pad(images.mean(dim=1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    across = torch.tensor([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]]).to(images)
    return F.conv2d(grey, torch.stack([across, across.T])[:, None]).square().sum(dim=1).sqrt()


def random_tile_scores(images: Tensor, seed: int) -> Tensor:
    """Random score for each tile, shape (N, h, w)."""
    height, width = images.shape[-2:]
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(len(images), min(TILES_PER_SIDE, height), min(TILES_PER_SIDE, width), generator=generator).to(
        images.device
    )


def _probabilities(model: nn.Module, images: Tensor, target: Tensor) -> Tensor:
    with evaluating(model):
        parts = [model(part).double().softmax(dim=1) for part in torch.split(images, _IMAGES_PER_PASS)]
    return torch.cat(parts).gather(1, target[:, None])[:, 0]
