import numpy as np
import pytest

from leigh_mlops.scores import certificate, reencoding_error

IMAGES = np.array([[[[10.0, 20.0]], [[100.0, 100.0]]]])  # one image, two channels, 1 x 2


def measures(counterfactuals, **changed):
    given = {
        "images": IMAGES,
        "counterfactuals": np.asarray(counterfactuals, dtype=float),
        "log_probs": np.log([[0.2, 0.8]]),
        "target": [1],
        "reencoding_errors": [0.01],
        "full_scale": 255.0,
        "noise": 2.0,
    }
    return certificate(**given | changed)


def test_the_same_image_has_changed_nowhere():
    same = measures(IMAGES)
    assert same.changed.tolist() == [0]
    assert same.clipped.tolist() == [0]
    assert same.change_absolute.tolist() == [[0, 0]]


def test_measures_by_hand():
    c = measures([[[[14.0, 18.0]], [[100.0, 301.0]]]])
    assert c.predicted.tolist() == [1]
    assert c.valid.tolist() == [True]
    assert c.probability == pytest.approx([0.8])
    assert c.reencoding_error.tolist() == [0.01]
    assert c.clipped.tolist() == [0.25]
    # The second channel's 301 is saved as 255.
    assert c.change_absolute.tolist() == [[3, 77.5]]
    assert c.change_signed.tolist() == [[1, 77.5]]
    assert c.changed.tolist() == [1]


def test_noise_is_per_channel_and_a_change_as_large_is_none():
    changed = [[[[12.0, 20.0]], [[100.0, 109.0]]]]
    assert measures(changed, noise=1.0).changed.tolist() == [1]
    assert measures(changed, noise=2.0).changed.tolist() == [0.5]
    assert measures(changed, noise=[2.0, 9.0]).changed.tolist() == [0]


def test_a_failed_counterfactual_is_counted():
    failed = measures(IMAGES, target=[0])
    assert failed.valid.tolist() == [False]
    assert failed.predicted.tolist() == [1]
    assert failed.probability == pytest.approx([0.2])


def test_rows_that_do_not_fit():
    with pytest.raises(ValueError, match="do not fit"):
        measures(IMAGES, reencoding_errors=[0.0, 0.0])


def test_reencoding_error_by_hand():
    z, shifted = np.zeros((3, 1, 2)), np.array([[[3.0, 4.0]], [[6.0, 8.0]], [[0.0, 0.0]]])
    reencoded = shifted + np.array([[[0.0, 0.0]], [[0.0, 5.0]], [[1.0, 0.0]]])
    np.testing.assert_array_equal(reencoding_error(z, shifted, reencoded), [0, 0.5, np.nan])
