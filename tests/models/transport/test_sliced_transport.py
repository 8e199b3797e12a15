import numpy as np
import pytest
import torch

from leigh_mlops.errors import LeighError
from leigh_mlops.models.transport import ClassFields, SlicedTransport, TransportPlan, fit_transport
from leigh_mlops.models.transport.block_transform import dct_matrix

PLAN = TransportPlan(
    sides=(1, 4, 2, 8, 1),
    mixes=(True, False, True, True, False),
    principal=(False, True, True, False, False),
    knots=40,
    sample_numbers=2**16,
)


def images(count, seed=0, size=16, channels=3):
    """Smooth cells on a background, with noise; a third channel that is a mixture."""
    rng = np.random.default_rng(seed)
    drawn = rng.normal(size=(count, channels, size, size))
    for _ in range(2):
        drawn += np.roll(drawn, 1, 2) + np.roll(drawn, 1, 3)
    drawn[:, -1] = drawn[:, 0] + drawn[:, 1]
    return drawn.astype(np.float32)


def fields(drawn, name="DS", per_well=2):
    wells = np.array([f"{name}{number // per_well}" for number in range(len(drawn))])
    return ClassFields(name, lambda rows: drawn[rows], wells)


@pytest.fixture(scope="module")
def transport():
    source, target = images(40), 3 * np.tanh(images(40, seed=1)) + 2
    return fit_transport(fields(source), fields(target, "TT"), plan=PLAN)


def apply_slowly(transport, images):
    """Every block of every layer in plain loops."""
    channels, images, first = transport.channels, images.astype(np.float64), 0
    count, _, height, width = images.shape
    turns = directions_by_layer(transport)
    for layer, (side, shift) in enumerate(zip(transport.sides, transport.shifts, strict=True)):
        rotation, basis, turn = transport.rotations[layer], dct_matrix(side), turns[layer]
        after = images.copy()
        for place in range(count):
            for row in range(0, height, side):
                for column in range(0, width, side):
                    down = (np.arange(side)[:, None] + row + shift[0]) % height
                    right = (np.arange(side)[None] + column + shift[1]) % width
                    block = rotation @ images[place][:, down, right].reshape(channels, -1)
                    numbers = (turn @ (block @ basis.T).ravel()).reshape(channels, -1)
                    for channel in range(channels):
                        for frequency in range(side**2):
                            at = first + channel * side**2 + frequency
                            numbers[channel, frequency] = map_slowly(transport, at, numbers[channel, frequency])
                    numbers = (turn.T @ numbers.ravel()).reshape(channels, -1)
                    after[place][:, down, right] = (rotation.T @ (numbers @ basis)).reshape(channels, side, side)
        images, first = after, first + channels * side**2
    return images


def directions_by_layer(transport):
    found, given = [], transport.directions
    for layer, side in enumerate(transport.sides):
        size = transport.channels * side**2
        is_turned = layer in transport.turned
        found.append(given[: size**2].reshape(size, size) if is_turned else np.eye(size))
        given = given[size**2 if is_turned else 0 :]
    return found


def map_slowly(transport, at, number):
    real = transport.cells[at] <= 4096
    knots = transport.lows[at] + transport.widths[at] * transport.cells[at][real]
    values = transport.values[at][real].astype(np.float64)
    return number + np.interp(number, knots, values - knots)


def test_the_tables_do_as_plain_loops_do(transport):
    drawn = images(2, seed=3)
    slow = apply_slowly(transport, drawn)
    assert np.abs(slow - drawn).max() > 1
    np.testing.assert_allclose(transport.apply(drawn.astype(np.float64)), slow, atol=1e-9)
    np.testing.assert_allclose(transport.apply(drawn), slow, atol=1e-3)


def test_the_inverse_brings_images_back(transport):
    drawn = 5 * images(6, seed=4).astype(np.float64)  # many beyond the outer knots
    there = transport.apply(drawn)
    assert np.abs(there - drawn).max() > 1
    np.testing.assert_allclose(transport.invert(there), drawn, atol=1e-7)
    np.testing.assert_allclose(transport.apply(transport.invert(drawn)), drawn, atol=1e-7)


def test_a_batch_is_its_images_one_by_one_and_stays_as_it_is(transport):
    drawn = images(5, seed=5)
    before = drawn.copy()
    together = transport.apply(drawn)
    np.testing.assert_array_equal(drawn, before)
    assert together.dtype == np.float32
    alone = np.concatenate([transport.apply(each[None]) for each in drawn])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert transport.apply(drawn[:0]).shape == (0, 3, 16, 16)


def test_it_moves_with_whole_blocks_and_not_with_less(transport):
    drawn = images(3, seed=6).astype(np.float64)
    moved = transport.apply(np.roll(drawn, (8, 8), (2, 3)))
    np.testing.assert_allclose(moved, np.roll(transport.apply(drawn), (8, 8), (2, 3)), atol=1e-9)
    off = transport.apply(np.roll(drawn, (1, 1), (2, 3)))
    assert np.abs(off - np.roll(transport.apply(drawn), (1, 1), (2, 3))).max() > 0.01


