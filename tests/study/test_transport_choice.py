"""Choice of a transport by realism, on held-out training wells."""

import numpy as np
import pytest

from leigh_mlops.images import IntensityScale
from leigh_mlops.models.transport import ClassFields, TransportPlan
from leigh_mlops.study import transport_choice
from leigh_mlops.study.transport_choice import (
    CHOICES,
    FEWEST_WELLS,
    LONG_PLAN,
    TransportChoice,
    choose_transport,
    noisiest_choice,
)

SCALE = IntensityScale("log", 255, (1.0,), (0.5,))
STRENGTHS = (0.6, 1.0, 0.9, 0.2, 1.4)
"""Share of the way that each of `CHOICES` goes."""


class Brightening:
    """Map that goes a share of the way to images that are brighter by 1."""

    def __init__(self, share):
        self.share = share

    def apply(self, images):
        return images + np.float32(self.share)


@pytest.fixture
def strengths():
    return list(STRENGTHS)


@pytest.fixture
def fits(monkeypatch, strengths):
    """Wells of each fit, which is replaced by a known one."""
    found = []

    def fit(source, target, *, plan=None, seed=0, shrink=1.0):
        asked = (plan.sides, shrink, seed - 5)
        number = [(each.plan.sides, each.shrink, each.seed) for each in CHOICES].index(asked)
        found.append((set(source.wells), set(target.wells)))
        return Brightening(strengths[number])

    monkeypatch.setattr(transport_choice, "fit_transport", fit)
    return found


def fields(name, offset, wells):
    drawn = np.random.default_rng(len(name)).normal(size=(2 * wells, 1, 32, 32)).astype(np.float32) / 8 + offset
    names = np.repeat([f"{name}{number}" for number in range(wells)], 2)
    return ClassFields(name, lambda rows: drawn[rows], names)


def test_the_most_realistic_one_on_other_wells_is_chosen(fits, monkeypatch):
    compared, measure = set(), transport_choice.realism_auc

    def remember(real, made, real_wells, wells, seed):
        compared.update([*real_wells, *wells])
        return measure(real, made, real_wells, wells, seed)

    monkeypatch.setattr(transport_choice, "realism_auc", remember)
    source, target = fields("DS", 0.0, FEWEST_WELLS), fields("TT", 1.0, FEWEST_WELLS)
    chosen = choose_transport(source, target, SCALE, seed=5)
    assert (chosen.shrink, chosen.seed) == (0.0, 6)
    assert chosen.plan == TransportPlan()
    assert len(fits) == len(CHOICES) - 1, "the long plan is for where no other makes the difference"
    for wells in fits:
        assert [len(each) for each in wells] == [FEWEST_WELLS // 2] * 2
        assert compared
        assert not compared & (wells[0] | wells[1])


def test_where_none_makes_the_difference_the_one_that_makes_most_is_chosen(fits, strengths):
    """The long plan, though all are as easily distinguished from real fields."""
    strengths[:] = (0.3, 0.2, 0.1, 0.0, 0.5)
    source, target = fields("DS", 0.0, FEWEST_WELLS), fields("TT", 1.0, FEWEST_WELLS)
    assert choose_transport(source, target, SCALE, seed=5) == (LONG_PLAN, 0.0, 5)


def test_fields_without_any_difference_can_be_compared(fits, strengths):
    strengths[:] = (0.0,) * len(CHOICES)
    same = ClassFields("DS", lambda rows: np.zeros((len(rows), 1, 32, 32), np.float32), np.arange(20).astype(str))
    assert choose_transport(same, same, SCALE, seed=5).plan == TransportPlan()


def test_few_wells_are_too_few_to_choose_by(fits):
    few, enough = fields("DS", 0.0, FEWEST_WELLS - 1), fields("TT", 1.0, FEWEST_WELLS)
    for pair in ((few, enough), (enough, few)):
        assert choose_transport(*pair, SCALE, seed=5) == (TransportPlan(), 1.0, 5)
    assert not fits


def test_the_noisiest_choice_is_shrunk_least_and_has_most_layers():
    shrunk = TransportChoice(LONG_PLAN, 1.0, 0)
    short, long = (TransportChoice(plan, 0.0, 0) for plan in (TransportPlan(), LONG_PLAN))
    assert noisiest_choice([shrunk, short, long]) == noisiest_choice([long, short]) == long
    assert noisiest_choice([shrunk, short]) == short
