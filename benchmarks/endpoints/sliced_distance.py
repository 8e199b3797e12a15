"""Distance of two sets of fields by random filters."""

import torch
from torch import Tensor
from torch.nn import functional as F

FILTERS, PATCHES = 16, 2000


def random_filters(channels: int) -> Tensor:
    """Random filters of 1, 3 or 5 px, some of single channels, some without a mean."""
    filters = torch.randn(FILTERS, channels, *[int(torch.randint(3, ())) * 2 + 1] * 2)
    if torch.rand(()) < 0.5:
        filters *= F.one_hot(torch.randint(channels, (FILTERS,)), channels)[:, :, None, None]
    if filters.shape[2] > 1 and torch.rand(()) < 0.7:
        filters -= filters.mean((2, 3), keepdim=True)
    return F.normalize(filters.flatten(1)).view_as(filters)


def wasserstein(made: Tensor, real: Tensor) -> Tensor:
    """Mean distance of rows of as many numbers, in standard deviations of the real ones."""
    ordered = [each.sort(dim=1)[0] for each in (made, real)]
    return ((ordered[0] - ordered[1]).abs() / real.std(dim=1, keepdim=True).clamp_min(1e-2)).mean()


def sliced_distance(made: Tensor, real: Tensor) -> Tensor:
    """Sliced Wasserstein distance of patches at three scales, of fields by mean and spread, and of their quantiles."""
    total = torch.zeros(())
    for scale in (1, 2, 4):
        filters = random_filters(made.shape[1])
        found = [F.conv2d(F.avg_pool2d(each, scale), filters).transpose(0, 1) for each in (made, real)]
        patches = (each.flatten(1)[:, torch.randint(each[0].numel(), (PATCHES,))] for each in found)
        fields = (torch.cat([each.mean((2, 3)), each.std((2, 3)), each.abs().mean((2, 3))]) for each in found)
        total = total + wasserstein(*patches) / 3 + 0.1 * wasserstein(*fields)
    places = (torch.rand(8) * (made[0, 0].numel() - 1)).round().long()
    levels = (each.flatten(2).sort(2)[0][:, :, places].permute(1, 2, 0).flatten(0, 1) for each in (made, real))
    return total + 0.1 * wasserstein(*levels)
