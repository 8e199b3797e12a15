"""A random forest as plain arrays."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from leigh_mlops.errors import LeighError

__all__ = ["Forest", "fit_forest"]

_TREES = 100


@dataclass(frozen=True)
class Forest:
    """Forest of T binary trees with up to M nodes each, padded with leaves; node 0 is the root.

    Attributes:
        left: Node to go to where the feature is at most the threshold, shape
            (T, M); -1 at leaves.
        right: Node to go to otherwise, shape (T, M); -1 at leaves.
        feature: Index of the feature to compare, shape (T, M).
        threshold: In the feature's unit, shape (T, M).
        leaf: Class probabilities of each node, shape (T, M, S).
    """

    left: npt.NDArray[np.int32]
    right: npt.NDArray[np.int32]
    feature: npt.NDArray[np.int32]
    threshold: npt.NDArray[np.float64]
    leaf: npt.NDArray[np.float64]

    def __post_init__(self) -> None:
        shape = self.left.shape
        same = all(array.shape == shape for array in (self.right, self.feature, self.threshold))
        whole = all(array.dtype.kind == "i" for array in (self.left, self.right, self.feature))
        if (
            len(shape) != 2
            or not (same and whole)
            or self.leaf.ndim != 3
            or self.leaf.shape[:2] != shape
            or not self._is_acyclic()
        ):
            raise LeighError("The stored forest is not a set of trees; train the model again.")

    def _is_acyclic(self) -> bool:
        """Return whether every child has a larger index than its parent, so that every walk ends."""
        node = np.arange(self.left.shape[1])
        inner = self.left >= 0
        children_fit = all(((child > node) & (child < len(node)))[inner].all() for child in (self.left, self.right))
        return children_fit and bool((self.feature[inner] >= 0).all())

    @property
    def classes_count(self) -> int:
        """Number of classes S."""
        return int(self.leaf.shape[2])

    def accepts_features(self, features: int) -> bool:
        """Return whether no node compares a feature beyond a number of features."""
        return int(self.feature.max(initial=-1)) < features

    def probabilities(self, features: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Mean over the trees, shape (N, S), of features (N, F).

        Features are compared in float32, as scikit-learn does.
        """
        values = features.astype(np.float32)
        total = np.zeros((len(values), self.leaf.shape[2]))
        for tree in range(len(self.left)):
            total += self.leaf[tree, self._walk(tree, values)]
        mean: npt.NDArray[np.float64] = total / len(self.left)
        return mean

    def _walk(self, tree: int, values: npt.NDArray[np.float32]) -> npt.NDArray[np.intp]:
        """The leaf of each row, shape (N,)."""
        node = np.zeros(len(values), dtype=np.intp)
        inside = np.flatnonzero(self.left[tree, node] >= 0)
        while inside.size:
            at = node[inside]
            goes_left = values[inside, self.feature[tree, at]] <= self.threshold[tree, at]
            node[inside] = np.where(goes_left, self.left[tree, at], self.right[tree, at])
            inside = inside[self.left[tree, node[inside]] >= 0]
        return node

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the forest as plain arrays."""
        return asdict(self)


def fit_forest(
    features: npt.NDArray[np.float64],
    labels: npt.NDArray[np.int64],
    seed: int,
    **options: Any,  # noqa: ANN401
) -> Forest:
    """Fit 100 trees with at least 2 samples per leaf; the S classes are the sorted labels.

    Args:
        features: Shape (N, F).
        labels: Shape (N,).
        seed: Seed of the trees.
        **options: Further keywords of scikit-learn's ``RandomForestClassifier``.
    """
    from sklearn.ensemble import RandomForestClassifier

    fitted = RandomForestClassifier(_TREES, min_samples_leaf=2, random_state=seed, **options).fit(features, labels)
    return _from_sklearn(fitted)


def _from_sklearn(fitted: Any) -> Forest:  # noqa: ANN401
    trees = [estimator.tree_ for estimator in fitted.estimators_]
    nodes = max(tree.node_count for tree in trees)

    def pad_nodes(arrays: list[npt.NDArray[Any]], fill: float) -> npt.NDArray[Any]:
        return np.stack([np.pad(each, (0, nodes - len(each)), constant_values=fill) for each in arrays])

    values = [tree.value[:, 0, :] / tree.value[:, 0, :].sum(axis=1, keepdims=True) for tree in trees]
    return Forest(
        left=pad_nodes([tree.children_left for tree in trees], -1).astype(np.int32),
        right=pad_nodes([tree.children_right for tree in trees], -1).astype(np.int32),
        feature=pad_nodes([tree.feature for tree in trees], -1).astype(np.int32),
        threshold=pad_nodes([tree.threshold for tree in trees], 0.0),
        leaf=np.stack([np.pad(each, ((0, nodes - len(each)), (0, 0))) for each in values]),
    )
