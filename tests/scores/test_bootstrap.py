import numpy as np
import pytest
from scipy.stats import bootstrap

from leigh_mlops.scores import all_scores, paired_bootstrap, per_well_log_loss, per_well_mean

RNG = np.random.default_rng(0)
OURS, THEIRS = RNG.normal(0.0, 1, 40), RNG.normal(0.5, 1, 40)


def test_interval_agrees_with_scipy():
    ours = paired_bootstrap(OURS, THEIRS)
    theirs = bootstrap((OURS - THEIRS,), np.mean, method="percentile", rng=np.random.default_rng(1))
    assert ours.mean == pytest.approx(np.mean(OURS - THEIRS))
    assert ours.wells == 40
    assert ours.low == pytest.approx(theirs.confidence_interval.low, abs=0.02)
    assert ours.high == pytest.approx(theirs.confidence_interval.high, abs=0.02)


def test_pairing_takes_out_what_both_share():
    shared = RNG.normal(0, 100, 40)
    plain, paired = paired_bootstrap(OURS, THEIRS), paired_bootstrap(OURS + shared, THEIRS + shared)
    assert paired.high - paired.low == pytest.approx(plain.high - plain.low)


def test_strata_take_out_what_lies_between_them():
    strata = np.repeat(["DS", "WT"], 20)
    ours = OURS + np.repeat([10.0, 0.0], 20)
    without, within = paired_bootstrap(ours, THEIRS), paired_bootstrap(ours, THEIRS, strata=strata)
    assert within.mean == without.mean
    assert within.high - within.low < 0.5 * (without.high - without.low)


def test_equal_models_do_not_differ():
    same = paired_bootstrap(OURS, OURS)
    assert (same.mean, same.low, same.high) == (0, 0, 0)


def test_a_seed_repeats_itself():
    assert paired_bootstrap(OURS, THEIRS, seed=3) == paired_bootstrap(OURS, THEIRS, seed=3)
    assert paired_bootstrap(OURS, THEIRS, seed=3) != paired_bootstrap(OURS, THEIRS, seed=4)


@pytest.mark.parametrize(
    ("ours", "theirs", "strata", "message"),
    [
        ([], [], None, "at least two wells"),
        ([1.0], [0.0], None, "at least two wells"),
        ([1.0, 2.0], [0.0, 0.0], ["DS", "WT"], "at least two wells"),
        ([1.0, 2.0], [0.0], None, "no pairs"),
        ([1.0, np.inf], [0.0, 0.0], None, "not finite"),
        ([1.0, 2.0], [0.0, 0.0], ["DS"], "one group for each"),
    ],
)
def test_what_tells_nothing_is_refused(ours, theirs, strata, message):
    with pytest.raises(ValueError, match=message):
        paired_bootstrap(ours, theirs, strata=strata)


def test_mean_of_the_wells_losses_is_the_score():
    log_probs = np.log([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.5, 0.5]])
    wells, labels = ["B03", "A01", "B03", "A01"], [0, 1, 0, 1]
    losses = per_well_log_loss(wells, labels, log_probs)
    # Class 1 in A01: sqrt(0.3) against sqrt(0.2). Class 0 in B03: sqrt(0.18) against sqrt(0.08), 3 to 2.
    np.testing.assert_allclose(losses, [np.log(1 + np.sqrt(2 / 3)), np.log(5 / 3)])
    assert losses.mean() == pytest.approx(all_scores(wells, labels, log_probs, ["A", "B"])["wells/log_loss"])


def test_means_follow_the_sorted_wells():
    assert per_well_mean(["B", "A", "B", "B"], [1, 7, 2, 6]).tolist() == [7, 3]
    with pytest.raises(ValueError, match="one well per field"):
        per_well_mean(["B"], [1, 2])
