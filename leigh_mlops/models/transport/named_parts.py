"""Parts of the difference between an image and its typical image of another class, each applied alone."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from leigh_mlops.errors import LeighError
from leigh_mlops.images import combined_members

__all__ = ["named_parts", "part_names"]

_STRONGEST = 0.999  # correlation at which one channel is a copy of the other

Floats = npt.NDArray[np.float32]
Plane = npt.NDArray[np.float64]


def part_names(channels: Sequence[str]) -> tuple[str, ...]:
    """Names of the parts of :func:`named_parts`, in their order.

    Example:
        >>> part_names(["DAPI"])
        ('intensity of DAPI', 'texture of DAPI', 'all of DAPI', 'all channels')
    """
    own = [channel for channel in channels if not combined_members(channel, channels)]
    by_channel = [f"{part} of {channel}" for channel in own for part in ("intensity", "texture", "all")]
    return (*by_channel, *(f"correlation of {one} and {other}" for one, other in combinations(own, 2)), "all channels")


def named_parts(raw: Floats, typical: Floats, channels: Sequence[str]) -> dict[str, Floats]:
    """Images to which one part alone of the difference to their typical images is applied.

    Each channel's difference has two parts, which one after the other make all of it where no pixels are equal:

    - *intensity*: the field's histogram becomes that of the typical image, while pixels keep their order: one rising
      curve of brightness for all pixels, wherever they lie. Pixels of one intensity stay of one.
    - *texture*: pixels take the order that they have in the typical image, while the histogram stays. Pixels that are
      equal there keep their order.

    The *correlation* of two channels is the smallest linear mixture of their normal scores (ranks as quantiles
    of a normal distribution) with which they correlate as in the typical image; the histograms stay. *All* of a channel
    takes it from the typical image, and leaves the others. Any part is independent of rising curves of the intensity
    scale, as it is made of ranks. The area of cells is no part of its own: it changes where the intensity moves a
    threshold, or the texture moves pixels.

    A channel that combines others (``DAPI+TMRM`` beside both) stays the mixture that it is: it changes by the sum of
    its members' changes times its slope on their sum in the field, and is not below 0.

    Args:
        raw: Raw intensities, shape (N, C, H, W).
        typical: The same fields as the target class, by a transport, shape (N, C, H, W).
        channels: Names of the C channels.

    Returns:
        Raw intensities (N, C, H, W) by the names of :func:`part_names`.

    Raises:
        LeighError: Shapes differ, or there is not one name per channel.
    """
    if raw.ndim != 4 or raw.shape != typical.shape or raw.shape[1] != len(channels):
        raise LeighError(
            f"Fields are of shape {raw.shape}, their typical images of {typical.shape}, and there are "
            f"{len(channels)} channel names; give two sets of one shape (N, C, H, W), and C names."
        )
    own = [place for place, name in enumerate(channels) if not combined_members(name, channels)]
    parts = {name: np.empty(raw.shape, np.float32) for name in part_names(channels)}
    for row, (image, goal) in enumerate(zip(raw, typical, strict=True)):
        for name, changes in _field_parts(image.astype(np.float64), goal.astype(np.float64), channels, own).items():
            parts[name][row] = _with_planes(image, changes, channels)
    return parts


def _field_parts(image: Plane, goal: Plane, channels: Sequence[str], own: Sequence[int]) -> dict[str, dict[int, Plane]]:
    """New planes by place of the channel, for each part of one field."""
    parts: dict[str, dict[int, Plane]] = {}
    for place in own:
        name = channels[place]
        parts[f"intensity of {name}"] = {place: _rearrange(goal[place], image[place])}
        parts[f"texture of {name}"] = {place: _rearrange(image[place], _break_ties(goal[place], image[place]))}
        parts[f"all of {name}"] = {place: goal[place]}
    for pair in combinations(own, 2):
        name = f"correlation of {channels[pair[0]]} and {channels[pair[1]]}"
        parts[name] = dict(zip(pair, _correlate(image[list(pair)], goal[list(pair)]), strict=True))
    return parts | {"all channels": {place: goal[place] for place in own}}


def _with_planes(image: Floats, planes: dict[int, Plane], channels: Sequence[str]) -> Plane:
    """Field with new planes, in which combined channels follow their members."""
    changed = image.astype(np.float64)
    for place, plane in planes.items():
        changed[place] = plane
    for place, name in enumerate(channels):
        members = [channels.index(each) for each in combined_members(name, channels)]
        if members:
            before, after = image[members].sum(axis=0, dtype=np.float64), changed[members].sum(axis=0)
            changed[place] = np.maximum(image[place] + _slope(image[place], before) * (after - before), 0)
    return changed


def _slope(combined: Floats, total: Plane) -> float:
    """Slope of a combined channel on the sum of its members, 0 where that is constant."""
    spread = total - total.mean()
    squares = float(np.square(spread).sum())
    return float((spread * combined).sum()) / squares if squares > 0 else 0.0


def _rearrange(values: Plane, order: Plane) -> Plane:
    """Values of one plane in the order of another's; where the other has ties, their mean."""
    _, group, counts = np.unique(order, return_inverse=True, return_counts=True)
    means = np.add.reduceat(np.sort(values, axis=None), np.cumsum(counts) - counts) / counts
    rearranged: Plane = means[group.reshape(order.shape)]
    return rearranged


def _break_ties(order: Plane, second: Plane) -> Plane:
    """Plane in the order of one, and of a second where the first has ties."""
    first, then = (np.unique(plane, return_inverse=True)[1].reshape(plane.shape) for plane in (order, second))
    refined: Plane = (first * order.size + then).astype(np.float64)
    return refined


def _correlate(image: Plane, goal: Plane) -> Plane:
    """Two planes (2, H, W) whose pixels are rearranged, so that they correlate as those of another image.

    For two normal variables of correlation r, the optimal linear map to another correlation keeps sum and difference
    apart, since these are uncorrelated, with variances 1 + r and 1 - r.
    """
    scores = _normal_scores(image)
    ours, theirs = _correlation(scores), _correlation(_normal_scores(goal))
    total = (scores[0] + scores[1]) * np.sqrt((1 + theirs) / (1 + ours))
    difference = (scores[0] - scores[1]) * np.sqrt((1 - theirs) / (1 - ours))
    mixed = (total + difference, total - difference)
    return np.stack([_rearrange(plane, order) for plane, order in zip(image, mixed, strict=True)])


def _normal_scores(planes: Plane) -> Plane:
    """Quantiles of a normal distribution at each pixel's rank in its plane, scaled to spread 1; 0 in a constant one."""
    scores = np.stack([_rearrange(ndtri((np.arange(plane.size) + 0.5) / plane.size), plane) for plane in planes])
    spread = scores.std(axis=(1, 2), keepdims=True)
    scaled: Plane = np.divide(scores, spread, out=np.zeros_like(scores), where=spread > 0)
    return scaled


def _correlation(scores: Plane) -> float:
    return float(np.clip((scores[0] * scores[1]).mean(), -_STRONGEST, _STRONGEST))
