import numpy as np
import pytest

from leigh_mlops.errors import LeighError
from leigh_mlops.models.transport import ClassFields, TransportPlan, fit_transport

PLAN = TransportPlan(sides=(1, 4, 2, 1), mixes=(False, True, True, False), knots=40, sample_numbers=2**16)


def images(count, seed, size=16):
    drawn = np.random.default_rng(seed).normal(size=(count, 2, size, size))
    drawn[:, 1] += np.roll(drawn[:, 0], 1, 2)
    return drawn.astype(np.float32)


def fields(drawn, wells=20, name="DS"):
    return ClassFields(name, lambda rows: drawn[rows], np.array([f"{name}{n % wells}" for n in range(len(drawn))]))


def test_a_known_map_is_found():
    source, unseen = images(100, 0), images(20, 2)
    known = lambda x: np.stack([np.exp(0.5 * x[:, 0]), 2 * x[:, 1] - 3], axis=1)  # noqa: E731
    plan = TransportPlan(sides=(1,), mixes=(False,))
    found = fit_transport(fields(source), fields(known(images(100, 1)), name="TT"), plan=plan)
    assert np.abs(unseen - known(unseen)).mean() > 1
    inner = np.abs(unseen) < 2
    error = np.abs(found.apply(unseen) - known(unseen))
    assert error[inner].mean() < 0.15
    unshrunk = fit_transport(fields(source), fields(known(images(100, 1)), name="TT"), plan=plan, shrink=0)
    assert np.abs(unshrunk.apply(unseen) - known(unseen))[inner].mean() < 0.15


def test_texture_and_correlation_of_the_target_are_made():
    def smooth(drawn):
        drawn[:, 0] = (drawn[:, 0] + np.roll(drawn[:, 0], 1, 1)) / np.sqrt(2)
        drawn[:, 1] = drawn[:, 0] + 0.1 * drawn[:, 1]
        return drawn

    def describe(drawn):
        neighbour = np.corrcoef(drawn[:, 0, 1:].ravel(), drawn[:, 0, :-1].ravel())[0, 1]
        return np.array([neighbour, np.corrcoef(drawn[:, 0].ravel(), drawn[:, 1].ravel())[0, 1]])

    plan = TransportPlan(sides=(1, 4, 2, 8) * 4, mixes=(True,) * 16, sample_numbers=2**17)
    source, target, unseen = images(150, 0), smooth(images(150, 1)), images(30, 2)
    found = fit_transport(fields(source), fields(target, name="TT"), plan=plan).apply(unseen)
    goal = describe(target)
    assert np.abs(describe(unseen) - goal).min() > 0.4
    assert np.abs(describe(found) - goal).max() < 0.1


def test_one_layer_of_principal_directions_makes_a_correlation():
    source, target, unseen = (np.random.default_rng(seed).normal(size=(60, 2, 16, 16)) for seed in range(3))
    target[:, 1] = 0.9 * target[:, 0] + 0.4 * target[:, 1]
    source, target, unseen = (each.astype(np.float32) for each in (source, target, unseen))

    def correlation(principal):
        plan = TransportPlan(sides=(1,), mixes=(False,), principal=principal)
        found = fit_transport(fields(source), fields(target, name="TT"), plan=plan, shrink=0).apply(unseen)
        return np.corrcoef(found[:, 0].ravel(), found[:, 1].ravel())[0, 1]

    assert abs(correlation(())) < 0.1
    assert correlation((True,)) > 0.85


def test_a_class_is_left_as_it_is_and_shrinkage_is_why():
    drawn, unseen = images(100, 0), images(20, 2)
    first, second = fields(drawn[::2]), fields(drawn[1::2], name="also DS")
    change = {s: np.abs(fit_transport(first, second, plan=PLAN, shrink=s).apply(unseen) - unseen) for s in (0, 1)}
    assert change[0].mean() > 0.01
    assert change[1].mean() < change[0].mean() / 5


def test_the_same_seed_gives_the_same_transport():
    source, target = fields(images(40, 0)), fields(images(40, 1) + 1, name="TT")
    first, again, other = (fit_transport(source, target, plan=PLAN, seed=seed) for seed in (3, 3, 4))
    for name, array in first.to_arrays().items():
        np.testing.assert_array_equal(array, again.to_arrays()[name])
    assert not np.array_equal(first.rotations, other.rotations)


