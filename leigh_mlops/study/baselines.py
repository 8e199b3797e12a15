"""Baselines without a network: a threshold on intensity, the position on the plate, and PCA."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from leigh_mlops.images import IntensityScale, intensity_features
from leigh_mlops.models import Baseline, PCABaseline, fit_baseline, fit_pca
from leigh_mlops.plates import has_other_class_neighbour, plate_shape, position_features
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.scores import all_scores, classification_scores
from leigh_mlops.training import PreparedData

__all__ = ["Baselines", "field_intensities", "neighbour_scores", "fit_baselines", "fit_latent_baseline"]

_CHUNK = 64


@dataclass(frozen=True)
class Baselines:
    """Two classifiers fitted on the training wells, to compare every network with.

    Attributes:
        intensity: Classifier of 9 intensity features per channel; linear or a forest,
            whichever has the lower log loss on the validation wells.
        position: A quadratic logistic function of row, column and edge distance.
    """

    intensity: Baseline
    position: Baseline

    def log_probs(self, data: PreparedData, rows: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[np.float64]]:
        """Log-probabilities (n, K) of ``baseline`` and ``position``."""
        return {
            "baseline": self.intensity.log_probs(field_intensities(data, rows)),
            "position": self.position.log_probs(_positions(data, rows)),
        }

    def scores(self, data: PreparedData, rows: npt.NDArray[np.int64]) -> dict[str, dict[str, float]]:
        """Scores of both under the shared metric names."""
        wells, labels = data.wells[rows], data.labels[rows]
        return {
            name: all_scores(list(wells), labels, log_probs, data.classes) | neighbour_scores(data, rows, log_probs)
            for name, log_probs in self.log_probs(data, rows).items()
        }

    def to_arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """Return the baselines as plain arrays, to be stored with a model."""
        parts = {"intensity": self.intensity, "position": self.position}
        return {f"{part}/{name}": array for part, kept in parts.items() for name, array in kept.to_arrays().items()}

    @classmethod
    def from_arrays(cls, arrays: dict[str, npt.NDArray[np.generic]]) -> "Baselines":
        """Create baselines from the arrays of :meth:`to_arrays`; other arrays are ignored."""

        def part(prefix: str) -> Baseline:
            chosen = {name.removeprefix(prefix): a for name, a in arrays.items() if name.startswith(prefix)}
            return Baseline.from_arrays(chosen)

        return cls(part("intensity/"), part("position/"))


def neighbour_scores(
    data: PreparedData, rows: npt.NDArray[np.int64], log_probs: npt.NDArray[np.float64]
) -> dict[str, float]:
    """Scores per well of those wells that have a neighbour of another class, where the position helps least.

    Args:
        data: Data of the rows; neighbours of any part count.
        rows: Row numbers of the fields, shape (n,).
        log_probs: Log-probabilities of the same fields, shape (n, K).

    Returns:
        Names under ``beside/``, ``beside/wells`` among them; empty where no well, or every well, is one.
    """
    mask = has_other_class_neighbour(data.table).to_numpy(bool)[rows]
    if mask.all() or not mask.any():
        return {}
    wells = data.wells[rows][mask]
    scores = all_scores(list(wells), data.labels[rows][mask], log_probs[mask], data.classes)
    well_scores = {n.removeprefix("wells/"): value for n, value in scores.items() if n.startswith("wells/")}
    return {f"beside/{name}": value for name, value in (well_scores | {"wells": len(np.unique(wells))}).items()}


def fit_baselines(data: PreparedData, seed: int = 0) -> Baselines:
    """Fit both on the training wells; linear or forest is chosen on the validation wells."""
    train, val = data.rows("train"), data.rows("val")
    features, val_features = field_intensities(data, train), field_intensities(data, val)
    labels, count = data.labels[train], len(data.classes)
    kinds = [fit_baseline(features, labels, count, kind=kind, seed=seed) for kind in ("linear", "forest")]

    def loss(baseline: Baseline) -> float:
        return classification_scores(data.labels[val], baseline.log_probs(val_features), data.classes)["log_loss"]

    position = fit_baseline(_positions(data, train), labels, count, kind="linear", seed=seed)
    return Baselines(min(kinds, key=loss), position)


def fit_latent_baseline(data: PreparedData, scale: IntensityScale, latents: int) -> tuple[PCABaseline, float]:
    """Fit PCA with as many components as an autoencoder has latents; return its MSE on the validation part, too."""
    train = data.batches("train", scale, max(_CHUNK, latents))
    pca = fit_pca((batch.images.numpy() for batch in train), min(latents, len(train.rows) - 1))
    errors = [pca.mse(batch.images.numpy()) for batch in data.batches("val", scale, _CHUNK)]
    return pca, float(np.concatenate(errors).mean())


def field_intensities(data: PreparedData, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Intensity features of some rows, shape (n, 9 C), see :func:`~leigh_mlops.images.intensity_features`."""
    chunks = [rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK)]
    return np.concatenate([intensity_features(data.cache.raw(chunk)) for chunk in chunks])


def _positions(data: PreparedData, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    table = data.table.iloc[rows]
    shape = plate_shape(data.table[Metadata.ROW], data.table[Metadata.COLUMN])
    return position_features(table[Metadata.ROW].to_numpy(int), table[Metadata.COLUMN].to_numpy(int), *shape)
