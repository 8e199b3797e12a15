"""Prediction difference: the change of log-odds when a window is replaced by samples."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from leigh_mlops.errors import LeighError
from leigh_mlops.explanations.capabilities import require_capabilities
from leigh_mlops.explanations.eval_mode import evaluating

__all__ = ["box_blur", "prediction_difference"]

_IMAGES_PER_PASS = 64


def prediction_difference(
    model: nn.Module,
    images: Tensor,
    target: Tensor,
    references: Tensor | None = None,
    *,
    window: int = 15,
    stride: int = 6,
    samples: int = 4,
) -> Tensor:
    """Weight of evidence of each place for the target (Zintgraf et al. 2017, eq. 4), by windows.

    A window is replaced by the same window of other fields, and the target's log-odds are compared
    with those of the mean probability over the replacements. This is marginal sampling over windows
    (Robnik-Sikonja & Kononenko 2008): the conditional Gaussian of Zintgraf's section 3.1, fitted to
    each patch's surroundings, is left out for its cost, as is her Laplace correction, which the
    arithmetic in logarithms does not need. A pixel under several windows has their mean.

    Args:
        model: A model that can classify.
        images: Scaled, on the model's device, shape (N, C, H, W).
        target: Class that is explained, shape (N,).
        references: Other fields, scaled, shape (M, C, H, W), taken in turn; one that is the image
            itself is left out. Without any, the window is replaced by the image's own local mean.
        window: Side of the window in pixels, 1 to the image's side.
        stride: Step in pixels, 1 to ``window``.
        samples: Replacements of each window, at least 1.

    Returns:
        Shape (N, H, W), in nats: positive supports the target.

    Raises:
        LeighError: The model cannot classify, or window or stride do not fit the images.
    """
    require_capabilities(model, ("classify",), "prediction_difference")
    if not 1 <= stride <= window <= min(images.shape[-2:]):
        raise LeighError(
            f"A window of {window} and a stride of {stride} do not cover images of "
            f"{images.shape[-2]} x {images.shape[-1]}; give a smaller window, and a stride no larger than it."
        )
    with evaluating(model):
        maps = [
            _image_map(model, image, int(goal), _replacements(image, references, window), window, stride, samples)
            for image, goal in zip(images, target, strict=True)
        ]
    return torch.stack(maps)


def box_blur(images: Tensor, window: int) -> Tensor:
    """Blur images by the mean over a square twice as wide as a window, shape (N, C, H, W) as ``images``."""
    return F.avg_pool2d(images, 2 * window + 1, stride=1, padding=window, count_include_pad=False)


def _replacements(image: Tensor, references: Tensor | None, window: int) -> Tensor:
    if references is not None:
        others = references[(references != image).flatten(1).any(dim=1)]
        if len(others):
            return others
    return box_blur(image[None], window)


def _image_map(
    model: nn.Module, image: Tensor, goal: int, others: Tensor, window: int, stride: int, samples: int
) -> Tensor:
    """Map (H, W) of one image."""
    height, width = image.shape[-2:]
    places = [
        (top, left) for top in _window_starts(height, window, stride) for left in _window_starts(width, window, stride)
    ]
    drawn = min(samples, len(others))
    total, covers = image.new_zeros(height, width), image.new_zeros(height, width)
    whole = _log_odds(model(image[None]), goal)[0]
    for some in _chunks(places, max(1, _IMAGES_PER_PASS // drawn)):
        copies = image.expand(len(some), drawn, *image.shape).clone()
        for number, (top, left) in enumerate(some):
            # Successive windows begin with different fields, so that the windows over one pixel use different ones.
            chosen = (torch.arange(drawn) + sum(divmod(top, stride)) + number) % len(others)
            place = (..., slice(top, top + window), slice(left, left + window))
            copies[number][place] = others[chosen.to(others.device)][place]
        without = _mean_log_odds(model(copies.flatten(0, 1)).unflatten(0, (len(some), drawn)), goal)
        for (top, left), evidence in zip(some, whole - without, strict=True):
            total[top : top + window, left : left + window] += evidence.to(total)
            covers[top : top + window, left : left + window] += 1
    return total / covers


def _window_starts(side: int, window: int, stride: int) -> list[int]:
    """First pixels of the windows, the last of which ends with the image."""
    return sorted({*range(0, side - window + 1, stride), side - window})


def _chunks(places: list[tuple[int, int]], size: int) -> Iterator[list[tuple[int, int]]]:
    for start in range(0, len(places), size):
        yield places[start : start + size]


def _log_odds(logits: Tensor, goal: int) -> Tensor:
    """Log-odds (N,) of the target, in float64, from logits (N, K)."""
    return _mean_log_odds(logits[:, None], goal)


def _mean_log_odds(logits: Tensor, goal: int) -> Tensor:
    """Log-odds (N,) of the mean probability over S samples, from logits (N, S, K)."""
    logs = logits.double().log_softmax(dim=2)
    others = torch.cat([logs[..., :goal], logs[..., goal + 1 :]], dim=2).flatten(1)
    return logs[..., goal].logsumexp(dim=1) - others.logsumexp(dim=1)
