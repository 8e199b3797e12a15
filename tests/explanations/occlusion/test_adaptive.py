"""The budget's search, on losses that are known."""

import math
import statistics

import pytest
import torch
from scipy.stats import spearmanr

from leigh_mlops.explanations.occlusion.adaptive import correct_estimates, refine
from leigh_mlops.explanations.occlusion.windows import WindowGrid

GRID = WindowGrid.for_image(100, 100, window=5, stride=5)


class Additive:
    """Losses that are sums over the pixels of a known field."""

    def __init__(self, field):
        self.field, self.seen = field, []

    def __call__(self, boxes):
        self.seen += [tuple(box) for box in boxes.tolist()]
        sums = [self.field[top:bottom, left:right].sum() for top, left, bottom, right in boxes.tolist()]
        return torch.stack(sums).double()


def bumps(seed, count=3):
    """A few broad places that matter."""
    generator = torch.Generator().manual_seed(seed)
    field = torch.zeros(100, 100, dtype=torch.float64)
    places = torch.arange(100.0)
    for _ in range(count):
        y, x = (torch.rand(2, generator=generator) * 100).tolist()
        sign = 1 if torch.rand(1, generator=generator) < 0.7 else -1
        field += sign * torch.exp(-((places[:, None] - y) ** 2 + (places - x) ** 2) / 450).double()
    return field


def exact(field):
    return Additive(field)(GRID.boxes())


def test_nothing_to_find():
    refined = refine(Additive(torch.zeros(100, 100, dtype=torch.float64)), GRID, 100)
    assert not refined.losses.any()
    assert math.isnan(refined.agreement)


def test_noise_is_told_to_agree_little():
    noise = torch.randn(100, 100, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    told = [refine(Additive(noise), GRID, 100, seed).agreement for seed in range(20)]
    assert statistics.mean(told) < 0.4


@pytest.mark.parametrize("seed", range(4))
def test_broad_places_are_found(seed):
    field = bumps(seed)
    refined = refine(Additive(field), GRID, 150, seed=seed)
    truth = exact(field)
    agreement = spearmanr(refined.losses, truth).statistic
    assert agreement > 0.85
    assert abs(refined.agreement - agreement) < 0.2
    assert refined.losses.abs().argmax() == truth.abs().argmax()


def test_more_evaluations_agree_better():
    agreements = [
        spearmanr(refine(Additive(bumps(0)), GRID, budget).losses, exact(bumps(0))).statistic
        for budget in (60, 130, 300)
    ]
    assert agreements == sorted(agreements)
    assert agreements[0] < agreements[-1]


@pytest.mark.parametrize("budget", [50, 77, 200, 399])
def test_no_box_is_measured_twice_and_none_beyond_the_budget(budget):
    measure = Additive(bumps(0))
    refined = refine(measure, GRID, budget)
    assert refined.evaluations == len(measure.seen) == len(set(measure.seen)) <= budget


@pytest.mark.parametrize("budget", [400, 500])
def test_a_budget_for_all_is_exact(budget):
    refined = refine(Additive(bumps(0)), GRID, budget)
    assert torch.equal(refined.losses, exact(bumps(0)))
    assert (refined.evaluations, refined.agreement) == (400, 1.0)


def test_windows_measured_are_exact_and_small_places_are_refined_first():
    field = torch.zeros(100, 100, dtype=torch.float64)
    field[52, 33] = 1.0
    refined = refine(Additive(field), GRID, 120, seed=1)
    assert refined.losses.argmax() == 10 * 20 + 6
    assert refined.losses.max() == 1
    assert (refined.losses > 0).sum() < 5


def test_held_back_windows_do_not_change_where_is_looked():
    def seen(seed):
        measure = Additive(bumps(0))
        refine(measure, GRID, 100, seed=seed)
        return measure.seen

    assert seen(0)[:60] == seen(1)[:60]
    assert seen(0)[80:] != seen(1)[80:]


def test_estimates_are_corrected_by_what_is_measured():
    truth = exact(bumps(0))
    rows = torch.arange(400) // 20
    wrong = 3 * truth + 0.5 * truth.std() * torch.sin(rows / 3)
    measure = Additive(bumps(0))
    corrected = correct_estimates(measure, wrong, GRID, 100)
    before, after = (spearmanr(each, truth).statistic for each in (wrong, corrected.losses))
    assert after > 0.99 > before
    assert abs(corrected.agreement - after) < 0.2
    assert corrected.evaluations == len(set(measure.seen)) == 100


def test_estimates_that_say_nothing_do_not_harm():
    truth, noise = exact(bumps(0)), torch.randn(400, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    corrected = correct_estimates(Additive(bumps(0)), noise, GRID, 100)
    assert abs(spearmanr(noise, truth).statistic) < 0.2
    assert spearmanr(corrected.losses, truth).statistic > 0.6
