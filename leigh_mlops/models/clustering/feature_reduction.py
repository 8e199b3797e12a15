"""Reduction of features before they are clustered: principal components, whitened, of length 1."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

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


def fit_reduction(features: npt.ArrayLike, most: int = MOST_COMPONENTS) -> FeatureReduction:
    """Fit min(most, F, N - 1) principal components, without those that have no variance.

    They are scikit-learn's, for many images of many features by its randomised solver.

    Args:
        features: Shape (N, F), any unit, finite.
        most: Components that are kept at most.

    Raises:
        LeighError: There are fewer than two rows, or all of them are equal.
    """
    from sklearn.decomposition import PCA

    rows = np.asarray(features, np.float64)
    count, width = rows.shape
    if count < 2:
        raise LeighError(f"There are features of {count} images, and clusters need at least 2; add images.")
    mean = rows.mean(0)
    centred = rows - mean
    # Equal rows differ from their mean by rounding alone.
    if np.square(centred).sum() <= 1e-12 * max(float(np.square(rows).sum()), np.finfo(np.float64).tiny):
        raise LeighError(
            f"The features of the {count} images are constant, so there is nothing to cluster; use another network, "
            "or lower the learning rate."
        )
    fitted = PCA(min(most, width, count - 1), random_state=0).fit(centred)
    kept = fitted.explained_variance_ > _LEAST_VARIANCE * fitted.explained_variance_[0]
    components = fitted.components_[kept] / np.sqrt(fitted.explained_variance_[kept])[:, None]
    return FeatureReduction(mean.astype(np.float32), components.astype(np.float32))
