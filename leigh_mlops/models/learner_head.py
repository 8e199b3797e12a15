"""Heads that learners of scikit-learn fit to the features of a frozen trunk, as plain tensors."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from leigh_mlops.errors import LeighError
from leigh_mlops.models.forest import fit_forest

__all__ = ["LEARNERS", "ForestHead", "LinearHead", "build_learner"]

LEARNERS = ("logistic", "svm", "forest")
_TREES, _LEAVES, _DEPTH = 100, 128, 16
_NODES = 2 * _LEAVES - 1
_SMOOTHING = 0.001
_UNSEEN_LOGIT = -20.0
Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]


def build_learner(kind: str, features: int, classes: int) -> "LinearHead | ForestHead":
    """Build a head that is not fitted yet.

    Args:
        kind: One of `LEARNERS`.
        features: Number D of features.
        classes: Number K of classes.
    """
    return ForestHead(features, classes) if kind == "forest" else LinearHead(features, classes, margins=kind == "svm")


class LinearHead(nn.Module):
    """Linear classifier of standardised features: a logistic regression, or a linear support vector machine.

    The logits of the latter are its margins (one class against the others), which are no log-probabilities.

    Args:
        features: Number D of features.
        classes: Number K of classes.
        margins: Fit a support vector machine.
    """

    mean: Tensor
    std: Tensor
    weight: Tensor
    bias: Tensor

    def __init__(self, features: int, classes: int, *, margins: bool) -> None:
        super().__init__()
        self.margins = margins
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("std", torch.ones(features))
        self.register_buffer("weight", torch.zeros(classes, features))
        self.register_buffer("bias", torch.zeros(classes))

    def fit(self, features: Floats, labels: Labels, *, seed: int, balanced: bool = False) -> None:
        """Fit the head; a class that does not occur gets a logit of -20.

        Args:
            features: Shape (N, D).
            labels: Class indices from 0 to K - 1, shape (N,).
            seed: Seed of the learner.
            balanced: Give each class the same weight.
        """
        from sklearn.linear_model import LogisticRegression
        from sklearn.preprocessing import StandardScaler
        from sklearn.svm import LinearSVC

        scaler = StandardScaler().fit(features)
        options: dict[str, Any] = {"random_state": seed, "class_weight": "balanced" if balanced else None}
        options["max_iter"] = 10_000
        learner = LinearSVC(C=0.01, **options) if self.margins else LogisticRegression(**options)
        seen = np.unique(labels)
        weight, bias = np.zeros(self.weight.shape), np.full(len(self.bias), _UNSEEN_LOGIT)
        if len(seen) > 1:
            fitted = learner.fit(scaler.transform(features), labels)
            pairs = len(fitted.coef_) == 1  # with two classes scikit-learn keeps the score of the second alone
            weight[seen] = np.vstack([0 * fitted.coef_, fitted.coef_]) if pairs else fitted.coef_
            bias[seen] = np.concatenate([[0.0], fitted.intercept_]) if pairs else fitted.intercept_
        else:
            bias[seen] = 0
        for own, new in (
            (self.mean, scaler.mean_),
            (self.std, scaler.scale_),
            (self.weight, weight),
            (self.bias, bias),
        ):
            own.copy_(torch.from_numpy(np.asarray(new)))

    def to_linear(self) -> nn.Linear:
        """Return a linear layer that computes the same of features that are not standardised."""
        layer = nn.Linear(len(self.mean), len(self.bias)).to(self.weight)
        with torch.no_grad():
            layer.weight.copy_(self.weight / self.std)
            layer.bias.copy_(self.bias - layer.weight @ self.mean)
        return layer

    def forward(self, features: Tensor) -> Tensor:
        """Logits (N, K) of features (N, D)."""
        return (features - self.mean) / self.std @ self.weight.T + self.bias


class ForestHead(nn.Module):
    """Random forest of 100 trees with at most 128 leaves and a depth of 16; its logits have no gradients.

    Args:
        features: Number D of features.
        classes: Number K of classes.
    """

    left: Tensor
    right: Tensor
    feature: Tensor
    threshold: Tensor
    leaf: Tensor

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.features = features
        for name in ("left", "right"):
            self.register_buffer(name, torch.zeros(_TREES, _NODES, dtype=torch.int64))
        self.register_buffer("feature", torch.zeros(_TREES, _NODES, dtype=torch.int64))
        self.register_buffer("threshold", torch.zeros(_TREES, _NODES, dtype=torch.float64))
        self.register_buffer("leaf", torch.full((_TREES, _NODES, classes), 1 / classes))
        self.register_load_state_dict_post_hook(_check_indices)  # type: ignore[no-untyped-call]

    def fit(self, features: Floats, labels: Labels, *, seed: int, balanced: bool = False) -> None:
        """Fit the forest; see :meth:`LinearHead.fit`."""
        forest = fit_forest(
            features, labels, seed, max_leaf_nodes=_LEAVES, max_depth=_DEPTH,
            class_weight="balanced" if balanced else None,
        )  # fmt: skip
        # A leaf leads to itself.
        itself = np.arange(forest.left.shape[1])
        inner = forest.left >= 0
        used = slice(0, forest.left.shape[1])
        self.left[:, used] = torch.from_numpy(np.where(inner, forest.left, itself))
        self.right[:, used] = torch.from_numpy(np.where(inner, forest.right, itself))
        self.feature[:, used] = torch.from_numpy(np.maximum(forest.feature, 0))
        self.threshold[:, used] = torch.from_numpy(forest.threshold).to(self.threshold)
        leaf = np.zeros((*forest.leaf.shape[:2], self.leaf.shape[2]))
        leaf[..., np.unique(labels)] = forest.leaf
        self.leaf[:, used] = torch.from_numpy(leaf).to(self.leaf)

    def forward(self, features: Tensor) -> Tensor:
        """Logarithm of the mean probability over the trees (N, K), of which 0.001 is spread over all classes."""
        trees = torch.arange(_TREES, device=features.device)
        node = features.new_zeros(len(features), _TREES, dtype=torch.int64)
        for _ in range(_DEPTH):
            values = features.gather(1, self.feature[trees, node]).double()
            goes_left = values <= self.threshold[trees, node]
            node = torch.where(goes_left, self.left[trees, node], self.right[trees, node])
        mean = self.leaf[trees, node].mean(dim=1)
        return ((1 - _SMOOTHING) * mean + _SMOOTHING / mean.shape[1]).log()


def _check_indices(forest: ForestHead, _: object) -> None:
    """Refuse trees that lead to nodes or features that do not exist."""
    limits = {"left": _NODES, "right": _NODES, "feature": forest.features}
    for name, limit in limits.items():
        indices = getattr(forest, name)
        if bool(((indices < 0) | (indices >= limit)).any()):
            raise LeighError(f"The stored forest has a {name} beyond {limit - 1}; train the model again.")
