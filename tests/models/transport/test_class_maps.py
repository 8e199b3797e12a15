"""Maps between classes by name and pair, and their way through arrays."""

import numpy as np
import pytest

from leigh_mlops.errors import LeighError
from leigh_mlops.models.transport import REFERENCES, TRANSPORT, ClassFields, ClassMaps, TransportPlan, fit_transport

PLAN = TransportPlan(sides=(1, 2), mixes=(False, True), max_pixels=2**14, sample_numbers=2**12, min_blocks=256)


def fields(level: float, seed: int) -> ClassFields:
    """Eight noisy fields of four wells about a level."""
    images = np.random.default_rng(seed).normal(level, 1, (8, 2, 8, 8)).astype(np.float32)
    return ClassFields(f"level {level}", lambda rows: images[rows], np.repeat(list("abcd"), 2))


@pytest.fixture(scope="module")
def maps() -> ClassMaps:
    """Transport and a reference between two classes."""
    low, high = fields(0, 1), fields(5, 2)
    ends = {(0, 1): (low, high), (1, 0): (high, low)}
    return ClassMaps(
        {
            TRANSPORT: {pair: fit_transport(*each, plan=PLAN) for pair, each in ends.items()},
            "moments": {pair: REFERENCES["moments"].fit(*each, 0) for pair, each in ends.items()},
        }
    )


def test_each_image_takes_the_map_of_its_own_pair(maps: ClassMaps) -> None:
    images = np.concatenate([fields(0, 3).read(np.arange(2)), fields(5, 4).read(np.arange(2))])
    source = np.array([0, 0, 1, 1])
    changed = maps.apply(TRANSPORT, images, source, 1 - source)
    assert images.mean((1, 2, 3)).round() == pytest.approx([0, 0, 5, 5])
    assert changed.mean((1, 2, 3)).round() == pytest.approx([5, 5, 0, 0])
    np.testing.assert_array_equal(changed[:2], maps.maps[TRANSPORT][0, 1].apply(images[:2]))


def test_arrays_give_the_same_maps(maps: ClassMaps) -> None:
    again = ClassMaps.from_arrays(maps.to_arrays())
    assert again.names == maps.names
    images = fields(0, 3).read(np.arange(3))
    for name in maps.names:
        assert again.pairs(name) == {(0, 1), (1, 0)}
        one, two = (each.apply(name, images, np.zeros(3, int), np.ones(3, int)) for each in (maps, again))
        np.testing.assert_array_equal(one, two)


def test_a_pair_without_a_map_is_an_error(maps: ClassMaps) -> None:
    with pytest.raises(LeighError, match="no transport from class 0 to class 2"):
        maps.apply(TRANSPORT, fields(0, 3).read(np.arange(1)), np.array([0]), np.array([2]))
    assert not ClassMaps.from_arrays({}).pairs()


@pytest.mark.parametrize("path", ["other/0/1/gains", "moments/0/gains", "moments/0/x/gains", "moments/0/²/gains"])
def test_a_foreign_array_is_an_error(path: str) -> None:
    with pytest.raises(LeighError, match="unknown to this version"):
        ClassMaps.from_arrays({path: np.ones(2)})
