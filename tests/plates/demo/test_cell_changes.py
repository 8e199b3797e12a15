import numpy as np
import pytest

from leigh_mlops.plates.demo.cell_changes import change_cells
from leigh_mlops.plates.demo.culture import draw_culture
from leigh_mlops.plates.demo.phenotype import PHENOTYPES, CellTraits


@pytest.fixture
def culture():
    return draw_culture(np.random.default_rng(0))


def test_healthy_cells_stay(culture):
    assert change_cells(culture, PHENOTYPES["swollen"].cells) is culture


def test_lost_cells_leave_with_their_mitochondria(culture):
    changed = change_cells(culture, CellTraits(remaining=0.5, nucleus=2))
    count = len(changed.cells)
    assert count == round(len(culture.cells) / 2)
    np.testing.assert_array_equal(changed.alive, culture.alive[:count])
    np.testing.assert_allclose(changed.radius, np.where(changed.alive, 2, 1) * culture.radius[:count])
    assert set(culture.mitochondria.owner) == set(np.flatnonzero(culture.alive))
    for owner in (changed.mitochondria.owner, changed.track_owner):
        assert set(owner) == set(np.flatnonzero(changed.alive))
    assert len(changed.mitochondria.points) == len(changed.mitochondria.spread) < len(culture.mitochondria.points)
    assert len(changed.tracks) == len(changed.track_chance) < len(culture.tracks)


def test_dead_cells_keep_small_bright_nuclei(culture):
    changed = change_cells(culture, CellTraits(death=1))
    assert culture.alive.any()
    assert not changed.alive.any()
    assert (changed.radius[culture.alive] < 0.5 * culture.radius[culture.alive]).all()
    assert (changed.brightness[culture.alive] > culture.brightness[culture.alive]).all()
    assert len(changed.mitochondria.owner) == len(changed.tracks) == 0
