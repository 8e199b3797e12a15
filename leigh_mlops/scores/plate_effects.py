"""Effects of row and column on a plate's scores, and their removal where the layout allows it."""

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "MIN_LINES",
    "BScoreRefusal",
    "BScores",
    "MedianPolish",
    "RefusalReason",
    "b_scores",
    "group_share",
    "line_share",
    "median_polish",
]

MAX_LINE_SHARE = 0.25
"""Share of the controls' variance between lines above which rows and columns are design, not nuisance."""

MIN_LINES = 3
_MAD_TO_SD = 1.4826

Array = NDArray[np.float64]


@dataclass(frozen=True)
class MedianPolish:
    """Decomposition of a plate as overall + row + column + residual.

    Attributes:
        overall: The plate's level.
        rows: Effect of each row, shape (R,).
        columns: Effect of each column, shape (C,).
        residuals: Residual of each well, shape (R, C); NaN where there is no well.
    """

    overall: float
    rows: Array
    columns: Array
    residuals: Array


class RefusalReason(StrEnum):
    """Reasons why a plate has no B-scores."""

    FEW_LINES = "few lines"
    CONTROLS_FILL_LINES = "controls fill lines"
    FEW_SAMPLES = "few samples"
    NO_SPREAD = "no spread"


@dataclass(frozen=True)
class BScoreRefusal:
    """Reason why a plate has no B-scores, with its numbers.

    Attributes:
        reason: The reason.
        line: ``row`` or ``column``, of the first two reasons.
        lines: Number of lines that hold wells, where these are few.
        group: Group of controls that fills lines.
        share: Share of that group's variance between lines, 0 to 1.
        controls: Number of wells that are no samples, where samples are few.
        wells: Number of all wells.
    """

    reason: RefusalReason
    line: str = ""
    lines: int = 0
    group: str = ""
    share: float = math.nan
    controls: int = 0
    wells: int = 0


@dataclass(frozen=True)
class BScores:
    """B-scores of a plate, or why there are none.

    Attributes:
        scores: One per well, shape (N,); None if they are refused.
        refusal: Reason of the refusal; None if there are scores.
    """

    scores: Array | None
    refusal: BScoreRefusal | None = None


def median_polish(plate: ArrayLike, *, iterations: int = 10, tolerance: float = 0.01) -> MedianPolish:
    """Subtract the medians of rows and columns in turn (Tukey 1977, ch. 11).

    Args:
        plate: Scores by row and column, shape (R, C), NaN where there is no well.
        iterations: Largest number of iterations.
        tolerance: Relative change of the sum of absolute residuals below which iteration stops.

    Raises:
        ValueError: The plate does not have two axes, or has no score.

    Example:
        >>> median_polish([[1.0, 2.0], [3.0, 4.0]]).overall
        2.5
    """
    left = np.array(plate, dtype=np.float64)
    if left.ndim != 2 or not np.isfinite(left).any():
        raise ValueError(f"a plate of shape {left.shape} has no scores to polish; give rows and columns")
    overall, rows, columns = 0.0, np.zeros(left.shape[0]), np.zeros(left.shape[1])
    before = np.inf
    for _ in range(iterations):
        step = _line_medians(left, axis=1)
        left -= step[:, None]
        rows += step
        moved = float(np.median(columns))
        columns, overall = columns - moved, overall + moved
        step = _line_medians(left, axis=0)
        left -= step[None]
        columns += step
        moved = float(np.median(rows))
        rows, overall = rows - moved, overall + moved
        now = float(np.nansum(np.abs(left)))
        if now == 0 or abs(before - now) < tolerance * now:
            break
        before = now
    return MedianPolish(overall, rows, columns, left)


def line_share(groups: ArrayLike, lines: ArrayLike) -> float:
    """Share of a group's variance between lines, corrected for their number (epsilon squared).

    Args:
        groups: Whether each well belongs to the group (a control, a class), shape (N,).
        lines: Row or column of each well, shape (N,).

    Returns:
        1 if lines hold either only the group or none of it, about 0 if it is scattered; 0
        if all wells, or none, belong to it, or if each line holds one well.

    Example:
        >>> line_share([True, True, False, False], [1, 1, 2, 2])
        1.0
    """
    return group_share(np.asarray(groups, dtype=np.float64)[:, None], lines)


