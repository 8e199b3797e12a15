import numpy as np
import pytest

from leigh_mlops.errors import LeighError
from leigh_mlops.models.transport import REFERENCES, ClassFields, drop_small_changes


def images(count, seed, gain=1.0, offset=0.0):
    return (np.random.default_rng(seed).normal(size=(count, 2, 8, 8)) * gain + offset).astype(np.float32)


def fields(drawn, name):
    return ClassFields(name, lambda rows: drawn[rows], np.array([f"{name}{n // 2}" for n in range(len(drawn))]))


SOURCE, TARGET, UNSEEN = images(40, 0), images(40, 1, 2, 3), images(5, 2)


def fit(name, seed=0):
    return REFERENCES[name].fit(fields(SOURCE, "DS"), fields(TARGET, "TT"), seed)


@pytest.mark.parametrize("name", REFERENCES)
def test_every_reference_keeps_shape_and_kind_and_comes_back_from_arrays(name):
    fitted, before = fit(name), UNSEEN.copy()
    mapped = fitted.apply(UNSEEN)
    np.testing.assert_array_equal(UNSEEN, before)
    assert mapped.shape == UNSEEN.shape
    assert mapped.dtype == UNSEEN.dtype
    arrays = fitted.to_arrays()
    assert all(array.dtype.kind in "if" for array in arrays.values())
    np.testing.assert_array_equal(REFERENCES[name].from_arrays(arrays).apply(UNSEEN), mapped)
    np.testing.assert_array_equal(fit(name).apply(UNSEEN), mapped)


@pytest.mark.parametrize("name", REFERENCES)
def test_hostile_arrays_are_refused_or_harmless(name):
    arrays = fit(name).to_arrays()
    with pytest.raises(LeighError, match="again"):
        REFERENCES[name].from_arrays(arrays | {"more": np.zeros(1)})
    for key, array in arrays.items():
        with pytest.raises(LeighError, match="again"):
            REFERENCES[name].from_arrays({other: each for other, each in arrays.items() if other != key})
        for bad in (array[None], array.ravel()[:0], array.astype(str), np.full_like(array.astype(float), np.nan)):
            with pytest.raises(LeighError, match="again"):
                REFERENCES[name].from_arrays(arrays | {key: bad})


@pytest.mark.parametrize("name", sorted(set(REFERENCES) - {"nothing"}))
def test_images_of_other_channels_are_refused(name):
    with pytest.raises(LeighError, match="images"):
        fit(name).apply(np.zeros((1, 3, 8, 8), np.float32))


def test_nothing_changes_nothing_and_the_others_reach_the_target():
    unseen = images(200, 3)
    assert np.array_equal(fit("nothing").apply(unseen), unseen)
    for name in ("moments", "histogram", "nearest"):
        mapped = fit(name).apply(unseen)
        assert abs(mapped.mean() - 3) < 0.15, name
        assert abs(mapped.std() - 2) < 0.15, name


def test_a_constant_channel_has_a_map_of_moments():
    flat = fields(np.ones((4, 2, 8, 8), np.float32), "DS")
    mapped = REFERENCES["moments"].fit(flat, fields(TARGET, "TT"), 0).apply(np.ones((1, 2, 8, 8), np.float32))
    assert np.isfinite(mapped).all()
    assert abs(mapped.mean() - 3) < 0.2


def test_the_nearest_field_is_a_real_one_of_the_same_layout():
    """Cells stand in one of the four corners; the target is brighter everywhere."""
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 2, (60, 2)) * 4
    drawn = rng.normal(0, 0.1, (60, 2, 8, 8)).astype(np.float32)
    for image, (row, column) in zip(drawn, corners, strict=True):
        image[:, row : row + 4, column : column + 4] += 3
    target = 5 * drawn[30:] + 7
    fitted = REFERENCES["nearest"].fit(fields(drawn[:20], "DS"), fields(target, "TT"), 0)
    mapped = fitted.apply(drawn[20:30])
    for image, (row, column) in zip(mapped, corners[20:30], strict=True):
        place = (slice(None), slice(row, row + 4), slice(column, column + 4))
        assert image[place].mean() > image.mean() + 5
        assert np.abs(target - image).max(axis=(1, 2, 3)).min() < 0.02


def test_small_changes_are_dropped_in_counts_of_eight_bits():
    raw = np.full((1, 1, 2, 2), 1000, np.float32)
    changed = raw + np.float32([[[[0, 20], [30, -30]]]])
    kept = drop_small_changes(raw, changed, 65535)
    np.testing.assert_array_equal(kept[0, 0], [[1000, 1000], [1030, 970]])
    np.testing.assert_array_equal(drop_small_changes(raw, changed, 65535, counts=0.0), changed)
