"""Smallest part of a counterfactual's change that turns the prediction, and the curve over ever larger parts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter, grey_closing, grey_opening

__all__ = ["SHARES", "MaskCurve", "SmallestEdit", "mask_curve", "smooth_masks"]

SHARES = (0.0, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0)
"""Shares of the pixels that are selected, before the masks are smoothed."""

_STEP_PX = 48  # structures narrower than about a 24th of the side are joined or dropped

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
PredictByAll = Callable[[Floats], Mapping[str, Doubles]]
"""Function that gives the class probabilities (N, K) of raw fields (N, C, S, S) by the name of each predictor."""


@dataclass(frozen=True, eq=False)
class SmallestEdit:
    """Smallest mask with which most predictors predict the target.

    Attributes:
        mask: Weight of the counterfactual in each pixel, 0 to 1, shape (H, W).
        share: Mean of the mask.
        hybrid: The image with the counterfactual within the mask, raw intensities, shape (C, H, W).
    """

    mask: Floats
    share: float
    hybrid: Floats


@dataclass(frozen=True, eq=False)
class MaskCurve:
    """Score of the target over the share of pixels that are replaced by the counterfactual's.

    Attributes:
        shares: Mean of each mask, from 0 to 1, ascending, shape (M,).
        scores: Probability of the target with each mask, shape (M,), by predictor.
        agreeing: Number of the predictors that predict the target with each mask, shape (M,).
        smallest: Smallest mask with which more than half of the predictors do; ``None`` where there is none.
    """

    shares: Doubles
    scores: Mapping[str, Doubles]
    agreeing: npt.NDArray[np.int64]
    smallest: SmallestEdit | None

    @property
    def areas(self) -> dict[str, float]:
        """Mean gain of each predictor's score over the share s, relative to the largest possible one.

        An area is the integral of (p(s) - p(0)) ds / (1 - p(0)) over s from 0 to 1, by the trapezoid rule: near 1 where
        few pixels turn the prediction, 0.5 where the score rises evenly to 1, 0 where it does not rise, below 0 where
        it falls.
        """
        return {name: _relative_area(self.shares, scores) for name, scores in self.scores.items()}


def mask_curve(
    image: Floats,
    counterfactual: Floats,
    change_map: npt.NDArray[np.floating],
    target: int,
    predict: PredictByAll,
    *,
    shares: Sequence[float] = SHARES,
) -> MaskCurve:
    """Replace ever more pixels of an image by its counterfactual's, those first whose change acts most.

    After QuAC (Eckstein et al. 2024): pixels are ordered by an attribution of the prediction's change, and masks are
    closed, opened and blurred, so that replaced regions have no hard edge. Ours are nested, and are ordered by the
    smoothed map; the score is the probability of the target in place of its gain, and the area is relative to the
    largest possible gain.

    Args:
        image: Raw intensities, shape (C, H, W).
        counterfactual: The same after the change, shape (C, H, W).
        change_map: Amount by which the change of each pixel acts, of either sign, shape (H, W).
        target: Index of the class that the counterfactual leads to.
        predict: Function that gives the predictions of at least one predictor; called once.
        shares: Shares of the pixels to select, from 0 to 1, ascending.

    Raises:
        ValueError: Shapes or shares do not fit, or there are no predictors.
    """
    if image.shape != counterfactual.shape or image.shape[1:] != change_map.shape:
        raise ValueError(
            f"image, counterfactual and map are of shapes {image.shape}, {counterfactual.shape} and "
            f"{change_map.shape}; give (C, H, W), (C, H, W) and (H, W)"
        )
    masks = smooth_masks(change_map, shares)
    hybrids = (image + masks[:, None] * (counterfactual - image)).astype(np.float32)
    covered = masks.mean(axis=(1, 2), dtype=np.float64)
    predictions = predict(hybrids)
    if not predictions:
        raise ValueError("there are no predictors; give at least one")
    votes = np.stack([each.argmax(axis=1) == target for each in predictions.values()])
    agreeing = votes.sum(axis=0, dtype=np.int64)
    enough = np.flatnonzero(agreeing > len(votes) / 2)
    smallest = SmallestEdit(masks[enough[0]], float(covered[enough[0]]), hybrids[enough[0]]) if len(enough) else None
    scores = {name: each[:, target].astype(np.float64) for name, each in predictions.items()}
    return MaskCurve(covered, scores, agreeing, smallest)


def _relative_area(shares: Doubles, scores: Doubles) -> float:
    possible = 1 - scores[0]
    return float(np.trapezoid(scores - scores[0], shares) / possible) if possible > 0 else 0.0


def smooth_masks(change_map: npt.NDArray[np.floating], shares: Sequence[float] = SHARES) -> Floats:
    """Nested masks of the pixels that act most, with soft edges.

    The absolute map is blurred, so that neighbours come together; the share of pixels with the largest values is
    selected, closed, opened and blurred.

    Args:
        change_map: Any unit and sign, finite, shape (H, W).
        shares: Shares of the pixels to select, from 0 to 1, ascending, M of them.

    Returns:
        Weights from 0 to 1, shape (M, H, W); all 0 for the share 0, all 1 for the share 1, never falling from one
        mask to the next. Their means differ from the shares by closing and opening.

    Raises:
        ValueError: Shares do not ascend from 0 to 1, or the map is not finite.
    """
    wanted = np.asarray(shares, np.float64)
    if len(wanted) < 2 or wanted[0] != 0 or wanted[-1] != 1 or (np.diff(wanted) <= 0).any():
        raise ValueError(f"shares are {tuple(shares)}; give ascending ones from 0 to 1")
    if not np.isfinite(change_map).all():
        raise ValueError("the change map has values that are not finite; give finite ones")
    side = 2 * (min(change_map.shape) // _STEP_PX) + 1
    sigma = side / 4
    action = gaussian_filter(np.abs(change_map).astype(np.float64), sigma, mode="nearest")
    order = np.argsort(-action, axis=None, kind="stable")
    rank = np.empty(order.size, np.int64)
    rank[order] = np.arange(order.size)
    counts = np.rint(wanted * order.size)
    masks = (rank.reshape(action.shape) < counts[:, None, None]).astype(np.float32)
    masks = grey_opening(grey_closing(masks, (1, side, side), mode="nearest"), (1, side, side), mode="nearest")
    masks = np.clip(gaussian_filter(masks, (0, sigma, sigma), mode="nearest"), 0, 1)
    masks[wanted == 1] = 1  # rounding of the blur
    nested: Floats = np.maximum.accumulate(masks, axis=0)
    return nested
