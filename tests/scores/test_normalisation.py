import warnings

import numpy as np
import pandas as pd
import pytest

from leigh_mlops.scores.normalisation import (
    NORMALISATIONS,
    align_spread,
    inverse_normal,
    normalise,
    robustize,
    sphere,
)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it sets an option that pandas no longer has
    from pycytominer.operations.transform import RobustMAD, Spherize


def screen(controls: int = 20, features: int = 6, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Profiles of two plates that differ in level and spread, with an effect in treated wells; controls; plates."""
    rng = np.random.default_rng(seed)
    count = 2 * controls
    mixing = rng.normal(size=(features, features))
    plates = np.repeat(["A", "B"], count)
    treated = np.tile(np.arange(count) >= controls, 2)
    profiles = rng.normal(size=(2 * count, features)) @ mixing
    profiles[treated] += 3.0
    profiles[plates == "B"] = 5.0 + 2.0 * profiles[plates == "B"]
    return profiles, ~treated, plates.astype(object)


def plate_share(profiles: np.ndarray, plates: np.ndarray) -> float:
    within = sum(np.square(rows - rows.mean(0)).sum() for rows in (profiles[plates == p] for p in ("A", "B")))
    return float(1 - within / np.square(profiles - profiles.mean(0)).sum())


def test_mad_is_that_of_pycytominer() -> None:
    profiles, controls, plates = screen()
    own = plates == "A"
    expected = RobustMAD(epsilon=0).fit(pd.DataFrame(profiles[own & controls])).transform(pd.DataFrame(profiles[own]))
    np.testing.assert_allclose(robustize(profiles[own], controls[own]), expected)
    np.testing.assert_allclose(normalise("mad", profiles, controls, plates).profiles[own], expected)


def test_sphering_with_little_regularisation_is_that_of_pycytominer() -> None:
    profiles, controls, _ = screen()
    known, table = profiles[controls], pd.DataFrame(profiles)
    expected = Spherize(epsilon=0, method="ZCA").fit(table[controls]).transform(table)
    assert not np.allclose(sphere(profiles, known, 0.1), expected, rtol=1e-3)
    np.testing.assert_allclose(sphere(profiles, known, 1e-9), expected, rtol=1e-6, atol=1e-6)


def test_sphering_of_few_controls_is_that_of_the_whole_matrix() -> None:
    rng = np.random.default_rng(1)
    profiles, controls = rng.normal(size=(5, 30)), rng.normal(size=(8, 30))
    covariance = np.cov(controls.T)
    ridge = 0.2 * np.trace(covariance) / 30
    values, vectors = np.linalg.eigh(covariance + ridge * np.eye(30))
    expected = (profiles - controls.mean(0)) @ vectors @ np.diag(values**-0.5) @ vectors.T
    np.testing.assert_allclose(sphere(profiles, controls, 0.2), expected, rtol=1e-6)


def test_spread_is_aligned() -> None:
    rng = np.random.default_rng(2)
    pooled = rng.normal(size=(4000, 3)) @ rng.normal(size=(3, 3))
    own = rng.normal(size=(4000, 3)) * [1.0, 5.0, 0.2]
    assert not np.allclose(np.cov(own.T), np.cov(pooled.T), atol=0.5)
    np.testing.assert_allclose(np.cov(align_spread(own, own, pooled, 1e-6).T), np.cov(pooled.T), rtol=1e-3, atol=1e-3)


def test_ranks_become_normal_scores() -> None:
    rng = np.random.default_rng(3)
    skewed = np.exp(3 * rng.normal(size=(999, 2)))
    scores = inverse_normal(skewed)
    assert abs(scores.std() - 1) < 0.02
    assert np.abs(scores).max() < 3.5
    np.testing.assert_array_equal(np.argsort(skewed, axis=0), np.argsort(scores, axis=0))


@pytest.mark.parametrize("method", NORMALISATIONS)
def test_plates_come_to_one_level(method: str) -> None:
    profiles, controls, plates = screen()
    made = normalise(method, profiles, controls, plates)
    share = plate_share(made.profiles, plates)
    assert (share > 0.2) if method == "none" else (share < 0.06)
    assert made.kept.all()


def test_tvn_whitens_the_controls_of_each_plate() -> None:
    profiles, controls, plates = screen(controls=400)
    profiles[(plates == "A")] *= [1.0, 3.0, 1.0, 1.0, 1.0, 1.0]

    def error(method: str) -> float:
        made = normalise(method, profiles, controls, plates, regularisation=1e-6).profiles
        return float(np.mean([np.abs(np.cov(made[controls & (plates == p)].T) - np.eye(6)).max() for p in ("A", "B")]))

    assert error("tvn") < 0.7 * error("sphering")


def test_features_without_spread_among_the_controls_of_a_plate_are_left_out() -> None:
    profiles, controls, plates = screen()
    profiles[(plates == "B") & controls, 2] = 7.0
    for method in NORMALISATIONS[1:]:
        made = normalise(method, profiles, controls, plates)
        assert made.kept.tolist() == [True, True, False, True, True, True]
        assert np.isfinite(made.profiles).all()
        assert made.profiles.shape == (80, 5)


def test_what_cannot_be_normalised_is_refused() -> None:
    profiles, controls, plates = screen()
    with pytest.raises(ValueError, match="'z' is no normalisation; choose none, mad"):
        normalise("z", profiles, controls, plates)
    with pytest.raises(ValueError, match="plate B has 0 negative controls, and 3 are needed"):
        normalise("mad", profiles, controls & (plates == "A"), plates)
    with pytest.raises(ValueError, match="no feature varies"):
        normalise("mad", np.ones_like(profiles), controls, plates)
    with pytest.raises(ValueError, match="regularisation is 0, but it must be above 0"):
        normalise("sphering", profiles, controls, plates, regularisation=0)
