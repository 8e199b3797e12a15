import warnings

import numpy as np
import pandas as pd
import pytest

from leigh_mlops.errors import LeighError
from leigh_mlops.scores.replicate_retrieval import replicate_retrieval

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # at its import it says what it will change
    from copairs import map as copairs_map

ROWS, COLUMNS = np.indices((6, 8)).reshape(2, -1).repeat(4, axis=1)
WELLS = ROWS * 8 + COLUMNS
PLACES = np.stack([ROWS, COLUMNS], axis=1)
PLATES = np.zeros(len(WELLS), int)


def features(strength: float, of: np.ndarray, noise: float = 1.0) -> np.ndarray:
    """Noise of 32 numbers, and a signal that fields with the same number share."""
    rng = np.random.default_rng(0)
    return strength * rng.normal(size=(of.max() + 1, 32))[of] + noise * rng.normal(size=(len(of), 32))


@pytest.mark.filterwarnings("ignore")
def test_precision_is_that_of_copairs() -> None:
    profiles = features(0.5, WELLS)
    profiles -= profiles.mean(0)
    meta = pd.DataFrame({"well": WELLS})
    theirs = copairs_map.average_precision(meta, profiles, ["well"], [], [], ["well"], distance="cosine")
    found = replicate_retrieval(profiles, WELLS, PLATES)
    assert found.precision == pytest.approx(theirs["average_precision"].mean(), rel=1e-6)
    assert np.isnan(found.position)


def test_chance_is_that_of_random_rankings() -> None:
    rng = np.random.default_rng(1)
    draws = [replicate_retrieval(rng.normal(size=(len(WELLS), 8)), WELLS, PLATES, PLACES) for _ in range(10)]
    assert np.mean([each.precision for each in draws]) == pytest.approx(draws[0].shuffled, abs=0.004)
    assert abs(np.mean([each.position for each in draws])) < 0.01
    assert max(abs(each.score) for each in draws) < 0.05


def test_wells_are_found_and_position_alone_is_no_merit() -> None:
    assert replicate_retrieval(features(2, WELLS), WELLS, PLATES, PLACES).score > 0.8
    smooth = np.column_stack([np.sin(ROWS / 3), np.cos(ROWS / 3), np.sin(COLUMNS / 4), np.cos(COLUMNS / 4)])
    by_place = smooth + 0.3 * np.random.default_rng(2).normal(size=smooth.shape)
    found = replicate_retrieval(by_place, WELLS, PLATES, PLACES)
    assert found.above_chance > 0.05
    assert found.score < 0.05


def test_features_that_are_constant_have_no_score() -> None:
    assert abs(replicate_retrieval(np.ones((len(WELLS), 3)), WELLS, PLATES, PLACES).score) < 0.05


def test_plates_do_not_find_each_other() -> None:
    plates = np.arange(len(WELLS)) % 2
    shifted = features(0, WELLS) + 9 * plates[:, None]
    wells = np.char.add(np.char.add(plates.astype(str), "/"), WELLS.astype(str))
    assert abs(replicate_retrieval(shifted, wells, plates, PLACES).score) < 0.05


def test_wells_of_one_field_are_refused() -> None:
    with pytest.raises(LeighError, match="None of the 192 wells has two fields"):
        replicate_retrieval(features(1, WELLS), np.arange(len(WELLS)), PLATES)
    with pytest.raises(LeighError, match="None of the 1 wells"):
        replicate_retrieval(features(1, WELLS), PLATES, PLATES)
