"""Layout: where wells stand on the plate, and whether that alone gives the classes away."""

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from leigh_mlops.errors import LeighError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PLATE_SHAPES", "plate_shape", "position_features", "probe_position"]

# Wells: (rows, columns)
PLATE_SHAPES = {6: (2, 3), 12: (3, 4), 24: (4, 6), 48: (6, 8), 96: (8, 12), 384: (16, 24), 1536: (32, 48)}

Floats = npt.NDArray[np.float64]


def plate_shape(table: "pd.DataFrame") -> tuple[int, int]:
    """Rows and columns of the smallest standard plate that holds all wells of an image table.

    Raises:
        LeighError: No standard plate has so many rows or columns.
    """
    rows, cols = int(table["Metadata_Row"].max()), int(table["Metadata_Col"].max())
    for shape in PLATE_SHAPES.values():
        if rows <= shape[0] and cols <= shape[1]:
            return shape
    raise LeighError(f"row {rows}, column {cols} is on no plate up to 1536 wells; correct the wells.")


def position_features(rows: npt.ArrayLike, cols: npt.ArrayLike, n_rows: int, n_cols: int) -> Floats:
    """Terms of a quadratic function of the place on the plate.

    Args:
        rows: Rows from 1, shape (N,).
        cols: Columns from 1, shape (N,).
        n_rows: Rows of the plate.
        n_cols: Columns of the plate.

    Returns:
        Shape (N, 9): row and column from -1 to 1, distance to the nearest edge from 0 (an edge
        well) to 1 (the plate's middle), the three squares and the three products.

    Example:
        >>> position_features([1], [12], 8, 12).round(2).tolist()
        [[-1.0, 1.0, 0.0, 1.0, 1.0, 0.0, -1.0, -0.0, 0.0]]
    """
    row, col = np.asarray(rows, float), np.asarray(cols, float)
    steps = np.min([row - 1, n_rows - row, col - 1, n_cols - col], axis=0)
    edge = steps / max((min(n_rows, n_cols) - 1) // 2, 1)
    row = 2 * (row - 1) / max(n_rows - 1, 1) - 1
    col = 2 * (col - 1) / max(n_cols - 1, 1) - 1
    return np.stack([row, col, edge, row**2, col**2, edge**2, row * col, row * edge, col * edge], axis=1)


def probe_position(table: "pd.DataFrame", *, folds: int = 5, seed: int = 0) -> dict[str, float]:
    """How well the place on the plate alone tells the classes apart.

    A logistic regression on :func:`position_features`, one row per well, is scored on wells that
    it was not fitted to. An AUC near 0.5 or below says that no smooth effect of the position explains
    the classes (where few wells alternate, leaving one out makes its neighbours' class more likely:
    then it falls far below). It is never flipped, and it does not see the alternation itself.

    Args:
        table: Image table; wells without a class are left out.
        folds: Folds of the stratified cross-validation; fewer where a class has fewer wells.
        seed: Seed of the folds.

    Returns:
        ``accuracy`` and ``auc`` (one class against the rest, averaged, where there are more than
        two) as means over the folds; empty where fewer than two classes have two wells.
    """
    wells = table.dropna(subset="Metadata_Condition").drop_duplicates(["Metadata_Plate", "Metadata_Well"])
    counts = wells["Metadata_Condition"].value_counts()
    wells = wells[wells["Metadata_Condition"].isin(counts.index[counts >= 2])]
    if wells["Metadata_Condition"].nunique() < 2:
        return {}
    wells = wells.sort_values(["Metadata_Plate", "Metadata_Well"])
    features = position_features(wells["Metadata_Row"], wells["Metadata_Col"], *plate_shape(wells))
    labels = wells["Metadata_Condition"].to_numpy(dtype=object)
    return _cross_validated(features, labels, min(folds, int(counts[counts >= 2].min())), seed)


def _cross_validated(features: Floats, labels: npt.NDArray[Any], folds: int, seed: int) -> dict[str, float]:
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    hits, aucs = [], []
    for train, test in StratifiedKFold(folds, shuffle=True, random_state=seed).split(features, labels):
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # classes that the position separates do not converge
            model.fit(features[train], labels[train])
        chance = model.predict_proba(features[test])
        hits.append(np.mean(model.predict(features[test]) == labels[test]))
        binary = len(model.classes_) == 2
        aucs.append(
            roc_auc_score(labels[test] == model.classes_[1], chance[:, 1])
            if binary
            else roc_auc_score(labels[test], chance, multi_class="ovr", labels=model.classes_)
        )
    return {"accuracy": float(np.mean(hits)), "auc": float(np.mean(aucs))}
