import math

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score, log_loss, roc_auc_score

from leigh_mlops.scores import classification_scores, z_prime


def random_log_probs(n, k, seed=0):
    logits = np.random.default_rng(seed).normal(size=(n, k))
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def test_two_classes_by_hand():
    p = np.array([0.1, 0.2, 0.4, 0.3, 0.8, 0.9])
    labels = np.array([0, 0, 0, 1, 1, 1])
    scores = classification_scores(labels, np.log(np.stack([1 - p, p], axis=1)), ["DS", "WT"])
    assert set(scores) == {
        "accuracy",
        "balanced_accuracy",
        "majority_share",
        "auc",
        "f1_macro",
        "log_loss",
        "z_prime",
        "z_prime_log_odds",
    }
    assert scores["accuracy"] == pytest.approx(5 / 6)
    assert scores["balanced_accuracy"] == pytest.approx((1 + 2 / 3) / 2)
    assert scores["majority_share"] == 0.5
    assert scores["auc"] == pytest.approx(8 / 9)
    assert scores["f1_macro"] == pytest.approx((6 / 7 + 4 / 5) / 2)
    assert scores["log_loss"] == pytest.approx(-math.log(0.9 * 0.8 * 0.6 * 0.3 * 0.8 * 0.9) / 6)
    odds = np.log(p / (1 - p))
    assert scores["z_prime_log_odds"] == pytest.approx(z_prime(odds[:3], odds[3:]))
    assert scores["z_prime"] == pytest.approx(z_prime(p[:3], p[3:]))


def test_always_naming_the_largest_class_has_its_share_as_accuracy_and_chance_as_balanced_accuracy():
    log_probs = np.log(np.tile([0.9, 0.1], (9, 1)))
    scores = classification_scores([0] * 7 + [1] * 2, log_probs, ["DS", "WT"])
    assert scores["accuracy"] == scores["majority_share"] == pytest.approx(7 / 9)
    assert scores["balanced_accuracy"] == 0.5
    assert "majority_share" not in classification_scores([0, 0], log_probs[:2], ["DS", "WT"])


