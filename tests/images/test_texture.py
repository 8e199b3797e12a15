import numpy as np
import pytest

from leigh_mlops.images import intensity_features, texture_features, texture_names

CHANNELS = ["DAPI", "TMRM", "both"]


def fields(count=5, channels=3, side=32, seed=0):
    return np.random.default_rng(seed).gamma(2, 20, (count, channels, side, side)).astype(np.float32)


def by_name(raw, full_scale=255, channels=CHANNELS):
    values = texture_features(raw, full_scale)
    names = texture_names(channels)
    assert len(names) == values.shape[1]
    assert len(set(names)) == len(names)
    return dict(zip(names, values.T, strict=True))


def test_features_equal_a_slow_reference():
    raw = fields()
    found, logs = by_name(raw), np.log1p(raw.astype(np.float64))
    for place, channel in enumerate(CHANNELS):
        np.testing.assert_allclose(found[f"{channel} mean"], raw[:, place].mean((1, 2)), rtol=1e-5)
        np.testing.assert_allclose(
            found[f"{channel} percentile 75"], np.percentile(raw[:, place], 75, (1, 2)), rtol=1e-5
        )
        for distance in (1, 2, 4, 8, 16):
            plane = logs[:, place]
            down = plane[:, distance:] - plane[:, :-distance]
            across = plane[:, :, distance:] - plane[:, :, :-distance]
            for way, steps in (("down", down), ("across", across)):
                mean = found[f"{channel} mean difference {way} at {distance} px"]
                np.testing.assert_allclose(mean, np.abs(steps).mean((1, 2)), rtol=1e-4)
                spread = found[f"{channel} spread of differences {way} at {distance} px"]
                np.testing.assert_allclose(spread, steps.std((1, 2)), rtol=1e-4)
    one, other = (logs[:, place].reshape(5, -1) for place in (0, 2))
    expected = [np.corrcoef(a, b)[0, 1] for a, b in zip(one, other, strict=True)]
    np.testing.assert_allclose(found["correlation of DAPI and both"], expected, atol=1e-6)


def test_intensities_stand_first():
    raw = fields()
    np.testing.assert_array_equal(texture_features(raw, 255)[:, :27], intensity_features(raw))


def test_sixteen_bits_are_measured_as_eight():
    raw = fields()
    np.testing.assert_allclose(texture_features(raw * 257, 65535), texture_features(raw, 255), rtol=1e-4, atol=1e-5)


def test_fields_do_not_mix_and_chunks_are_not_seen():
    raw = fields(count=12, side=192)  # more than one chunk
    every = texture_features(raw, 255)
    np.testing.assert_allclose(texture_features(raw[11:], 255), every[11:], rtol=1e-9, atol=1e-12)
    assert texture_features(raw[:0], 255).shape == (0, 90)


@pytest.mark.parametrize("value", [0.0, 7.3, 255.0])
def test_a_flat_field_has_no_texture(value):
    found = by_name(np.full((2, 3, 32, 32), value, np.float32))
    assert all(
        np.allclose(found[name], 0, atol=1e-6) for name in found if "difference" in name or "correlation" in name
    )
    assert np.allclose(found["TMRM mean"], value)


def test_one_channel_has_no_correlation():
    found = by_name(fields(channels=1), channels=["DAPI"])
    assert len(found) == 29


def test_stripes_are_seen_across_them_at_their_distance():
    raw = np.tile(np.array([0, 100], np.float32), (1, 1, 32, 16))
    found = by_name(raw, channels=["DAPI"])
    assert found["DAPI mean difference across at 1 px"] == pytest.approx(np.log(101))
    assert found["DAPI mean difference across at 2 px"] == pytest.approx(0)
    assert found["DAPI mean difference down at 1 px"] == pytest.approx(0)


def test_small_images_are_refused():
    with pytest.raises(ValueError, match="above 16 px"):
        texture_features(fields(side=16), 255)