def group_share(profiles: ArrayLike, groups: ArrayLike) -> float:
    """Share of the variance of profiles between groups, corrected for their number (epsilon squared).

    Variances are summed over the features, as a distance weighs them.

    Args:
        profiles: Shape (N, P).
        groups: Group of each profile, such as its plate, shape (N,).

    Returns:
        0 to 1: 1 if all profiles of a group are equal and the groups differ; 0 for one group, for groups of
        one, or if all profiles are equal.

    Example:
        >>> group_share([[0.0], [1.0], [4.0], [5.0]], ["A", "A", "B", "B"]).__round__(2)
        0.91
    """
    values = np.asarray(profiles, dtype=np.float64)
    _, index = np.unique(np.asarray(groups), return_inverse=True)
    counts = np.bincount(index)
    total, free = float(np.square(values - values.mean(axis=0)).sum()), len(values) - counts.size
    if total == 0 or free < 1:
        return 0.0
    sums = np.zeros((counts.size, values.shape[1]))
    np.add.at(sums, index, values)
    within = float(np.square(values - (sums / counts[:, None])[index]).sum())
    return max(0.0, 1 - (within / free) / (total / (len(values) - 1)))


def b_scores(scores: ArrayLike, rows: ArrayLike, columns: ArrayLike, groups: ArrayLike) -> BScores:
    """Residuals of a median polish in units of 1.4826 MAD (Brideau et al. 2003), where they are meaningful.

    A median polish treats differences between rows and columns as nuisance. It removes the effect itself
    if a group of controls fills lines, or if most wells differ by design.

    Args:
        scores: One per well of one plate, finite, shape (N,).
        rows: Row of each well, whole numbers, shape (N,).
        columns: Column of each well, shape (N,).
        groups: Content of each well: the name of a control or class, or the empty string for a
            sample, shape (N,).

    Returns:
        The scores, or why there are none.
    """
    values, names = np.asarray(scores, dtype=np.float64), np.asarray(groups, dtype=object)
    lines = {"row": np.asarray(rows, dtype=np.int64), "column": np.asarray(columns, dtype=np.int64)}
    refusal = _find_refusal(names, lines)
    if refusal is not None:
        return BScores(None, refusal)
    plate = np.full([int(line.max()) + 1 for line in lines.values()], np.nan)
    plate[lines["row"], lines["column"]] = values
    used = plate[np.ix_(*(np.unique(line) for line in lines.values()))]
    polished = np.full(plate.shape, np.nan)
    polished[np.ix_(*(np.unique(line) for line in lines.values()))] = median_polish(used).residuals
    residuals = polished[lines["row"], lines["column"]]
    spread = _MAD_TO_SD * float(np.median(np.abs(residuals - np.median(residuals))))
    if spread == 0:
        return BScores(None, BScoreRefusal(RefusalReason.NO_SPREAD))
    return BScores(residuals / spread)


def _find_refusal(names: NDArray[np.object_], lines: dict[str, NDArray[np.int64]]) -> BScoreRefusal | None:
    for kind, line in lines.items():
        if np.unique(line).size < MIN_LINES:
            return BScoreRefusal(RefusalReason.FEW_LINES, line=kind, lines=np.unique(line).size)
        for name in sorted({str(each) for each in names if each}):
            share = line_share(names == name, line)
            if share > MAX_LINE_SHARE:
                return BScoreRefusal(RefusalReason.CONTROLS_FILL_LINES, line=kind, group=name, share=share)
    if 2 * int((names == "").sum()) < names.size:
        return BScoreRefusal(RefusalReason.FEW_SAMPLES, controls=int((names != "").sum()), wells=names.size)
    return None


def _line_medians(values: Array, axis: int) -> Array:
    """Medians of the finite values; 0 for a line without a well."""
    known = np.isfinite(values).any(axis=axis)
    medians = np.zeros(known.shape)
    some = values[known] if axis == 1 else values[:, known]
    medians[known] = np.nanmedian(some, axis=axis)
    return medians
