"""Detection of fields whose channels are in another order than in training."""

from itertools import permutations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist

__all__ = ["MAX_CHANNELS", "better_orders"]

MAX_CHANNELS = 6
"""Largest number of channels; more have too many orders to try."""

_BETTER_RATIO = 0.5
_TRAINING_QUANTILE = 0.99

Array = NDArray[np.float64]


def better_orders(fields: ArrayLike, training: ArrayLike) -> list[tuple[int, ...] | None]:
    """Find orders of channels in which fields fit the training fields much better than in their own.

    Fit is the distance to the nearest training field, each measure in standard deviations of the
    training fields. Another order is much better if the field lies farther than 99 % of the
    training fields lie from their nearest, and less than half as far in that order.

    Args:
        fields: F measures of each channel, such as log intensity and log texture, shape (N, C, F).
        training: The same measures of training fields, shape (M, C, F), M at least 2.

    Returns:
        One order for each field: the place that each of the model's channels has in the field.
        None if its own order is as good, a measure is not finite, or C is 1 or above 6.

    Raises:
        ValueError: The shapes do not fit.
    """
    values, known = np.asarray(fields, dtype=np.float64), np.asarray(training, dtype=np.float64)
    if values.ndim != 3 or values.shape[1:] != known.shape[1:] or len(known) < 2:
        raise ValueError(f"fields {values.shape} and training {known.shape} do not fit; give (N, C, F) of each")
    n, channels, _ = values.shape
    found: list[tuple[int, ...] | None] = [None] * n
    whole = np.isfinite(values).all(axis=(1, 2))
    if not 1 < channels <= MAX_CHANNELS or not whole.any():
        return found
    mean, spread = known.mean(axis=0), np.maximum(known.std(axis=0, ddof=1), np.finfo(float).tiny)
    places = ((known - mean) / spread).reshape(len(known), -1)
    orders = list(permutations(range(channels)))
    far = np.stack([_nearest_distances((values[whole][:, order] - mean) / spread, places) for order in orders])
    limit = float(np.quantile(_nearest_other_distances(places), _TRAINING_QUANTILE))
    best = far[1:].argmin(axis=0) + 1
    own = far[0]
    better = (own > limit) & (far[best, np.arange(len(best))] < _BETTER_RATIO * own)
    for place, order, other in zip(np.flatnonzero(whole), best, better, strict=True):
        found[int(place)] = orders[int(order)] if other else None
    return found


def _nearest_distances(values: Array, places: Array) -> Array:
    nearest: Array = cdist(values.reshape(len(values), -1), places).min(axis=1)
    return nearest


def _nearest_other_distances(places: Array) -> Array:
    apart = cdist(places, places)
    np.fill_diagonal(apart, np.inf)
    nearest: Array = apart.min(axis=1)
    return nearest
