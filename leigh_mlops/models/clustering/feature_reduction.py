"""Reduction of features before they are clustered: principal components, whitened, of length 1."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import eigh

from leigh_mlops.errors import LeighError

__all__ = ["MOST_COMPONENTS", "FeatureReduction", "fit_reduction"]

MOST_COMPONENTS = 256
"""Components that are kept at most (Caron et al. 2018, section 3.3)."""

_LEAST_VARIANCE = 1e-10  # of a component, relative to the first; below it there is rounding alone

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class FeatureReduction:
    """Whitened principal components of features, each row then divided by its length.

    Attributes:
        mean: Mean of the features, shape (F,).
        components: Rows that are orthogonal, each divided by the standard deviation along it, shape (r, F).
    """

    mean: Floats
    components: Floats

    def apply(self, features: npt.ArrayLike) -> Floats:
        """Reduced features (N, r) of features (N, F), each of length 1; 0 for a row that is the mean.

        Raises:
            LeighError: The reduction was fitted on another number of features.
        """
        rows = np.asarray(features, np.float32)
        if rows.shape[1:] != self.mean.shape:
            raise LeighError(
                f"The stored reduction takes {len(self.mean)} features, and here are {rows.shape[1:]}; use the network "
                "with which it was stored."
            )
        white = (rows - self.mean) @ self.components.T
        lengths = np.linalg.norm(white, axis=1, keepdims=True)
        return np.asarray(white / np.where(lengths > 0, lengths, 1), np.float32)

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the reduction as plain arrays."""
        return asdict(self)

    @classmethod
    def from_arrays(cls, arrays: dict[str, npt.NDArray[Any]]) -> "FeatureReduction":
        """Create a reduction from the arrays of :meth:`to_arrays`.

        Raises:
            LeighError: An array is missing or of another shape.
        """
        mean, components = arrays.get("mean"), arrays.get("components")
        if mean is None or components is None or components.ndim != 2 or mean.shape != components.shape[1:]:
            raise LeighError("The stored reduction of features is incomplete; train the model again.")
        return cls(np.asarray(mean, np.float32), np.asarray(components, np.float32))


def fit_reduction(features: npt.ArrayLike, most: int = MOST_COMPONENTS) -> FeatureReduction:
    """Fit min(most, F, N - 1) principal components, without those that have no variance.

    Signs are such that the largest entry of each component is positive.

    Args:
        features: Shape (N, F), any unit, finite.
        most: Components that are kept at most.

    Raises:
        LeighError: There are fewer than two rows, or all of them are equal.
    """
    rows = np.asarray(features, np.float64)
    count, width = rows.shape
    if count < 2:
        raise LeighError(f"There are features of {count} images, and clusters need at least 2; add images.")
    mean = rows.mean(0)
    centred = rows - mean
    tall = count >= width
    gram = centred.T @ centred if tall else centred @ centred.T
    wanted = min(most, width, count - 1)
    values, vectors = eigh(gram, subset_by_index=(len(gram) - wanted, len(gram) - 1))
    values, vectors = values[::-1], vectors[:, ::-1]
    # Equal rows differ from their mean by rounding alone.
    if values[0] <= 1e-12 * max(float(np.square(rows).sum()), np.finfo(np.float64).tiny):
        raise LeighError(
            f"The features of the {count} images are constant, so there is nothing to cluster; use another network, "
            "or lower the learning rate."
        )
    kept = values > _LEAST_VARIANCE * values[0]
    values, vectors = values[kept], vectors[:, kept]
    axes = vectors if tall else centred.T @ vectors / np.sqrt(values)
    axes = axes * np.sign(axes[np.abs(axes).argmax(0), np.arange(axes.shape[1])])
    scaled = (axes / np.sqrt(values / count)).T
    return FeatureReduction(mean.astype(np.float32), np.ascontiguousarray(scaled, np.float32))