def test_every_map_is_strictly_increasing_where_pixels_are_equal():
    """A constant source, and values that most pixels have, as the background of 8-bit images."""
    target = np.maximum(images(40, 1), 1)
    for source in (np.ones_like(target), np.rint(images(40, 0)), np.maximum(images(40, 0), 0.5)):
        found = fit_transport(fields(source), fields(target, name="TT"), plan=PLAN, shrink=0)
        assert (np.diff(found.values) > 0).all()
        assert (np.diff(found.cells) > 0).all()
        there = found.apply(source.astype(np.float64))
        np.testing.assert_allclose(found.invert(there), source, atol=1e-6)


def test_a_value_that_most_pixels_have_goes_to_the_middle():
    source, target = np.zeros((20, 1, 8, 8), np.float32), np.zeros((20, 1, 8, 8), np.float32)
    target[:, :, :, 4:] = 1
    plan = TransportPlan(sides=(1,), mixes=(False,))
    found = fit_transport(fields(source), fields(target, name="TT"), plan=plan, shrink=0)
    np.testing.assert_allclose(found.apply(source), 0.5, atol=0.06)


def test_fields_are_read_in_chunks_and_held_within_the_bound():
    drawn, asked = images(300, 0, size=128), []

    def read(rows):
        asked.append(len(rows))
        return drawn[rows]

    wells = np.array([f"w{n // 30}" for n in range(300)])
    plan = TransportPlan(sides=(2,), mixes=(True,), max_pixels=200 * 128**2, sample_numbers=2**16)
    fit_transport(ClassFields("DS", read, wells), fields(drawn + 1, name="TT"), plan=plan)
    assert max(asked) <= 64
    assert sum(asked) == 201
    asked.clear()
    fit_transport(ClassFields("DS", read, wells), fields(drawn + 1, name="TT"), plan=TransportPlan((2,), (True,)))
    assert sum(asked) == 301


def test_fields_are_chosen_evenly_over_wells():
    wells = np.repeat(["a", "b", "c"], [50, 4, 10])
    chosen = ClassFields("DS", lambda rows: rows, wells).choose(12, np.random.default_rng(0))
    assert dict(zip(*np.unique(wells[chosen], return_counts=True), strict=True)) == {"a": 4, "b": 4, "c": 4}
    assert len(set(chosen.tolist())) == 12
    everything = ClassFields("DS", lambda rows: rows, wells).choose(100, np.random.default_rng(0))
    np.testing.assert_array_equal(everything, np.arange(64))


def test_one_well_of_a_class_is_enough():
    found = fit_transport(fields(images(6, 0), wells=1), fields(images(6, 1) + 3, wells=1, name="TT"), plan=PLAN)
    assert found.apply(images(4, 2)).mean() > 2
    lone = fit_transport(fields(images(1, 0)), fields(images(1, 1) + 3, name="TT"), plan=PLAN)
    assert lone.apply(images(4, 2)).mean() > 2


def test_what_cannot_be_fitted_is_refused():
    source, broken = images(4, 0), images(4, 0)
    broken[2, 0, 0, 0] = np.nan
    with pytest.raises(LeighError, match="class TT has values that are not finite"):
        fit_transport(fields(source), fields(broken, name="TT"), plan=PLAN)
    with pytest.raises(LeighError, match="give fields of one shape"):
        fit_transport(fields(source), fields(source[:, :1], name="TT"), plan=PLAN)
    with pytest.raises(LeighError, match="multiples of 16"):
        fit_transport(fields(source[..., :8]), fields(source[..., :8], name="TT"))
    with pytest.raises(LeighError, match="no training fields"):
        fields(source[:0])
    with pytest.raises(ValueError, match="shrink is -1"):
        fit_transport(fields(source), fields(source, name="TT"), plan=PLAN, shrink=-1)


@pytest.mark.parametrize(
    "wrong", [{"sides": (0,), "mixes": (True,)}, {"mixes": (True,)}, {"knots": 3}, {"principal": (True,)}]
)
def test_plans_out_of_bounds_are_refused(wrong):
    with pytest.raises(ValueError, match="give"):
        TransportPlan(**wrong)


def test_quantiles_are_dense_at_the_ends():
    probabilities = TransportPlan().probabilities
    assert len(probabilities) == 160
    assert (np.diff(probabilities) > 0).all()
    assert probabilities[[0, -1]].tolist() == [0, 1]
    assert (probabilities <= 0.01 + 1e-12).sum() == 17
