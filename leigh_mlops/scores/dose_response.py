"""How an effect grows with the dose."""

import math
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from scipy.optimize import OptimizeWarning, curve_fit

__all__ = ["DoseResponse", "fit_dose_response", "four_parameters"]

FEWEST_DOSES = 4
BETTER = 0.05
"""p of the F test against a flat line at which a curve counts as one."""

_PARAMETERS = 4
_GRID = 25
_WORTH_REFINING = 4 * BETTER  # the best curve of the grid is nearly the best of all
_STEEPEST, _FLATTEST = 10.0, 0.1
_BEYOND = 10.0  # EC50 is looked for so many times outside of the doses, so that one outside is known as such

Array = NDArray[np.float64]


@dataclass(frozen=True)
class DoseResponse:
    """A fitted curve, or why there is none.

    Attributes:
        bottom: Response at no dose, in the responses' unit; NaN, as all numbers, where refused.
        top: Response at a dose without end.
        ec50: Dose of half the way, in the doses' unit.
        low: Lower end of its 95 % interval.
        high: Upper end.
        hill: Steepness, above 0.
        p: Of the F test against a flat line, 0 to 1.
        doses: Number of different doses.
        reason: Why there is no curve; empty where there is one.
    """

    bottom: float
    top: float
    ec50: float
    low: float
    high: float
    hill: float
    p: float
    doses: int
    reason: str = ""

    def __call__(self, doses: ArrayLike) -> Array:
        """Responses at some doses; NaN where there is no curve."""
        return four_parameters(np.asarray(doses, np.float64), self.bottom, self.top, math.log10(self.ec50), self.hill)


def four_parameters(doses: Array, bottom: float, top: float, log_ec50: float, hill: float) -> Array:
    """The four-parameter logistic, bottom + (top - bottom) / (1 + (EC50 / dose)^hill).

    Args:
        doses: At least 0, shape (N,).
        bottom: Response at dose 0.
        top: Response at a dose without end; below ``bottom`` for a curve that falls.
        log_ec50: Decimal logarithm of the dose of half the way.
        hill: Steepness, above 0.

    Example:
        >>> four_parameters(np.array([0.0, 1.0, 10.0]), 0.0, 100.0, 0.0, 1.0).round(2).tolist()
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
        The curve. It is refused where there are fewer than four different doses above 0 or fewer
        than six wells, where it is no better than a flat line (F test, p of at least 0.05), and
        where EC50 lies outside of the doses, so that half of the effect was not seen.
    """
    x, y = np.asarray(doses, dtype=np.float64), np.asarray(responses, dtype=np.float64)
    given = np.unique(x[x > 0])
    if reason := _too_little(given, y):
        return _none(given.size, reason)
    flat, free = float(np.square(y - y.mean()).sum()), y.size - _PARAMETERS
    start, left = _start(x, y, given)
    found: Array | None = None
    covariance = np.full((_PARAMETERS, _PARAMETERS), np.nan)
    if _better(flat, left, free) < _WORTH_REFINING:
        found, covariance = _refined(x, y, given, start)
        if found is None:
            return _none(given.size, "no curve could be fitted")
        left = float(np.square(y - four_parameters(x, *found)).sum())
    p = _better(flat, left, free)
    if found is None or p >= BETTER:
        return _none(given.size, f"no better than a flat line (F test, p {p:.2g}, {y.size} wells)", p)
    bottom, top, log_ec50, hill = map(float, found)
    if not math.log10(given[0]) <= log_ec50 <= math.log10(given[-1]):
        return _none(given.size, "half of the effect lies outside of the doses given", p)
    error = math.sqrt(covariance[2, 2]) if np.isfinite(covariance[2, 2]) else math.nan
    reach = float(stats.t.ppf(0.975, free)) * error
    low, high = (_power(log_ec50 + sign * reach) for sign in (-1, 1))
    return DoseResponse(bottom, top, 10**log_ec50, low, high, hill, p, given.size)


def _too_little(given: Array, y: Array) -> str:
    if given.size < FEWEST_DOSES:
        return f"{given.size} different doses; a curve needs {FEWEST_DOSES}"
    if y.size < _PARAMETERS + 2:
        return f"{y.size} wells; a curve of four parameters needs {_PARAMETERS + 2}"
    return "all wells respond alike" if np.ptp(y) <= 1e-9 * np.abs(y).max() else ""


def _start(x: Array, y: Array, given: Array) -> tuple[Array, float]:
    """The best curve of a grid of EC50 and steepness, where bottom and top are linear, and its squares left."""
    best, least = np.zeros(_PARAMETERS), math.inf
    logs = np.log10(given)
    for log_ec50 in np.linspace(logs[0] - 0.5, logs[-1] + 0.5, _GRID):
        for hill in (0.5, 1.0, 2.0, 5.0):
            share = four_parameters(x, 0.0, 1.0, log_ec50, hill)
            away = share - share.mean()
            height = float(away @ y) / float(away @ away)
            bottom = float(y.mean()) - height * float(share.mean())
            left = float(np.square(y - bottom - height * share).sum())
            if left < least:
                best, least = np.array([bottom, bottom + height, log_ec50, hill]), left
    return best, least


def _refined(x: Array, y: Array, given: Array, start: Array) -> tuple[Array | None, Array]:
    logs, reach, height = np.log10(given), math.log10(_BEYOND), float(np.ptp(y))
    low = np.array([y.min() - height, y.min() - height, logs[0] - reach, _FLATTEST])
    high = np.array([y.max() + height, y.max() + height, logs[-1] + reach, _STEEPEST])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OptimizeWarning)  # an unknown error has no interval, and is infinite
        try:
            found, covariance = curve_fit(
                four_parameters, x, y, p0=np.clip(start, low, high), bounds=(low, high), x_scale="jac", max_nfev=500
            )
        except RuntimeError:  # it did not converge
            return None, np.full((_PARAMETERS, _PARAMETERS), np.nan)
    return found, covariance


def _better(flat: float, left: float, free: int) -> float:
    """P of three more parameters (extra sum of squares)."""
    if left <= 1e-15 * flat:
        return 0.0
    more = _PARAMETERS - 1
    return float(stats.f.sf((flat - left) / more / (left / free), more, free))


def _power(log_dose: float) -> float:
    """A dose from its logarithm; without end where it is larger than any number."""
    return math.inf if log_dose > 300 else 10**log_dose


def _none(doses: int, reason: str, p: float = math.nan) -> DoseResponse:
    nan = math.nan
    return DoseResponse(nan, nan, nan, nan, nan, nan, p, doses, reason)
