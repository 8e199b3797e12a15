import warnings

import numpy as np
import pandas as pd
import pytest

from leigh_mlops.scores.activity import average_precisions, mean_average_precision

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # at its import it says what it will change
    from copairs import map as copairs_map


@pytest.mark.filterwarnings("ignore")
def test_average_precision_is_that_of_copairs() -> None:
    rng = np.random.default_rng(0)
    profiles, controls = rng.normal(size=(4, 5)) + np.eye(5)[0], rng.normal(size=(9, 5))
    meta = pd.DataFrame({"what": ["drug"] * 4 + ["control"] * 9})
    found = copairs_map.average_precision(
        meta, np.concatenate([profiles, controls]), ["what"], [], [], ["what"], distance="cosine"
    )
    np.testing.assert_allclose(average_precisions(profiles, controls), found["average_precision"][:4], rtol=1e-6)


def test_p_is_small_for_alike_replicates_and_even_for_others() -> None:
    rng = np.random.default_rng(1)
    controls = rng.normal(size=(12, 6))
    assert mean_average_precision(rng.normal(size=(3, 6)) + 5, controls)[1] < 0.01
    ps = [mean_average_precision(rng.normal(size=(3, 6)), rng.normal(size=(12, 6)))[1] for _ in range(300)]
    assert 0.4 < np.mean(ps) < 0.6
    assert np.mean(np.array(ps) < 0.05) < 0.1


def test_one_replicate_has_none() -> None:
    assert np.isnan(mean_average_precision(np.ones((1, 3)), np.ones((4, 3)))).all()
    assert np.isnan(mean_average_precision(np.ones((2, 3)), np.ones((0, 3)))).all()
