"""Dose responses: fit of a four-parameter logistic curve."""

import math
import warnings
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from scipy.optimize import OptimizeWarning, curve_fit

__all__ = ["CurveRefusal", "DoseResponse", "FitProblem", "fit_dose_response", "four_parameter_logistic"]

MIN_DOSES = 4
FIT_SIGNIFICANCE = 0.05
"""p of the F test against a flat line below which a curve is accepted."""

_PARAMETER_COUNT = 4
MIN_CURVE_WELLS = _PARAMETER_COUNT + 2
_GRID_POINTS = 25
_REFINEMENT_P = 4 * FIT_SIGNIFICANCE  # the best curve of the grid is close to the optimum
_MAX_HILL, _MIN_HILL = 10.0, 0.1
_EC50_MARGIN = 10.0  # factor beyond the doses within which EC50 is fitted, to detect one outside of them

Array = NDArray[np.float64]


class FitProblem(StrEnum):
    """Reasons why there is no curve."""

    FEW_DOSES = "few doses"
    FEW_WELLS = "few wells"
    ALIKE = "all wells respond alike"
    NO_FIT = "no fit"
    FLAT = "no better than a flat line"
    OUTSIDE = "half of the effect lies outside of the doses"


@dataclass(frozen=True)
class CurveRefusal:
    """Reason why there is no curve, with its numbers.

    Attributes:
        problem: The reason.
        doses: Number of different doses above 0.
        wells: Number of wells.
        p: p of the F test against a flat line; NaN where it was not reached.
    """

    problem: FitProblem
    doses: int
    wells: int
    p: float = math.nan


@dataclass(frozen=True)
class DoseResponse:
    """Fitted curve, or the reason why there is none.

    Attributes:
        bottom: Response at dose 0, in the responses' unit; NaN, as all numbers, if refused.
        top: Response at infinite dose.
        ec50: Dose of half the effect, in the doses' unit.
        low: Lower end of its 95 % interval.
        high: Upper end.
        hill: Steepness, above 0.
        p: p of the F test against a flat line, 0 to 1.
        doses: Number of different doses.
        refusal: Reason why there is no curve; None if there is one.
    """

    bottom: float
    top: float
    ec50: float
    low: float
    high: float
    hill: float
    p: float
    doses: int
    refusal: CurveRefusal | None = None

    def __call__(self, doses: ArrayLike) -> Array:
        """Return the responses at some doses; NaN if there is no curve."""
        return four_parameter_logistic(
            np.asarray(doses, np.float64), self.bottom, self.top, math.log10(self.ec50), self.hill
        )


def four_parameter_logistic(doses: Array, bottom: float, top: float, log_ec50: float, hill: float) -> Array:
    """Evaluate the four-parameter logistic, bottom + (top - bottom) / (1 + (EC50 / dose)^hill).

    Args:
        doses: Doses of at least 0, shape (N,).
        bottom: Response at dose 0.
        top: Response at infinite dose; below ``bottom`` for a falling curve.
        log_ec50: Decimal logarithm of the dose of half the effect.
        hill: Steepness, above 0.

    Example:
        >>> four_parameter_logistic(np.array([0.0, 1.0, 10.0]), 0.0, 100.0, 0.0, 1.0).round(2).tolist()
        [0.0, 50.0, 90.91]
    """
    share = np.zeros(np.shape(doses))
    given = np.asarray(doses) > 0
    power = hill * (np.log10(np.asarray(doses, np.float64)[given]) - log_ec50)
    # 1 / (1 + 10^-x) without overflow.
    share[given] = 0.5 * (1 + np.tanh(0.5 * math.log(10) * power))
    curve: Array = bottom + (top - bottom) * share
    return curve


