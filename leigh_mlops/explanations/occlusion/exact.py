"""Occlusion maps: the loss of a classifier's logit when a window is covered."""

import math
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from leigh_mlops.errors import LeighError
from leigh_mlops.explanations.capabilities import require_capabilities
from leigh_mlops.explanations.eval_mode import evaluating
from leigh_mlops.explanations.occlusion.adaptive import MIN_BUDGET, RefinedLosses, correct_estimates, refine
from leigh_mlops.explanations.occlusion.incremental_network import Classifier, IncrementalNetwork, variant_network
from leigh_mlops.explanations.occlusion.linear_tail import linear_losses
from leigh_mlops.explanations.occlusion.losses import Cover, logit_losses
from leigh_mlops.explanations.occlusion.windows import WindowGrid

__all__ = ["CoarseMap", "occlusion", "occlusion_with_budget"]


class CoarseMap(NamedTuple):
    """Occlusion maps estimated within a budget.

    Attributes:
        map: Loss of the logit, shape (N, H, W): positive supports the target.
        evaluations: Number of covered images evaluated for each map, int64, shape (N,).
        agreement: Rank correlation (Spearman) of the estimates with the exact losses of held-out
            windows, -1 to 1, float64, shape (N,); 1 where the budget allowed all windows, NaN where
            either side is constant. Its standard error is about 1 / sqrt(budget / 5).
    """

    map: Tensor
    evaluations: Tensor
    agreement: Tensor


def occlusion(
    model: nn.Module,
    images: Tensor,
    target: Tensor,
    *,
    window: int = 15,
    stride: int = 6,
    baseline: float | Tensor = 0.0,
    channel: int | None = None,
) -> Tensor:
    """Map of how much each place supports the target (Zeiler & Fergus 2014, sec. 4.2).

    A square window is set to the baseline at every step, and the loss of the target's
    logit is written to the pixels of the window; a pixel under several windows has their mean.
    The last window of a row is cut at the edge. The network computes only what a window
    touches, as long as that is less than the whole map; the result is that of whole
    passes up to rounding.

    Args:
        model: A model that can classify, each image by itself.
        images: Scaled, on the model's device, shape (N, C, H, W).
        target: Class whose logit is measured, shape (N,).
        window: Side of the window in pixels, 1 to the image's side.
        stride: Step in pixels, 1 to ``window``, so that no pixel is left out.
        baseline: Value under the window in scaled units, a number or one per
            channel (C,), such as the scaled value of raw zero.
        channel: The only channel that is covered, 0 to C - 1; None covers all.

    Returns:
        Loss of the logit, in the images' type, shape (N, H, W): positive supports the target.

    Raises:
        LeighError: The model cannot classify, or window, stride or channel do not fit the images.
    """
    require_capabilities(model, ("classify",), "occlusion")
    grid = WindowGrid.for_image(images.shape[2], images.shape[3], window, stride)
    cover, boxes = _make_cover(images, baseline, channel), grid.boxes()
    with evaluating(model):
        variants = variant_network(model)
        found = [
            logit_losses(variants(image), image, int(label), cover, boxes)
            for image, label in zip(torch.split(images, 1), target, strict=True)
        ]
    return grid.to_maps(torch.stack(found)).to(images)


def occlusion_with_budget(
    model: nn.Module,
    images: Tensor,
    target: Tensor,
    *,
    budget: int,
    window: int = 15,
    stride: int = 6,
    baseline: float | Tensor = 0.0,
    channel: int | None = None,
) -> CoarseMap:
    """Estimate `occlusion` maps from few evaluations.

    Layers whose patches are small compute all windows; what follows is linearised at the image, and the evaluations
    correct the estimates (`correct_estimates`). For a network whose graph can't be traced they are spent on large tiles
    first, and on finer ones where most is lost (`refine`).

    Args:
        model: A model that can classify, each image by itself.
        images: Scaled, on the model's device, shape (N, C, H, W).
        target: Class whose logit is measured, shape (N,).
        budget: Covered images per map at most; with as many as there are windows the map is exact.
        window: Side of the finest window in pixels.
        stride: Step of the finest windows in pixels.
        baseline: Value under a window in scaled units, a number or one per channel (C,).
        channel: The only channel that is covered; None covers all.

    Returns:
        Estimated maps and their agreement with exact ones.

    Raises:
        LeighError: As for `occlusion`, or the budget is too small.
    """
    require_capabilities(model, ("classify",), "occlusion")
    grid, cover = (
        WindowGrid.for_image(images.shape[2], images.shape[3], window, stride),
        _make_cover(images, baseline, channel),
    )
    with evaluating(model):
        variants = variant_network(model)
        found = [
            _spend_budget(variants(image), image, int(label), cover, grid, budget)
            for image, label in zip(torch.split(images, 1), target, strict=True)
        ]
    return CoarseMap(
        grid.to_maps(torch.stack([each.losses for each in found])).to(images),
        torch.tensor([each.evaluations for each in found]),
        torch.tensor([each.agreement for each in found], dtype=torch.float64),
    )


def _spend_budget(
    network: Classifier, image: Tensor, target: int, cover: Cover, grid: WindowGrid, budget: int
) -> RefinedLosses:
    """Correct linear estimates where the network has local layers, and refine tiles where it has none."""
    measure = partial(logit_losses, network, image, target, cover)
    estimates = None
    if isinstance(network, IncrementalNetwork) and MIN_BUDGET <= budget < math.prod(grid.shape):
        estimates = linear_losses(network, image, target, cover, grid.boxes())
    return refine(measure, grid, budget) if estimates is None else correct_estimates(measure, estimates, grid, budget)


def _make_cover(images: Tensor, baseline: float | Tensor, channel: int | None) -> Cover:
    count = images.shape[1]
    if channel is not None and not 0 <= channel < count:
        raise LeighError(f"Channel {channel} does not exist in images of {count}; give 0 to {count - 1}.")
    value = torch.as_tensor(baseline).to(images).expand(count).view(-1, 1, 1)
    chosen = torch.ones(count, dtype=torch.bool) if channel is None else torch.arange(count) == channel
    return Cover(value, chosen.view(-1, 1, 1).to(images.device))
