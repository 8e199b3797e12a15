"""Classifiers without a network, stored as plain arrays."""

import operator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from leigh_mlops.errors import LeighError
from leigh_mlops.models.forest import Forest, fit_forest
from leigh_mlops.models.linear import Linear, fit_linear

__all__ = ["Baseline", "fit_baseline"]

_SMOOTHING = 0.001
_MAX_CLASSES = 100_000


@dataclass(frozen=True)
class Baseline:
    """A linear classifier or a forest over K classes, some of which may be absent from training.

    Attributes:
        scorer: Model fitted on the classes of the training fields.
        seen: Indices of those S classes among the K, ascending, shape (S,).
        classes_count: K.
    """

    scorer: Linear | Forest
    seen: npt.NDArray[np.int64]
    classes_count: int

    def __post_init__(self) -> None:
        seen = self.seen
        if seen.ndim != 1 or seen.dtype.kind != "i" or len(seen) != self.scorer.classes_count:
            raise LeighError("The stored baseline does not list its classes; train the model again.")
        if self.classes_count > _MAX_CLASSES or not set(seen.tolist()) <= set(range(self.classes_count)):
            raise LeighError(
                f"The stored baseline was fitted on other classes than its {self.classes_count}; train the model again."
            )

    def probabilities(self, features: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Class probabilities (N, K) of features (N, F); 0 for classes absent from training.

        Raises:
            LeighError: The baseline was fitted on other features.
        """
        if not self.scorer.accepts_features(features.shape[1]):
            raise LeighError(
                f"The stored baseline was not fitted on {features.shape[1]} features; train the model again."
            )
        probabilities = np.zeros((len(features), self.classes_count))
        probabilities[:, self.seen] = self.scorer.probabilities(features)
        return probabilities

    def log_probs(self, features: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Natural log-probabilities (N, K) of features (N, F), always finite.

        A fraction of 0.001 of the probability is spread over all classes, since a
        forest whose trees agree would otherwise have an infinite log loss.
        """
        spread = (1 - _SMOOTHING) * self.probabilities(features) + _SMOOTHING / self.classes_count
        return np.log(spread)

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the baseline as plain numeric arrays."""
        return self.scorer.to_arrays() | {"seen": self.seen, "classes_count": np.array([self.classes_count])}

    @classmethod
    def from_arrays(cls, arrays: dict[str, npt.NDArray[Any]]) -> "Baseline":
        """Create a baseline from the arrays of :meth:`to_arrays`.

        Raises:
            LeighError: An array is missing, or they do not fit each other.
        """
        scorer = dict(arrays)
        try:
            seen, count = scorer.pop("seen"), operator.index(scorer.pop("classes_count")[0])
            fitted = Forest(**scorer) if "leaf" in scorer else Linear(**scorer)
        except (KeyError, TypeError, IndexError) as error:
            raise LeighError(f"The stored baseline is incomplete ({error}); train the model again.") from None
        return cls(fitted, seen, count)


def fit_baseline(
    features: npt.NDArray[np.float64],
    labels: npt.NDArray[np.int64],
    classes_count: int,
    kind: Literal["linear", "forest"] = "linear",
    seed: int = 0,
) -> Baseline:
    """Fit a classifier on features of the training fields.

    Args:
        features: Shape (N, F), any unit.
        labels: Class indices from 0 to K - 1, shape (N,).
        classes_count: K.
        kind: ``linear`` or ``forest``.
        seed: Seed of the forest.

    Raises:
        LeighError: The fields are of one class.
        ValueError: The kind is unknown.
    """
    if kind not in ("linear", "forest"):
        raise ValueError(f"{kind!r} is not a kind of baseline; choose linear or forest")
    seen = np.unique(labels).astype(np.int64)
    if len(seen) < 2:
        raise LeighError(f"A baseline needs at least 2 classes and got {len(seen)}; give fields of more classes.")
    fit = fit_linear if kind == "linear" else fit_forest
    return Baseline(fit(features, labels, seed), seen, classes_count)
