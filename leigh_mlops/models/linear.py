"""A linear classifier as plain arrays."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import softmax

from leigh_mlops.errors import LeighError

__all__ = ["Linear", "fit_linear"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Linear:
    """Multinomial logistic regression on standardised features.

    Attributes:
        mean: Mean of the training features, shape (F,).
        std: Standard deviation of the same, above 0, shape (F,).
        weight: Shape (S, F) for S classes.
        bias: Shape (S,).
    """

    mean: Floats
    std: Floats
    weight: Floats
    bias: Floats

    def __post_init__(self) -> None:
        count, features = self.weight.shape if self.weight.ndim == 2 else (0, 0)
        shapes = [array.shape for array in (self.mean, self.std, self.bias)]
        if shapes != [(features,), (features,), (count,)]:
            raise LeighError("The stored linear baseline has inconsistent shapes; train the model again.")

    @property
    def classes_count(self) -> int:
        """Number of classes S."""
        return len(self.weight)

    def accepts_features(self, features: int) -> bool:
        """Return whether the classifier was fitted on this number of features."""
        return bool(features == self.weight.shape[1])

    def probabilities(self, features: Floats) -> Floats:
        """Class probabilities (N, S) of features (N, F)."""
        logits = (features - self.mean) / self.std @ self.weight.T + self.bias
        probabilities: Floats = softmax(logits, axis=1)
        return probabilities

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the classifier as plain arrays."""
        return asdict(self)


def fit_linear(features: Floats, labels: npt.NDArray[np.int64], seed: int) -> Linear:
    """Fit a logistic regression with scikit-learn's defaults; the S classes are the sorted labels."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(features)
    fitted = LogisticRegression(max_iter=10_000, random_state=seed).fit(scaler.transform(features), labels)
    weight, bias = fitted.coef_, fitted.intercept_
    if len(weight) == 1:  # with two classes scikit-learn keeps the log-odds of the second alone
        weight, bias = np.vstack([0 * weight, weight]), np.concatenate([0 * bias, bias])
    return Linear(scaler.mean_, scaler.scale_, weight, bias)
