"""Where a classifier looks: what its logit loses when a window is covered."""

import torch
from captum.attr import Occlusion
from torch import Tensor, nn

from leigh_mlops.errors import LeighError
from leigh_mlops.explanations.capabilities import require
from leigh_mlops.explanations.evaluation import evaluating

__all__ = ["occlusion"]

_IMAGES_PER_PASS = 64


def occlusion(
    model: nn.Module,
    images: Tensor,
    target: Tensor,
    *,
    window: int = 15,
    stride: int = 6,
    baseline: float | Tensor = 0.0,
) -> Tensor:
    """Map of how much each place speaks for the target (Zeiler & Fergus 2014, sec. 4.2).

    A square window over all channels is set to the baseline at every step, and
    the loss of the target's logit is written where the window lay; a pixel under
    several windows has their mean. The last window of a row is cut at the edge.

    Args:
        model: A model that can classify.
        images: Scaled, on the model's device, shape (N, C, H, W).
        target: Class whose logit is watched, shape (N,).
        window: Side of the window in pixels, 1 to the image's side.
        stride: Step in pixels, 1 to ``window``, so that no pixel is left out.
        baseline: Value under the window in scaled units, a number or one per
            channel (C,), such as the scaled value of raw zero.

    Returns:
        Loss of the logit, float32, shape (N, H, W): positive speaks for the target.

    Raises:
        LeighError: The model cannot classify, or window or stride do not fit the images.
    """
    require(model, ("classify",), "occlusion")
    n, channels, height, width = images.shape
    if not 1 <= window <= min(height, width):
        raise LeighError(f"A window of {window} does not fit images of {height} x {width}; give a smaller one.")
    if not 1 <= stride <= window:
        raise LeighError(f"A stride of {stride} leaves gaps between windows of {window}; give 1 to {window}.")
    covered = torch.as_tensor(baseline).to(images).expand(channels).view(1, channels, 1, 1)
    with evaluating(model):
        maps: Tensor = Occlusion(model).attribute(
            images,
            sliding_window_shapes=(channels, window, window),
            strides=(channels, stride, stride),
            baselines=covered.expand(1, -1, height, width),
            target=target.to(images.device),
            perturbations_per_eval=max(1, _IMAGES_PER_PASS // n),
        )
    # One window covers all channels, so each channel holds the same map.
    return maps.mean(dim=1)
