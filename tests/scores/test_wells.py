import math

import numpy as np
import pytest

from leigh_mlops.errors import LeighError
from leigh_mlops.scores import aggregate_wells, all_scores, classification_scores

PROBS = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.5, 0.5]])
WELLS, LABELS = ["p/B03", "p/A01", "p/B03", "p/A01"], [0, 1, 0, 1]


def test_wells_by_hand():
    wells = aggregate_wells(WELLS, LABELS, np.log(PROBS))
    assert wells.wells == ("p/A01", "p/B03")
    assert wells.labels.tolist() == [1, 0]
    assert wells.fields.tolist() == [2, 2]
    # Geometric means sqrt(0.9 * 0.2) and sqrt(0.1 * 0.8), renormalised.
    a, b = math.sqrt(0.18), math.sqrt(0.08)
    np.testing.assert_allclose(np.exp(wells.log_probs[1]), [a / (a + b), b / (a + b)])


def test_one_field_per_well_changes_nothing():
    wells = aggregate_wells(["A01", "A02", "A03", "A04"], LABELS, np.log(PROBS))
    np.testing.assert_allclose(wells.log_probs, np.log(PROBS))


def test_order_of_the_fields_does_not_matter():
    order = [2, 0, 3, 1]
    shuffled = aggregate_wells([WELLS[i] for i in order], np.array(LABELS)[order], np.log(PROBS)[order])
    np.testing.assert_allclose(shuffled.log_probs, aggregate_wells(WELLS, LABELS, np.log(PROBS)).log_probs)


def test_a_field_that_is_certainly_wrong_leaves_its_well_finite():
    wells = aggregate_wells(["A01", "A01"], [0, 0], [[-np.inf, 0.0], [0.0, -np.inf]])
    np.testing.assert_allclose(np.exp(wells.log_probs), [[0.5, 0.5]])


def test_all_scores_are_per_field_and_per_well():
    scores = all_scores(WELLS, LABELS, np.log(PROBS), ["DS", "WT"])
    fields = classification_scores(LABELS, np.log(PROBS), ["DS", "WT"])
    assert {name: value for name, value in scores.items() if not name.startswith("wells/")} == fields
    assert scores["accuracy"] == 0.5
    assert scores["wells/accuracy"] == 1.0
    # Two fields per class give a factor, one well per class does not.
    assert "z_prime" in scores
    assert not {"wells/z_prime", "wells/z_prime_log_odds"} & set(scores)


def test_a_well_of_two_classes_is_refused():
    with pytest.raises(LeighError, match="p/A01 holds fields of more than one class"):
        aggregate_wells(WELLS, [0, 1, 0, 0], np.log(PROBS))


def test_one_well_per_field_is_asked_for():
    with pytest.raises(ValueError, match="3 wells for 4 fields"):
        aggregate_wells(WELLS[:3], LABELS, np.log(PROBS))
