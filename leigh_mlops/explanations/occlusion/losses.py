"""Loss of a logit when parts of its image are covered."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from leigh_mlops.explanations.occlusion.patched_tensor import PatchedMaps
from leigh_mlops.explanations.occlusion.receptive_field import Span

__all__ = ["Cover", "cover_boxes", "logit_losses", "group_neighbours"]

_PIXELS_PER_PASS = {"cpu": 32 * 224**2, "cuda": 256 * 224**2}
"""Pixels of the images in one pass: small enough for a CPU's caches, large enough to keep a GPU busy."""


@dataclass(frozen=True)
class Cover:
    """Values that replace a part of an image.

    Attributes:
        value: In scaled units, one per channel, shape (C, 1, 1).
        channels: Mask of the covered channels, bool, shape (C, 1, 1).
    """

    value: Tensor
    channels: Tensor


def cover_boxes(image: Tensor, boxes: Tensor, cover: Cover) -> PatchedMaps:
    """Make B variants of an image, each with one box covered.

    Args:
        image: Scaled, shape (1, C, H, W).
        boxes: (top, left, bottom, right) in pixels, ends excluded, int64, on the CPU, shape (B, 4).
        cover: Replacement values.
    """
    rows, columns = (Span(boxes[:, axis], boxes[:, axis + 2], image.shape[2 + axis]) for axis in range(2))
    corners = torch.stack([rows.start, columns.start], dim=1).tolist()
    under = torch.stack([image[0, :, top : top + rows.size, left : left + columns.size] for top, left in corners])
    # Patches are as large as the largest box; around a smaller one the image stays as it is.
    down, right = (_touched_mask(span).to(image.device) for span in (rows, columns))
    hidden = cover.channels & down[:, None, :, None] & right[:, None, None, :]
    # A network may change its input in place, and the next pass needs the image again.
    return PatchedMaps.from_patches(image.clone(), torch.where(hidden, cover.value, under), rows, columns)


def logit_losses(model: Callable[[Tensor], Tensor], image: Tensor, target: int, cover: Cover, boxes: Tensor) -> Tensor:
    """Decrease of the target's logit when each box is covered.

    Args:
        model: From images (N, C, H, W) to logits (N, K), each image by itself.
        image: Scaled, on the model's device, shape (1, C, H, W).
        target: Class whose logit is measured.
        cover: Replacement values.
        boxes: As for `cover_boxes`.

    Returns:
        float64, on the CPU, shape (B,).
    """
    image = image.contiguous(memory_format=torch.channels_last)
    found = torch.zeros(len(boxes), dtype=torch.float64)
    pixels = _PIXELS_PER_PASS.get(image.device.type, _PIXELS_PER_PASS["cpu"])
    most = max(1, pixels // (image.shape[2] * image.shape[3]))
    whole = model(image.clone())[0, target].double()
    for chosen in group_neighbours(boxes, most):
        logits = model(cover_boxes(image, boxes[chosen], cover))[:, target].double()
        found[chosen] = (whole - logits).cpu()
    return found


def _touched_mask(span: Span) -> Tensor:
    """Mask of the pixels of each patch that are touched, bool, shape (B, size)."""
    index = span.start[:, None] + torch.arange(span.size)
    return (index >= span.low[:, None]) & (index < span.high[:, None])


def group_neighbours(boxes: Tensor, most: int, among: Tensor | None = None) -> Iterator[Tensor]:
    """Group boxes that are about as far from an edge, so that patches that it cuts are small.

    Args:
        boxes: Shape (B, 4).
        most: Largest number of boxes in a group.
        among: Indices of the boxes to be grouped; by default all of them.

    Yields:
        Indices of at most so many boxes; each box is in one group.
    """
    among = torch.arange(len(boxes)) if among is None else among
    if len(among) <= most:
        yield among
        return
    # Patches at opposite edges are cut alike, so that distances count from the nearer edge.
    edges = torch.minimum(boxes[:, :2], boxes[:, 2:].amax(dim=0) - boxes[:, 2:])[among]
    longer = int((edges.amax(dim=0) - edges.amin(dim=0)).argmax())
    ordered = among[edges[:, longer].argsort(stable=True)]
    half = -(-len(among) // (2 * most)) * most
    yield from group_neighbours(boxes, most, ordered[:half])
    yield from group_neighbours(boxes, most, ordered[half:])