def test_it_is_for_other_image_sizes_too(transport):
    drawn = images(1)
    first = transport.apply(drawn)
    assert transport.apply(images(1, size=24)).shape == (1, 3, 24, 24)
    np.testing.assert_array_equal(transport.apply(drawn), first)


@pytest.mark.parametrize("shape", [(1, 2, 16, 16), (1, 3, 12, 16), (3, 16, 16)])
def test_images_that_do_not_fit_are_refused(transport, shape):
    for way in (transport.apply, transport.invert):
        with pytest.raises(LeighError, match="3 channels and sides that are multiples of 8"):
            way(np.zeros(shape, np.float32))


def test_images_that_are_not_finite_are_refused(transport):
    drawn = images(1)
    drawn[0, 0, 0, 0] = np.nan
    with pytest.raises(LeighError, match="not finite"):
        transport.apply(drawn)


def test_numbers_beyond_all_bounds_are_only_displaced(transport):
    far = transport.apply(np.full((1, 3, 16, 16), 1e30, np.float32))
    assert np.isfinite(far).all()


def test_arrays_bring_it_back(transport):
    arrays = transport.to_arrays()
    assert all(array.dtype.kind in "if" for array in arrays.values())
    drawn = images(2, seed=7)
    np.testing.assert_array_equal(SlicedTransport.from_arrays(arrays).apply(drawn), transport.apply(drawn))
    for name in arrays:
        with pytest.raises(LeighError, match="train the model again"):
            SlicedTransport.from_arrays({key: array for key, array in arrays.items() if key != name})
    with pytest.raises(LeighError, match="incomplete"):
        SlicedTransport.from_arrays(arrays | {"more": np.zeros(3)})


def hostile(array):
    """The array in other shapes and kinds, and with each sort of bad number."""
    yield from (array[:-1], array[None], array[..., :1], array.ravel()[:0], np.float64(3.0), array.astype(str))
    yield array.astype(np.complex128)
    bad = [-1, 2**31 - 1] if array.dtype.kind == "i" else [np.nan, np.inf, -np.inf, 1e-30, 1e30]
    for number in bad:
        changed = array.copy()
        changed.flat[-1] = number
        yield changed
    yield np.zeros_like(array)
    yield -array


ARRAYS = ("sides", "shifts", "rotations", "lows", "widths", "cells", "values", "turned", "directions")


@pytest.mark.parametrize("name", ARRAYS)
def test_hostile_arrays_are_refused_or_harmless(transport, name):
    arrays = transport.to_arrays()
    refused = 0
    for number, bad in enumerate(hostile(arrays[name])):
        try:
            found = SlicedTransport.from_arrays(arrays | {name: np.asarray(bad)})
        except LeighError:
            refused += 1
            continue
        assert found.apply(images(1)).shape == (1, 3, 16, 16), number
    assert refused >= 7


def test_maps_that_do_not_increase_and_matrices_that_are_no_rotations_are_refused(transport):
    arrays = transport.to_arrays()
    for name in ("cells", "values"):
        equal = arrays[name].copy()
        equal[5, 3] = equal[5, 4]
        with pytest.raises(LeighError, match="damaged"):
            SlicedTransport.from_arrays(arrays | {name: equal})
    with pytest.raises(LeighError, match="damaged"):
        SlicedTransport.from_arrays(arrays | {"rotations": 1.001 * arrays["rotations"]})
    with pytest.raises(LeighError, match="damaged"):
        SlicedTransport.from_arrays(arrays | {"directions": 1.001 * arrays["directions"]})


def test_a_transport_without_turned_layers_has_the_arrays_of_earlier_versions():
    plan = TransportPlan(sides=(1, 4), mixes=(False, True), knots=40, sample_numbers=2**12)
    made = fit_transport(fields(images(40)), fields(images(40, seed=1) + 1, "TT"), plan=plan)
    arrays, drawn = made.to_arrays(), images(2, seed=7)
    assert set(arrays) == set(ARRAYS) - {"turned", "directions"}
    np.testing.assert_array_equal(SlicedTransport.from_arrays(arrays).apply(drawn), made.apply(drawn))


def test_huge_blocks_are_refused_before_memory_is_taken(transport):
    with pytest.raises(LeighError, match="damaged"):
        SlicedTransport.from_arrays(transport.to_arrays() | {"sides": np.array([2**20])})


@pytest.mark.parametrize("side", [1, 2, 8])
def test_the_dct_is_orthonormal_and_begins_with_the_mean(side):
    basis = dct_matrix(side)
    np.testing.assert_allclose(basis @ basis.T, np.eye(side**2), atol=1e-12)
    np.testing.assert_allclose(basis[0], 1 / side)


def test_float32_is_what_float64_is_rounded(transport):
    drawn = images(2, seed=8)
    double = transport.apply(drawn.astype(np.float64))
    assert double.dtype == np.float64
    np.testing.assert_allclose(transport.apply(drawn), double, atol=1e-3)
    assert torch.get_default_dtype() == torch.float32
