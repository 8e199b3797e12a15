"""Smooth effect of the position on a plate, fitted on its controls."""

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

__all__ = ["MIN_TREND_CONTROLS", "MIN_TREND_LINES", "PositionTrend", "TrendRefusal", "fit_position_trend"]

MIN_TREND_CONTROLS = 12
"""Fewest controls on which a trend is fitted."""

MIN_TREND_LINES = 3
"""Fewest rows, and columns, over which controls must lie; elsewhere a trend would be a guess."""

MIN_TREND_SHARE = 0.1
"""Share of the variance of left-out controls that a trend must explain."""

_PENALTIES = np.logspace(-2, 4, 25)

Array = NDArray[np.float64]


class TrendRefusal(StrEnum):
    """Reasons why a plate has no trend."""

    FEW_CONTROLS = "few controls"
    FEW_LINES = "few lines"
    NO_TREND = "no trend"


@dataclass(frozen=True)
class PositionTrend:
    """Effect of the position on the wells of a plate.

    Attributes:
        effects: Effect on each well, in the unit of the scores, shape (W,); 0 where there is no trend. That of a
            control is predicted from the others.
        share: Share of the variance of left-out controls that the trend explains; NaN where it was not fitted.
        refusal: Reason why there is no trend; None if there is one.
    """

    effects: Array
    share: float = math.nan
    refusal: TrendRefusal | None = None


def fit_position_trend(
    scores: Array, features: Array, groups: NDArray[np.int64], rows: NDArray[np.int64], columns: NDArray[np.int64]
) -> PositionTrend:
    """Fit a smooth function of the position to the scores of controls, around the mean of each kind.

    A ridge regression, whose penalty has the smallest error on left-out controls. Controls that do not
    vary with the position give no trend.

    Args:
        scores: Score of each well of one plate, shape (W,); that of controls is finite.
        features: Smooth functions of the position, shape (W, F), see `plates.layout.position_features`.
        groups: Kind of control of each well, 0 or above; -1 for all other wells. Shape (W,).
        rows: Row of each well, shape (W,).
        columns: Column of each well, shape (W,).
    """
    controls, none = np.flatnonzero(groups >= 0), np.zeros(len(scores))
    kinds = np.unique(groups[controls], return_inverse=True)[1]
    if len(controls) < MIN_TREND_CONTROLS or np.bincount(kinds).min(initial=len(controls)) < 2:
        return PositionTrend(none, refusal=TrendRefusal.FEW_CONTROLS)
    if min(len(np.unique(rows[controls])), len(np.unique(columns[controls]))) < MIN_TREND_LINES:
        return PositionTrend(none, refusal=TrendRefusal.FEW_LINES)
    dummies = np.eye(int(kinds.max()) + 1)[kinds]
    scaled = _scale(features, controls)
    design, values = np.hstack([dummies, scaled[controls]]), scores[controls]
    plain = _press(dummies, values, 0.0, dummies.shape[1])
    penalty = min(_PENALTIES, key=lambda each: _press(design, values, float(each), dummies.shape[1]))
    share = 1 - _press(design, values, float(penalty), dummies.shape[1]) / plain if plain > 0 else 0.0
    if share < MIN_TREND_SHARE:
        return PositionTrend(none, share, TrendRefusal.NO_TREND)
    inverse, weights, residuals = _solve(design, values, float(penalty), dummies.shape[1])
    effects = scaled @ weights[dummies.shape[1] :]
    for place, row, residual in zip(controls, design, residuals, strict=True):
        without = weights - inverse @ row * residual / (1 - row @ inverse @ row)
        effects[place] = scaled[place] @ without[dummies.shape[1] :]
    return PositionTrend(effects, share)


def _scale(features: Array, controls: NDArray[np.int64]) -> Array:
    """Centre and scale features by their mean and spread over the controls."""
    spread = features[controls].std(axis=0)
    scaled: Array = (features - features[controls].mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    scaled[:, spread == 0] = 0.0
    return scaled


def _solve(design: Array, values: Array, penalty: float, free: int) -> tuple[Array, Array, Array]:
    """Inverse normal matrix, weights and residuals of a ridge regression whose first columns are not penalised."""
    penalties = np.r_[np.zeros(free), np.full(design.shape[1] - free, penalty)]
    inverse: Array = np.linalg.inv(design.T @ design + np.diag(penalties))
    weights: Array = inverse @ design.T @ values
    return inverse, weights, values - design @ weights


def _press(design: Array, values: Array, penalty: float, free: int) -> float:
    """Sum of squared errors of each value, predicted from the others."""
    inverse, _, residuals = _solve(design, values, penalty, free)
    leverage = np.einsum("ni,ij,nj->n", design, inverse, design)
    return float(np.square(residuals / (1 - leverage)).sum())
