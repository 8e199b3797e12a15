import numpy as np

from leigh_mlops.images import intensity_features


def test_features_of_a_ramp_by_hand():
    ramp = np.arange(101, dtype=np.float32).reshape(1, 1, 1, 101)
    expected = [50, np.sqrt((101**2 - 1) / 12), 1, 10, 25, 50, 75, 99, 100]
    np.testing.assert_allclose(intensity_features(ramp)[0], expected)


def test_channels_stand_behind_each_other_and_fields_do_not_mix():
    raw = np.random.default_rng(0).normal(size=(4, 3, 5, 6)).astype(np.float32)
    features = intensity_features(raw)
    assert features.shape == (4, 27)
    assert features.dtype == np.float64
    np.testing.assert_array_equal(features[2:3, 9:18], intensity_features(raw[2:3, 1:2]))