@pytest.mark.parametrize("k", [2, 3, 5])
def test_agrees_with_scikit_learn(k):
    log_probs, labels = random_log_probs(200, k), np.arange(200) % k
    probs, classes = np.exp(log_probs), [f"class {i}" for i in range(k)]
    scores = classification_scores(labels, log_probs, classes)
    predicted = probs.argmax(axis=1)
    auc = roc_auc_score(labels, probs[:, 1] if k == 2 else probs, multi_class="ovr")
    assert scores["auc"] == pytest.approx(auc)
    assert scores["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(labels, predicted))
    assert scores["f1_macro"] == pytest.approx(f1_score(labels, predicted, average="macro"))
    assert scores["log_loss"] == pytest.approx(log_loss(labels, probs))


def test_more_classes_have_a_z_prime_per_pair_and_the_smallest():
    log_probs, labels = random_log_probs(30, 3), np.arange(30) % 3
    scores = classification_scores(labels, log_probs, ["DS", "TT", "WT"])
    pairs = [scores[f"z_prime/{pair}"] for pair in ("DS_TT", "DS_WT", "TT_WT")]
    odds = log_probs[:, 0] - log_probs[:, 2]
    between = scores["z_prime_log_odds/DS_WT"]
    assert between == pytest.approx(z_prime(odds[labels == 0], odds[labels == 2]))
    of_two = 1 / (1 + np.exp(-odds))
    assert pairs[1] == pytest.approx(z_prime(of_two[labels == 0], of_two[labels == 2]))
    assert scores["z_prime"] == min(pairs)


def test_the_same_predictions_are_far_better_by_the_published_z_prime():
    spread = np.linspace(-1, 1, 50)
    odds = np.concatenate([-3.8 + 1.7 * spread, 3.8 + 1.7 * spread])
    log_probs = -np.logaddexp(0, np.stack([odds, -odds], axis=1))
    scores = classification_scores(np.repeat([0, 1], 50), log_probs, ["DS", "TT"])
    assert scores["z_prime"] == pytest.approx(0.81, abs=0.01)
    assert scores["z_prime_log_odds"] == pytest.approx(0.2, abs=0.01)


def test_a_certain_network_saturates_the_published_z_prime_alone():
    labels, odds = np.repeat([0, 1], 3), np.array([-20.0, -50, -90, 20, 50, 90])
    log_probs = -np.logaddexp(0, np.stack([odds, -odds], axis=1))
    scores = classification_scores(labels, log_probs, ["DS", "TT"])
    assert scores["z_prime"] == pytest.approx(1)
    assert scores["z_prime_log_odds"] < 0


def test_both_z_primes_are_there_or_neither():
    # The means of the log-odds are equal, those of the probabilities are not.
    odds = np.array([-3.0, 5, 1, 1])
    log_probs = -np.logaddexp(0, np.stack([odds, -odds], axis=1))
    assert not [name for name in classification_scores([0, 0, 1, 1], log_probs, ["A", "B"]) if "z_prime" in name]
    predicted_b = np.stack([[-60.0, -50, -40, -30], np.zeros(4)], axis=1)
    assert {"z_prime", "z_prime_log_odds"} <= set(classification_scores([0, 0, 1, 1], predicted_b, ["A", "B"]))


def test_one_class_leaves_out_what_compares_classes():
    log_probs = random_log_probs(4, 2)
    assert "auc" in classification_scores([0, 0, 1, 1], log_probs, ["DS", "WT"])
    assert set(classification_scores([0, 0, 0, 0], log_probs, ["DS", "WT"])) == {"accuracy", "log_loss"}


def test_a_single_row_in_a_class_leaves_out_its_z_primes():
    scores = classification_scores([0, 0, 1, 1, 2], random_log_probs(5, 3), ["DS", "TT", "WT"])
    assert [name for name in scores if "z_prime" in name] == ["z_prime/DS_TT", "z_prime_log_odds/DS_TT"]


def test_an_absent_class_leaves_the_others_their_scores():
    log_probs, labels = random_log_probs(40, 3), np.arange(40) % 2
    scores = classification_scores(labels, log_probs, ["DS", "TT", "WT"])
    aucs = [roc_auc_score(labels == k, np.exp(log_probs[:, k])) for k in (0, 1)]
    assert scores["auc"] == pytest.approx(np.mean(aucs))
    predicted = log_probs.argmax(axis=1)
    recalls = [np.mean(predicted[labels == k] == k) for k in (0, 1)]
    assert scores["balanced_accuracy"] == pytest.approx(np.mean(recalls))


def test_a_constant_model_has_no_z_prime():
    scores = classification_scores([0, 0, 0, 1, 1, 1, 1], np.log(np.tile([0.3, 0.7], (7, 1))), ["DS", "WT"])
    assert "z_prime" not in scores
    assert scores["auc"] == 0.5


def test_a_probability_of_zero_stays_finite():
    scores = classification_scores([0, 0, 1, 1], [[0, -np.inf], [-np.inf, 0], [-np.inf, 0], [-np.inf, 0]], ["A", "B"])
    assert all(math.isfinite(value) for value in scores.values())
    assert scores["log_loss"] == pytest.approx(708.396 / 4, rel=1e-4)


def test_certainty_past_the_precision_of_probabilities_still_ranks():
    logits = np.array([40.0, 50.0, 60.0, 70.0])
    log_probs = np.stack([-logits, -np.exp(-logits)], axis=1)
    assert len(np.unique(np.exp(log_probs)[:, 1])) == 1
    assert classification_scores([0, 0, 1, 1], log_probs, ["DS", "WT"])["auc"] == 1


def test_no_rows_have_no_scores():
    assert classification_scores([], np.zeros((0, 2)), ["DS", "WT"]) == {}


@pytest.mark.parametrize(
    ("labels", "log_probs", "classes", "message"),
    [
        ([0], [[np.nan, -1.0]], ["A", "B"], "NaN"),
        ([0], [[0.9, 0.1]], ["A", "B"], "above 0"),
        ([2], [[-0.7, -0.7]], ["A", "B"], "integers from 0 to 1"),
        ([-1], [[-0.7, -0.7]], ["A", "B"], "integers from 0 to 1"),
        ([0, 1], [[-0.7, -0.7]], ["A", "B"], "one label for each"),
        ([0], [[-0.7, -0.7]], ["A", "B", "C"], "2 columns for the 3 classes"),
        ([0], [[0.0]], ["A"], "K of at least 2"),
    ],
)
def test_arrays_that_do_not_fit(labels, log_probs, classes, message):
    with pytest.raises(ValueError, match=message):
        classification_scores(labels, log_probs, classes)