def fit_dose_response(doses: ArrayLike, responses: ArrayLike) -> DoseResponse:
    """Fit the curve by least squares over wells.

    EC50 is fitted on a logarithmic scale, where its error is close to normal; its interval is
    Student's there, on N - 4 degrees of freedom.

    Args:
        doses: Dose of each well, at least 0, shape (N,), any unit.
        responses: Response of each well, finite, shape (N,), such as percent rescue.

    Returns:
        The curve. It is refused if there are fewer than four different doses above 0 or fewer
        than six wells, if it is no better than a flat line (F test, p of at least 0.05), and
        if EC50 lies outside of the doses, so that half of the effect was not observed.
    """
    x, y = np.asarray(doses, dtype=np.float64), np.asarray(responses, dtype=np.float64)
    given = np.unique(x[x > 0])
    if (problem := _find_problem(given, y)) is not None:
        return _refused_fit(problem, given.size, y.size)
    flat, free = float(np.square(y - y.mean()).sum()), y.size - _PARAMETER_COUNT
    start, left = _search_grid(x, y, given)
    found: Array | None = None
    covariance = np.full((_PARAMETER_COUNT, _PARAMETER_COUNT), np.nan)
    if _f_test(flat, left, free) < _REFINEMENT_P:
        found, covariance = _refine_fit(x, y, given, start)
        if found is None:
            return _refused_fit(FitProblem.NO_FIT, given.size, y.size)
        left = float(np.square(y - four_parameter_logistic(x, *found)).sum())
    p = _f_test(flat, left, free)
    if found is None or p >= FIT_SIGNIFICANCE:
        return _refused_fit(FitProblem.FLAT, given.size, y.size, p)
    bottom, top, log_ec50, hill = map(float, found)
    if not math.log10(given[0]) <= log_ec50 <= math.log10(given[-1]):
        return _refused_fit(FitProblem.OUTSIDE, given.size, y.size, p)
    error = math.sqrt(covariance[2, 2]) if np.isfinite(covariance[2, 2]) else math.nan
    reach = float(stats.t.ppf(0.975, free)) * error
    low, high = (_dose_from_log(log_ec50 + sign * reach) for sign in (-1, 1))
    return DoseResponse(bottom, top, 10**log_ec50, low, high, hill, p, given.size)


def _find_problem(given: Array, y: Array) -> FitProblem | None:
    if given.size < MIN_DOSES:
        return FitProblem.FEW_DOSES
    if y.size < MIN_CURVE_WELLS:
        return FitProblem.FEW_WELLS
    return FitProblem.ALIKE if np.ptp(y) <= 1e-9 * np.abs(y).max() else None


def _search_grid(x: Array, y: Array, given: Array) -> tuple[Array, float]:
    """Find the best curve on a grid of EC50 and steepness, linear in bottom and top, and its residual squares."""
    best, least = np.zeros(_PARAMETER_COUNT), math.inf
    logs = np.log10(given)
    for log_ec50 in np.linspace(logs[0] - 0.5, logs[-1] + 0.5, _GRID_POINTS):
        for hill in (0.5, 1.0, 2.0, 5.0):
            share = four_parameter_logistic(x, 0.0, 1.0, log_ec50, hill)
            away = share - share.mean()
            height = float(away @ y) / float(away @ away)
            bottom = float(y.mean()) - height * float(share.mean())
            left = float(np.square(y - bottom - height * share).sum())
            if left < least:
                best, least = np.array([bottom, bottom + height, log_ec50, hill]), left
    return best, least


def _refine_fit(x: Array, y: Array, given: Array, start: Array) -> tuple[Array | None, Array]:
    logs, reach, height = np.log10(given), math.log10(_EC50_MARGIN), float(np.ptp(y))
    low = np.array([y.min() - height, y.min() - height, logs[0] - reach, _MIN_HILL])
    high = np.array([y.max() + height, y.max() + height, logs[-1] + reach, _MAX_HILL])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OptimizeWarning)  # an unknown error is infinite, and gives no interval
        try:
            found, covariance = curve_fit(
                four_parameter_logistic,
                x,
                y,
                p0=np.clip(start, low, high),
                bounds=(low, high),
                x_scale="jac",
                max_nfev=500,
            )
        except RuntimeError:  # no convergence
            return None, np.full((_PARAMETER_COUNT, _PARAMETER_COUNT), np.nan)
    return found, covariance


def _f_test(flat: float, left: float, free: int) -> float:
    """F test of three additional parameters (extra sum of squares)."""
    if left <= 1e-15 * flat:
        return 0.0
    more = _PARAMETER_COUNT - 1
    return float(stats.f.sf((flat - left) / more / (left / free), more, free))


def _dose_from_log(log_dose: float) -> float:
    """Convert a decimal logarithm to a dose; infinite above 1e300."""
    return math.inf if log_dose > 300 else 10**log_dose


def _refused_fit(problem: FitProblem, doses: int, wells: int, p: float = math.nan) -> DoseResponse:
    nan = math.nan
    return DoseResponse(nan, nan, nan, nan, nan, nan, p, doses, CurveRefusal(problem, doses, wells, p))
