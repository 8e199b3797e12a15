"""Latent maps: the position of a field among the fields that a model was trained on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from leigh_mlops.errors import LeighError
from leigh_mlops.job_columns import LATENT, JobColumn

__all__ = ["LatentMap", "PooledLatents"]

OUTLIER_QUANTILE = 0.99
"""Share of the training fields beyond whose distances a field is an outlier."""

MAX_COMPONENTS = 10
FIELDS_PER_COMPONENT = 3
"""Fewer would let a few fields span their own components, so that none of them can lie far out."""

_PREFIX = "latents/"
_MIN_VARIANCE_SHARE = 1e-12
"""Share of the variance below which a component is rounding."""

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LatentMap:
    """Principal components of the training fields' latents, each averaged over the positions of its feature map.

    Attributes:
        mean: Mean of the pooled latents, shape (c,).
        components: Orthonormal rows, the strongest first, shape (P, c); the largest entry of each
            is positive. P is at most 10, and 0 where all latents are equal.
        variances: Variance of the training fields along each component, in the latents' unit squared, shape (P,).
        explained: Share of the pooled latents' whole variance, 0 to 1, shape (P,).
        distances: The training fields' own distances, each from the mean and variances of the
            others, ascending, shape (N,).
    """

    mean: Doubles
    components: Doubles
    variances: Doubles
    explained: Doubles
    distances: Doubles

    def project(self, latents: Tensor) -> Doubles:
        """Coordinates of latents (N, c, h, w) or (N, c), in the latents' unit, shape (N, P)."""
        coordinates: Doubles = (pool_latents(latents) - self.mean) @ self.components.T
        return coordinates

    def distance(self, coordinates: Doubles) -> Doubles:
        """Mahalanobis distance of coordinates (N, P) from the training fields' mean, shape (N,).

        About the root of P for a field like those of training.
        """
        distance: Doubles = np.sqrt(np.square(coordinates / np.sqrt(self.variances)).sum(axis=1))
        return distance

    def limit(self, quantile: float = 0.99) -> float:
        """The distance that this share of the training fields, 0 to 1, does not exceed."""
        return float(np.quantile(self.distances, quantile))

    def columns(self, latents: Tensor) -> list[dict[str, float]]:
        """``latent_1`` to ``latent_P`` and ``latent_distance`` of each of N latents."""
        coordinates = self.project(latents)
        return [
            {LATENT(number): float(value) for number, value in enumerate(row, start=1)}
            | {JobColumn.LATENT_DISTANCE: float(distance)}
            for row, distance in zip(coordinates, self.distance(coordinates), strict=True)
        ]

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Plain arrays under ``latents/``."""
        return {f"{_PREFIX}{name}": array for name, array in vars(self).items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> "LatentMap | None":
        """Read the arrays of :meth:`to_arrays`, ignoring others; None for a package without a map.

        Raises:
            LeighError: An array is missing, or the shapes do not fit each other.
        """
        own = {name.removeprefix(_PREFIX): array for name, array in arrays.items() if name.startswith(_PREFIX)}
        if not own:
            return None
        try:
            found = cls(**own)
        except TypeError:
            raise _incomplete_map_error() from None
        shape = found.components.shape
        if shape[1:] != found.mean.shape or not shape[:1] == found.variances.shape == found.explained.shape:
            raise _incomplete_map_error()
        return found


class PooledLatents:
    """Accumulator of pooled latents, c numbers for each field, from which a map is fitted."""

    def __init__(self) -> None:
        self._batches: list[npt.NDArray[np.float32]] = []

    def update(self, latents: Tensor) -> None:
        """Add a batch of latents (N, c, h, w) or (N, c)."""
        self._batches.append(pool_latents(latents).astype(np.float32))

    def fit(self) -> LatentMap:
        """Fit the map of the latents that were added.

        Raises:
            ValueError: Nothing was added, or a latent is not finite.
        """
        if not self._batches:
            raise ValueError("there is no map of no latent; add some with update() first")
        return _fit_map(np.concatenate(self._batches).astype(np.float64))


def pool_latents(latents: Tensor) -> Doubles:
    """Mean over all axes after the second, shape (N, c)."""
    # A mean over some hundred places needs no double precision, and no copy of a batch of latents.
    return latents.detach().reshape(*latents.shape[:2], -1).mean(dim=2).to("cpu", torch.float64).numpy()


def _fit_map(features: Doubles) -> LatentMap:
    from sklearn.decomposition import PCA

    n, c = features.shape
    if not np.isfinite(features).all():
        raise ValueError("some latents are NaN or infinite and would spoil the map; train a model that converges")
    mean = features.mean(axis=0)
    centred = features - mean
    count = min(MAX_COMPONENTS, c, n // FIELDS_PER_COMPONENT)
    if not count or not centred.any():
        return LatentMap(mean, np.zeros((0, c)), np.zeros(0), np.zeros(0), np.zeros(n))
    # Both are exact; the covariance is the quicker one where there are more fields than numbers.
    pca = PCA(count, svd_solver="covariance_eigh" if n > c else "full").fit(centred)
    kept = pca.explained_variance_ratio_ > _MIN_VARIANCE_SHARE
    components, variances = pca.components_[kept], pca.explained_variance_[kept]
    squared = np.square(centred @ components.T / np.sqrt(variances)).sum(axis=1)
    return LatentMap(
        mean,
        components,
        variances,
        pca.explained_variance_ratio_[kept],
        np.sort(np.sqrt(_leave_one_out_distances(squared))),
    )


def _leave_one_out_distances(squared: Doubles) -> Doubles:
    """Leave-one-out squared distances (N,): each field is left out of the mean and the covariance.

    A field draws both towards itself, so that its distance is at most (N - 1) / sqrt(N) however far
    out it lies, and a new field would look far out in comparison. The components are kept, so that
    rather too few fields count as far out while there are few.
    """
    n = len(squared)
    share = squared / (n - 1)
    left: Doubles = (n / (n - 1)) ** 2 * (n - 2) * share / np.maximum(1 - n / (n - 1) * share, np.finfo(float).eps)
    return left


def _incomplete_map_error() -> LeighError:
    return LeighError("The stored latent map is incomplete; train the model again.")
