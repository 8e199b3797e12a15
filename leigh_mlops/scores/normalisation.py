"""Normalisation of profiles to the negative controls of their plates."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import rankdata

__all__ = [
    "FITTED_BY_CONTROLS",
    "MIN_CONTROLS",
    "NORMALISATIONS",
    "NormalisedProfiles",
    "align_spread",
    "control_halves",
    "inverse_normal",
    "normalise",
    "robustize",
    "sphere",
]

NORMALISATIONS = ("none", "mad", "inverse_normal", "sphering", "tvn")
"""Normalisations of :func:`normalise`."""

FITTED_BY_CONTROLS = ("sphering", "tvn")
"""Normalisations with so many parameters that the controls that fit them look more alike than other wells."""

MIN_CONTROLS = 3
"""Fewest controls of a plate; two always lie one MAD from their median, however near they are."""

MAD_TO_SD = 1.4826
_LEAST_SHARE = 1e-9  # of a feature's size: less spread is rounding
_BLOM = 3 / 8

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class NormalisedProfiles:
    """Profiles after a normalisation.

    Attributes:
        profiles: Shape (n, P'), without the features that are the same for the controls of a plate.
        kept: Whether each feature is left, shape (P,).
    """

    profiles: Array
    kept: Mask


def normalise(
    method: str, profiles: Array, controls: Mask, plates: NDArray[np.object_], *, regularisation: float = 0.1
) -> NormalisedProfiles:
    """Bring the profiles of several plates to the scale of the plates' own negative controls.

    ``mad``: distance from the median of the plate's controls in their MAD (:func:`robustize`).
    ``inverse_normal``: then the normal scores of the ranks over all plates, as in Arevalo et al. (2024, Nature
    Communications 15, 6516).
    ``sphering``: mean and standard deviation of the plate's controls, then :func:`sphere` with the controls of all
    plates. A MAD would let features dominate that are 0 for most controls, as many of a network are.
    ``tvn``: typical variation normalisation (Ando et al. 2017, bioRxiv 161422): ``sphering``, then
    :func:`align_spread` for each plate. Unlike there, profiles are rotated back, so that features keep their names,
    and each plate has its own centre.

    Args:
        method: One of ``NORMALISATIONS``.
        profiles: Shape (n, P), finite.
        controls: Whether each profile is a negative control, shape (n,); each plate has at least 3.
        plates: Plate of each profile, shape (n,).
        regularisation: Variance that sphering adds in every direction, as a share of the controls' mean variance.

    Raises:
        ValueError: The method is unknown, a plate has too few controls, or no feature varies among those of
            each plate.
    """
    if method not in NORMALISATIONS:
        raise ValueError(f"{method!r} is no normalisation; choose {', '.join(NORMALISATIONS)}")
    if method == "none":
        return NormalisedProfiles(profiles, np.ones(profiles.shape[1], bool))
    kept = _varying_features(profiles, controls, plates)
    made = np.empty((len(profiles), int(kept.sum())))
    for plate in np.unique(plates):
        own = plates == plate
        scale = _standardise if method in ("sphering", "tvn") else robustize
        made[own] = scale(profiles[own][:, kept], controls[own])
    if method == "inverse_normal":
        made = inverse_normal(made)
    if method in ("sphering", "tvn"):
        made = sphere(made, made[controls], regularisation)
    if method == "tvn":
        pooled = _principal_directions(made[controls])
        for plate in np.unique(plates):
            own = plates == plate
            made[own] = _exchange_spread(made[own], _principal_directions(made[own & controls]), pooled, 1.0)
    return NormalisedProfiles(made, kept)


def robustize(profiles: Array, controls: Mask) -> Array:
    """Distance from the median of the controls in units of their 1.4826 MAD, as pycytominer's ``mad_robustize``.

    Args:
        profiles: Profiles of one plate, shape (n, P).
        controls: Whether each is a control, shape (n,).

    Returns:
        Shape (n, P), infinite or not a number where the controls do not differ.

    Example:
        >>> robustize(np.array([[1.0], [2.0], [3.0], [9.0]]), np.array([True, True, True, False])).round(2).tolist()
        [[-0.67], [0.0], [0.67], [4.72]]
    """
    median = np.median(profiles[controls], axis=0)
    spread = MAD_TO_SD * np.median(np.abs(profiles[controls] - median), axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled: Array = (profiles - median) / spread
    return scaled


def inverse_normal(profiles: Array) -> Array:
    """Normal scores of the ranks of each feature (Blom 1958): outliers come near, and each feature is bell-shaped.

    Args:
        profiles: Shape (n, P).

    Returns:
        Shape (n, P); equal values have equal scores.

    Example:
        >>> inverse_normal(np.array([[0.0], [1.0], [100.0]])).round(2).tolist()
        [[-0.87], [0.0], [0.87]]
    """
    ranks = rankdata(profiles, axis=0)
    scores: Array = ndtri((ranks - _BLOM) / (len(profiles) + 1 - 2 * _BLOM))
    return scores


def sphere(profiles: Array, controls: Array, regularisation: float = 0.1) -> Array:
    """Regularised ZCA: directions in which controls vary much count little (Kessy et al. 2018).

    The covariance of the controls C becomes C + r I. Directions in which no control varies are scaled by r alone, so
    that a small r lets noise of few controls dominate.

    Args:
        profiles: Shape (n, P).
        controls: Controls, shape (m, P), m at least 2; their mean becomes 0.
        regularisation: r as a share of the controls' mean variance, above 0.

    Returns:
        Shape (n, P). The covariance of the controls is near the identity if r is small.

    Raises:
        ValueError: The regularisation is not above 0.
    """
    if not regularisation > 0:
        raise ValueError(f"regularisation is {regularisation:g}, but it must be above 0")
    centre = controls.mean(axis=0)
    directions, variances = _principal_directions(controls)
    ridge = regularisation * float(variances.sum()) / profiles.shape[1]
    return _power(profiles - centre, directions, variances + ridge, ridge, -0.5)


def control_halves(controls: Mask, plates: NDArray[np.object_], *, seed: int = 0) -> Mask:
    """Divide the controls of each plate into two halves at random, the first of which has one more if they are odd.

    Args:
        controls: Whether each profile is a negative control, shape (n,).
        plates: Plate of each profile, shape (n,).
        seed: Seed of the order.

    Returns:
        Masks of both halves, shape (2, n).

    Example:
        >>> control_halves(np.array([True] * 4 + [False]), np.array(["P"] * 5, object)).sum(axis=1).tolist()
        [2, 2]
    """
    generator, halves = np.random.default_rng(seed), np.zeros((2, len(controls)), bool)
    for plate in np.unique(plates):
        order = generator.permutation(np.flatnonzero(controls & (plates == plate)))
        halves[0, order[::2]] = halves[1, order[1::2]] = True
    return halves


def align_spread(profiles: Array, controls: Array, pooled: Array, ridge: float = 1.0) -> Array:
    """Give the controls of one plate the covariance of those of all plates (CORAL, Sun et al. 2016).

    Args:
        profiles: Profiles of the plate, shape (n, P), in units of the controls' spread.
        controls: Controls of the plate, shape (m, P).
        pooled: Controls of all plates, shape (M, P).
        ridge: Variance that is added to both covariances; 1 as in Ando et al. (2017).

    Returns:
        Shape (n, P), about the origin, which stays.
    """
    return _exchange_spread(profiles, _principal_directions(controls), _principal_directions(pooled), ridge)


def _varying_features(profiles: Array, controls: Mask, plates: NDArray[np.object_]) -> Mask:
    """Features that vary among the controls of each plate, shape (P,)."""
    kept = np.ones(profiles.shape[1], bool)
    for plate in np.unique(plates):
        own = profiles[(plates == plate) & controls]
        if len(own) < MIN_CONTROLS:
            raise ValueError(f"plate {plate} has {len(own)} negative controls, and {MIN_CONTROLS} are needed")
        mad = np.median(np.abs(own - np.median(own, axis=0)), axis=0)
        kept &= mad > _LEAST_SHARE * np.abs(own).max(axis=0)
    if not kept.any():
        raise ValueError("no feature varies among the negative controls of each plate")
    return kept


def _standardise(profiles: Array, controls: Mask) -> Array:
    known = profiles[controls]
    standardised: Array = (profiles - known.mean(axis=0)) / known.std(axis=0, ddof=1)
    return standardised


def _exchange_spread(profiles: Array, own: tuple[Array, Array], pooled: tuple[Array, Array], ridge: float) -> Array:
    """Replace the covariance of some directions and variances by that of others."""
    whitened = _power(profiles, own[0], own[1] + ridge, ridge, -0.5)
    return _power(whitened, pooled[0], pooled[1] + ridge, ridge, 0.5)


def _principal_directions(rows: Array) -> tuple[Array, Array]:
    """Orthonormal directions, shape (P, k), and variances of rows along them, shape (k,); k is at most their number."""
    _, lengths, directions = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
    return directions.T, np.square(lengths) / (len(rows) - 1)


def _power(rows: Array, directions: Array, values: Array, rest: float, exponent: float) -> Array:
    """Product of rows (n, P) with a power of the matrix that has these eigenvalues, and ``rest`` in other directions.

    The matrix itself, P times P, is never made.
    """
    along = rows @ directions
    made: Array = rest**exponent * (rows - along @ directions.T) + (along * values**exponent) @ directions.T
    return made
