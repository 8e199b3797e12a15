"""Principal components, the baseline of an autoencoder."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from leigh_mlops.errors import LeighError

__all__ = ["PCABaseline", "fit_pca"]

Images = npt.NDArray[np.float32]


@dataclass(frozen=True)
class PCABaseline:
    """Reconstruction from k principal components of whole images.

    Attributes:
        mean: Mean of the training images, flattened, shape (C H W,).
        components: Orthonormal rows, shape (k, C H W).
    """

    mean: Images
    components: Images

    def mse(self, batch: Images) -> npt.NDArray[np.float64]:
        """Mean squared error of each image (N, C, H, W), in the images' unit squared, shape (N,).

        Raises:
            LeighError: The images have another shape than those that were fitted.
        """
        error: npt.NDArray[np.float64] = np.square(batch - self.reconstruct(batch)).mean((1, 2, 3), dtype=np.float64)
        return error

    def reconstruct(self, batch: Images) -> Images:
        """Reconstructions (N, C, H, W) of images of the same shape.

        Raises:
            LeighError: The images have another shape than those that were fitted.
        """
        rows = batch.reshape(len(batch), -1)
        if rows.shape[1:] != self.mean.shape:
            raise LeighError(
                f"The stored principal components have {len(self.mean)} numbers, an image here has {rows.shape[1]}; "
                "train the model again."
            )
        given = self.mean + (rows - self.mean) @ self.components.T @ self.components
        return np.asarray(given, np.float32).reshape(batch.shape)

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the baseline as plain arrays."""
        return asdict(self)

    @classmethod
    def from_arrays(cls, arrays: dict[str, npt.NDArray[Any]]) -> "PCABaseline":
        """Create a baseline from the arrays of :meth:`to_arrays`.

        Raises:
            LeighError: An array is missing or of another shape.
        """
        mean, components = arrays.get("mean"), arrays.get("components")
        if mean is None or components is None or components.ndim != 2 or mean.shape != components.shape[1:]:
            raise LeighError("The stored principal components are incomplete; train the model again.")
        return cls(mean, components)


def fit_pca(batches: Iterable[Images], components: int) -> PCABaseline:
    """Fit principal components batch by batch (Ross et al. 2008); memory is about 2 k images.

    Args:
        batches: Images (n, C, H, W), n of any size.
        components: k, at least 1.

    Raises:
        LeighError: There are fewer images than components.
    """
    from sklearn.decomposition import IncrementalPCA

    fitted = IncrementalPCA(components)
    for rows in _merge_batches(components, batches):
        fitted.partial_fit(rows)
    return PCABaseline(fitted.mean_.astype(np.float32), fitted.components_.astype(np.float32))


def _merge_batches(fewest: int, batches: Iterable[Images]) -> Iterator[Images]:
    """Flattened images, merged until there are as many as the first fit needs; a shorter rest comes last."""
    waiting: list[Images] = []
    complete = False
    for batch in batches:
        waiting.append(batch.reshape(len(batch), -1))
        if sum(map(len, waiting)) >= fewest:
            yield np.concatenate(waiting)
            waiting, complete = [], True
    if not complete:
        raise LeighError(
            f"{fewest} principal components need {fewest} images, but there are {sum(map(len, waiting))}; add images."
        )
    if waiting:
        yield np.concatenate(waiting)
