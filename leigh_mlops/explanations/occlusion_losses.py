"""What a logit loses when parts of its image are covered."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from leigh_mlops.explanations.occlusion_patches import PatchedMaps
from leigh_mlops.explanations.occlusion_spans import Span

__all__ = ["Cover", "covered", "losses", "neighbours"]

_PIXELS_PER_PASS = {"cpu": 32 * 224**2, "cuda": 256 * 224**2}
"""Of the images in one pass: small enough for a CPU's caches, large enough to keep a GPU busy."""


@dataclass(frozen=True)
class Cover:
    """What is put in the place of a part of an image.

    Attributes:
        value: In scaled units, one per channel, shape (C, 1, 1).
        channels: Which channels are covered, bool, shape (C, 1, 1).
    """

    value: Tensor
    channels: Tensor


def covered(image: Tensor, boxes: Tensor, cover: Cover) -> PatchedMaps:
    """B variants of an image, each with one box covered.

    Args:
        image: Scaled, shape (1, C, H, W).
        boxes: (top, left, bottom, right) in pixels, ends excluded, int64, on the CPU, shape (B, 4).
        cover: What stands there instead.
    """
    rows, columns = (Span(boxes[:, axis], boxes[:, axis + 2], image.shape[2 + axis]) for axis in range(2))
    corners = torch.stack([rows.start, columns.start], dim=1).tolist()
    under = torch.stack([image[0, :, top : top + rows.size, left : left + columns.size] for top, left in corners])
    # Patches are as large as the largest box; around a smaller one the image stays as it is.
    down, right = (_inside(span).to(image.device) for span in (rows, columns))
    hidden = cover.channels & down[:, None, :, None] & right[:, None, None, :]
    # A network may change its input in place, and the next pass needs the image again.
    return PatchedMaps.of(image.clone(), torch.where(hidden, cover.value, under), rows, columns)


def losses(model: Callable[[Tensor], Tensor], image: Tensor, target: int, cover: Cover, boxes: Tensor) -> Tensor:
    """How much the target's logit falls when each box is covered.

    Args:
        model: From images (N, C, H, W) to logits (N, K), each image by itself.
        image: Scaled, on the model's device, shape (1, C, H, W).
        target: Class whose logit is watched.
        cover: What stands in the place of a box.
        boxes: As for `covered`.

    Returns:
        float64, on the CPU, shape (B,).
    """
    image = image.contiguous(memory_format=torch.channels_last)
    found = torch.zeros(len(boxes), dtype=torch.float64)
    pixels = _PIXELS_PER_PASS.get(image.device.type, _PIXELS_PER_PASS["cpu"])
    most = max(1, pixels // (image.shape[2] * image.shape[3]))
    whole = model(image.clone())[0, target].double()
    for chosen in neighbours(boxes, most):
        logits = model(covered(image, boxes[chosen], cover))[:, target].double()
        found[chosen] = (whole - logits).cpu()
    return found


def _inside(span: Span) -> Tensor:
    """Which pixels of each patch are touched, bool, shape (B, size)."""
    index = span.start[:, None] + torch.arange(span.size)
    return (index >= span.low[:, None]) & (index < span.high[:, None])


def neighbours(boxes: Tensor, most: int, among: Tensor | None = None) -> Iterator[Tensor]:
    """Boxes that lie near each other, so that at the image's edges patches are small.

    Args:
        boxes: Shape (B, 4).
        most: Boxes in a part.
        among: Indices of those to be parted; by default all of them.

    Yields:
        Indices of at most so many boxes; each box stands in one part.
    """
    among = torch.arange(len(boxes)) if among is None else among
    if len(among) <= most:
        yield among
        return
    corners = boxes[among, :2]
    longer = int((corners.amax(dim=0) - corners.amin(dim=0)).argmax())
    ordered = among[corners[:, longer].argsort(stable=True)]
    half = -(-len(among) // (2 * most)) * most
    yield from neighbours(boxes, most, ordered[:half])
    yield from neighbours(boxes, most, ordered[half:])
