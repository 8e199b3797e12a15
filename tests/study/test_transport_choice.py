"""Choice of a transport by realism, on held-out training wells."""

import numpy as np
import pytest

from leigh_mlops.images import IntensityScale
from leigh_mlops.models.transport import ClassFields
from leigh_mlops.study import transport_choice
from leigh_mlops.study.transport_choice import FEWEST_WELLS, choose_transport

SCALE = IntensityScale("log", 255, (1.0,), (0.5,))
STRENGTH = {(0.0, 0): 0.6, (0.0, 1): 1.0, (0.0, 2): 0.8, (1.0, 0): 0.2}


class Brightening:
    """Map that goes a share of the way to images that are brighter by 1."""

    def __init__(self, share):
        self.share = share

    def apply(self, images):
        return images + np.float32(self.share)


@pytest.fixture
def fits(monkeypatch):
    """Wells of each fit, which is replaced by a known one."""
    found = []

    def fit(source, target, *, plan=None, seed=0, shrink=1.0):
        found.append((set(source.wells), set(target.wells)))
        return Brightening(STRENGTH[shrink, seed - 5])

    monkeypatch.setattr(transport_choice, "fit_transport", fit)
    return found


def fields(name, offset, wells, asked):
    drawn = np.random.default_rng(len(name)).normal(size=(2 * wells, 1, 32, 32)).astype(np.float32) / 8 + offset
    names = np.repeat([f"{name}{number}" for number in range(wells)], 2)

    def read(rows):
        asked.update(names[rows])
        return drawn[rows]

    return ClassFields(name, read, names)


def test_the_most_realistic_one_on_other_wells_is_chosen(fits):
    asked = set()
    source, target = fields("DS", 0.0, FEWEST_WELLS, asked), fields("TT", 1.0, FEWEST_WELLS, asked)
    assert choose_transport(source, target, SCALE, seed=5) == (0.0, 6)
    assert len(fits) == len(STRENGTH)
    for wells in fits:
        assert [len(each) for each in wells] == [FEWEST_WELLS // 2] * 2
        assert not asked & (wells[0] | wells[1])


def test_few_wells_are_too_few_to_choose_by(fits):
    few, enough = fields("DS", 0.0, FEWEST_WELLS - 1, set()), fields("TT", 1.0, FEWEST_WELLS, set())
    assert choose_transport(few, enough, SCALE, seed=5) == (1.0, 5)
    assert choose_transport(enough, few, SCALE, seed=5) == (1.0, 5)
    assert not fits
