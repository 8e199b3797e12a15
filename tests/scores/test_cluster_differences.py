import numpy as np

from leigh_mlops.scores.cluster_differences import cluster_differences


def test_what_differs_is_found_and_plates_are_no_difference() -> None:
    rng = np.random.default_rng(0)
    plates, clusters = np.arange(80) // 40, (np.arange(80) % 4 == 0).astype(int)
    features = rng.normal(size=(80, 5)) + 50 * plates[:, None]
    assert cluster_differences(features, clusters, plates, 2).q.min() > 0.05
    features[clusters == 1, 2] += 3
    found = cluster_differences(features, clusters, plates, 2)
    assert (found.q < 0.05).sum(1).tolist() == [1, 1]
    assert found.effects[1, 2] > 1.2
    assert found.effects[0, 2] == -found.effects[1, 2]


def test_few_wells_and_constant_features_have_no_difference() -> None:
    features = np.random.default_rng(1).normal(size=(20, 3))
    features[:, 1] = 0.1
    few = cluster_differences(features, np.arange(20) >= 18, np.zeros(20), 2)
    assert np.isnan(few.effects).all()
    enough = cluster_differences(features, np.arange(20) >= 10, np.zeros(20), 2)
    assert np.isfinite(enough.q).tolist() == [[True, False, True]] * 2
