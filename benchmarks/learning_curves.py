"""Learning curves of a search's trials as one Gaussian process, by which freeze-thaw chooses the trial to train next.

Freeze-thaw (Swersky et al. 2014, arXiv 1406.3896) trains one epoch at a time: it pauses a trial when another one
promises more, and continues it later. As there, a curve goes from a start that says little of a trial to an asymptote
that follows from its configuration; other than there, the way is a power of the logarithm of the epoch, and the parts
of single hyperparameters add up, so that few trials show which of them matter. As in ifBO (Rakotoarison et al. 2024,
arXiv 2404.16795), one epoch of a begun or a new trial is chosen at a time, but by the expected improvement until the
last epoch instead of a random threshold and horizon, and without its network FT-PFN, whose weights are a pickle that
its package fetches when it is used.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_solve, solve_triangular
from scipy.optimize import minimize

from leigh_mlops.settings import Choice, SearchSpace

__all__ = ["CurveModel", "choose_trial", "encode_configs"]

Array = npt.NDArray[np.float64]

_DRAWS = 128
_FIT_STEPS = 8
_FALL = 1.0
"""Fall of the logarithm of a loss from the first to the last epoch that is expected before anything is known."""
_START_SD, _FALL_SD = 0.03, 0.4
"""Standard deviations of the start of a trial, and of the fall that all trials share."""
_SCALE, _JOINT_SCALE = 1.0, 1.5
"""Length scales of one hyperparameter, and of all together, see :func:`encode_configs`."""
_TYPICAL = np.log([0.1, 0.15, 0.5, 0.06, 2.0, 0.2])
"""Logarithms of what is typical of the logarithm of a loss: standard deviations of the common curve and of a trial's
own part; length scale of the logarithm of the epoch; noise of an epoch; power of the way to the asymptote; standard
deviation of what hyperparameters do together."""
_TYPICAL_SINGLE = np.log(0.15)
"""As before: standard deviation of what one hyperparameter does."""
_PRIOR_SD = np.array([0.5, 0.5, 0.5, 0.5, 0.3, 0.7])
_PRIOR_SD_SINGLE = 0.8
_REACH = 4.0
"""Standard deviations of the prior within which parameters are sought, since covariances overflow far outside."""


def encode_configs(space: SearchSpace, configs: Iterable[Mapping[str, Any]]) -> list[Array]:
    """Encode what a search varies as numbers, an array of shape (n, values) for each hyperparameter.

    A range becomes one number from 0 to 1, on a logarithmic scale where the space draws so. A choice becomes one number
    per value, such that two values are as far apart as the ends of a range.
    """
    given = list(configs)
    return [np.array([_encode(space, key, config[key]) for config in given]) for key in space.space]


def _encode(space: SearchSpace, key: str, value: Any) -> list[float]:
    domain = space.space[key]
    if isinstance(domain, Choice):
        return [np.sqrt(0.5) * (value == each) for each in domain.values]
    low, high, given = (np.log(each) if domain.log else each for each in (domain.low, domain.high, value))
    return [float((given - low) / (high - low))]


@dataclass(frozen=True)
class _Points:
    """Epochs of trials: index of the trial and epoch from 0, both of shape (n,)."""

    trials: npt.NDArray[np.int64]
    epochs: npt.NDArray[np.int64]


class CurveModel:
    """Gaussian process on the logarithms of losses, by configuration and epoch.

    Args:
        features: Configurations of all trials, see :func:`encode_configs`.
        epochs: Epochs of a trial that is trained to its end.
    """

    def __init__(self, features: Sequence[Array], epochs: int) -> None:
        squares = np.array([((each[:, None] - each[None]) ** 2).sum(-1) for each in features])
        self._single = _matern(np.sqrt(squares) / _SCALE)
        self._joint = _matern(np.sqrt(squares.sum(0)) / _JOINT_SCALE)
        self._times = np.log(np.arange(1, epochs + 1)) / np.log(max(2, epochs))
        self._typical = np.append(_TYPICAL, np.full(len(features), _TYPICAL_SINGLE))
        self._prior_sd = np.append(_PRIOR_SD, np.full(len(features), _PRIOR_SD_SINGLE))
        self._logs = self._typical

    def tune(self, losses: Sequence[Sequence[float]]) -> None:
        """Choose the parameters of the largest posterior density under a log-normal prior, from the present ones on.

        Args:
            losses: As those of :meth:`fit`.
        """
        known = self._read(losses)
        options = {"maxiter": _FIT_STEPS}
        found = minimize(self._density, self._logs, args=(known,), method="L-BFGS-B", options=options)
        self._logs = self._within_reach(found.x)

    def fit(self, losses: Sequence[Sequence[float]]) -> "CurveModel":
        """Fit the process to the losses so far, a curve for each trial, empty where it has not started.

        Raises:
            ValueError: There is no loss, or one is not above 0.
        """
        known = self._read(losses)
        self._root = np.linalg.cholesky(self._known_covariance(self._logs))
        self._weights = cho_solve((self._root, True), known)
        return self

    def predict(self, trials: Sequence[int]) -> tuple[Array, Array]:
        """Predict the logarithms of the losses of trials at each epoch, noise included.

        Returns:
            Means, shape (trials, epochs), and covariances of each trial, shape (trials, epochs, epochs).
        """
        many, epochs = len(trials), len(self._times)
        every = np.arange(epochs)
        points = _Points(np.repeat(np.asarray(trials), epochs), np.tile(every, many))
        across = self._covariance(self._logs, points, self._points)
        white = solve_triangular(self._root, across.T, lower=True).reshape(-1, many, epochs)
        means = self._means(points.epochs) + across @ self._weights
        each = [_Points(np.full(epochs, trial), every) for trial in trials]
        before = np.array([self._covariance(self._logs, one, one) for one in each])
        noise = np.eye(epochs) * _noise(self._logs)
        return means.reshape(many, epochs), before + noise - np.einsum("nte,ntf->tef", white, white)

    def _read(self, losses: Sequence[Sequence[float]]) -> Array:
        """Take over where losses are known, and return their logarithms less the means."""
        logs = [np.log(curve) for curve in losses if all(loss > 0 for loss in curve)]
        if len(logs) < len(losses) or not any(map(len, logs)):
            raise ValueError("The process needs a loss, and all of them above 0; train one epoch of a trial first.")
        self._points = _Points(
            np.array([trial for trial, curve in enumerate(losses) for _ in curve]),
            np.array([epoch for curve in losses for epoch in range(len(curve))]),
        )
        self._start = float(np.median([curve[0] for curve in logs if len(curve)]))
        known: Array = np.concatenate(logs) - self._means(self._points.epochs)
        return known

    def _means(self, epochs: npt.NDArray[np.int64]) -> Array:
        """Means before anything is known of a trial."""
        means: Array = self._start - _FALL * self._times[epochs] ** np.exp(_TYPICAL[4])
        return means

    def _density(self, logs: Array, known: Array) -> float:
        """Negative logarithm of the posterior density of the parameters, up to a constant."""
        root = np.linalg.cholesky(self._known_covariance(self._within_reach(logs)))
        white = solve_triangular(root, known, lower=True)
        prior = ((logs - self._typical) / self._prior_sd) ** 2
        return float(0.5 * white @ white + np.log(np.diag(root)).sum() + 0.5 * prior.sum())

    def _within_reach(self, logs: Array) -> Array:
        """Parameters of which none is farther from what is typical than is sought."""
        reach = _REACH * self._prior_sd
        return np.clip(logs, self._typical - reach, self._typical + reach)

    def _known_covariance(self, logs: Array) -> Array:
        return self._covariance(logs, self._points, self._points) + np.eye(len(self._points.trials)) * _noise(logs)

    def _covariance(self, logs: Array, first: _Points, second: _Points) -> Array:
        common, own, scale, _, power, joint = np.exp(logs[:6])
        near = _matern(np.abs(self._times[first.epochs][:, None] - self._times[second.epochs][None]) / scale)
        same = first.trials[:, None] == second.trials[None]
        way = self._times**power
        alike = np.tensordot(np.exp(2 * logs[6:]), self._single, 1) + joint**2 * self._joint
        # Half of the variance is that of the asymptote, half that of the way there.
        part = (alike[np.ix_(first.trials, second.trials)] + own**2 * same) * 0.5 * (1 + near)
        far = way[first.epochs][:, None] * way[second.epochs][None] * (_FALL_SD**2 + part)
        covariance: Array = common**2 * near + _START_SD**2 * same + far
        return covariance


def _matern(distances: Array) -> Array:
    """Matérn correlation of smoothness 3/2."""
    scaled = np.sqrt(3) * distances
    correlation: Array = (1 + scaled) * np.exp(-scaled)
    return correlation


def _noise(logs: Array) -> float:
    return float(np.exp(2 * logs[3])) + 1e-6


def choose_trial(
    model: CurveModel, losses: Sequence[Sequence[float]], candidates: Collection[int], *, seed: int = 0
) -> int:
    """Choose the trial that is trained for the next epoch.

    It is the one with the largest expected improvement on the best loss so far, were it trained to its end.

    Args:
        model: Process that is fitted to the losses.
        losses: Losses of each trial so far.
        candidates: Indices of the trials that may be trained, each with an epoch left.
        seed: Seed of the draws by which the improvement is estimated.

    Raises:
        ValueError: There is no candidate.
    """
    trials = sorted(candidates)
    if not trials:
        raise ValueError("No trial is left to train; give at least one candidate.")
    best = np.log(min(min(curve) for curve in losses if curve))
    means, covariances = model.predict(trials)
    normal = np.random.default_rng(seed).standard_normal((_DRAWS, means.shape[1]))
    gains = []
    for trial, mean, covariance in zip(trials, means, covariances, strict=True):
        left = slice(len(losses[trial]), None)
        lowest = (mean[left] + normal[:, left] @ np.linalg.cholesky(covariance[left, left]).T).min(axis=1)
        gains.append(float(np.maximum(best - lowest, 0).mean()))
    return trials[int(np.argmax(gains))]
