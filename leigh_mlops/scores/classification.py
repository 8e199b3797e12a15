"""Scores of a classifier from its log-probabilities."""

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import f1_score, roc_auc_score

from leigh_mlops.scores.control_separation import probability_z_prime, z_prime
from leigh_mlops.scores.log_probs import as_labels, as_log_probs, log_odds

__all__ = ["classification_scores"]

Labels = NDArray[np.int64]
LogProbs = NDArray[np.float64]


def classification_scores(labels: ArrayLike, log_probs: ArrayLike, classes: Sequence[str]) -> dict[str, float]:
    """Compute every score that the labels allow; the others are left out.

    ``accuracy`` and ``log_loss`` (mean, natural logarithm) need one row. The
    others compare classes and need two of them among the labels:

    - ``balanced_accuracy``: mean recall of the classes present.
    - ``majority_share``: share of the commonest class, which is the accuracy of always naming it.
    - ``auc``: for two classes that of class 1; for more the mean over the
      classes present of one against the rest.
    - ``f1_macro``: mean F1 of the classes among the labels or the predictions.
    - ``z_prime_log_odds``: of the log-odds, where each class has two rows and the
      groups' means differ. This is the one to read for a screen.
    - ``z_prime``: of the predictions in [0, 1], as published (eq. 4.1 of the thesis).
      It saturates: once a network is certain, it tends to 1, however the evidence
      spreads. It stands beside the other always, and never alone.
    - For more than two classes ``z_prime/A_B`` and ``z_prime_log_odds/A_B`` for each
      pair, on p_B / (p_A + p_B) and log p_A - log p_B of the rows of A and B, and
      ``z_prime`` and ``z_prime_log_odds`` the smallest of them, where all pairs have one.

    Args:
        labels: Class of each field or well, shape (N,), integers from 0.
        log_probs: Natural log-probabilities, shape (N, K); below -708 counts as -708.
        classes: The K names, in the order of the columns.

    Returns:
        Finite numbers by name; empty for no rows.

    Raises:
        ValueError: The shapes do not fit, or a log-probability is NaN.

    Example:
        >>> scores = classification_scores([0, 1], np.log([[0.8, 0.2], [0.4, 0.6]]), ["DS", "WT"])
        >>> {name: round(value, 3) for name, value in scores.items() if name != "auc"}
        {'accuracy': 1.0, 'log_loss': 0.367, 'balanced_accuracy': 1.0, 'majority_share': 0.5, 'f1_macro': 1.0}
    """
    log_p = as_log_probs(log_probs)
    truth = as_labels(labels, log_p)
    if log_p.shape[1] != len(classes):
        raise ValueError(f"log_probs has {log_p.shape[1]} columns for the {len(classes)} classes {list(classes)}")
    if not truth.size:
        return {}
    predicted = log_p.argmax(axis=1)
    scores = {
        "accuracy": float(np.mean(predicted == truth)),
        "log_loss": float(-np.take_along_axis(log_p, truth[:, None], axis=1).mean()),
    }
    present = np.unique(truth)
    if present.size > 1:
        recalls = [np.mean(predicted[truth == k] == k) for k in present]
        scores["balanced_accuracy"] = float(np.mean(recalls))
        scores["majority_share"] = float(np.bincount(truth).max() / truth.size)
        scores["auc"] = _auc(truth, log_p)
        scores["f1_macro"] = float(f1_score(truth, predicted, average="macro", zero_division=0.0))
    return scores | _z_primes(truth, log_p, classes)


def _auc(truth: Labels, log_p: LogProbs) -> float:
    ones = [1] if log_p.shape[1] == 2 else np.unique(truth)
    return float(np.mean([roc_auc_score(truth == k, log_odds(log_p, k)) for k in ones]))


def _z_primes(truth: Labels, log_p: LogProbs, classes: Sequence[str]) -> dict[str, float]:
    pairs = list(combinations(range(len(classes)), 2))
    factors: dict[str, dict[str, float]] = {}
    for a, b in pairs:
        odds = log_p[:, a] - log_p[:, b]
        of_a, of_b = odds[truth == a], odds[truth == b]
        if min(of_a.size, of_b.size) < 2:
            continue
        both = {"z_prime": probability_z_prime(of_a, of_b), "z_prime_log_odds": z_prime(of_a, of_b)}
        if all(math.isfinite(factor) for factor in both.values()):
            factors[f"{classes[a]}_{classes[b]}"] = both
    kinds = ("z_prime", "z_prime_log_odds")
    complete = len(factors) == len(pairs)
    smallest = {kind: min(both[kind] for both in factors.values()) for kind in kinds} if complete else {}
    if len(pairs) == 1:
        return smallest
    return smallest | {f"{kind}/{pair}": both[kind] for kind in kinds for pair, both in factors.items()}
