"""Scores of a blind test, in which people call each field real or generated."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest

__all__ = ["BlindScores", "FieldShare", "blind_scores"]


class FieldShare(NamedTuple):
    """Share of some fields with its 95 % interval, all 0 to 1.

    Attributes:
        fields: Number of fields.
        share: Mean over these fields and all people.
        low: Lower end of the interval.
        high: Upper end of the interval.
    """

    fields: int
    share: float
    low: float
    high: float


class BlindScores(NamedTuple):
    """Scores of a blind test.

    Attributes:
        people: Number of people.
        generated: Generated fields that are taken for real.
        real: Real fields that are taken for real, the reference: an equal share means that nobody tells them apart.
        correct: Fields of both kinds that are called what they are; 0.5 is what guessing gives.
    """

    people: int
    generated: FieldShare
    real: FieldShare
    correct: FieldShare


def blind_scores(taken_for_real: ArrayLike, generated: ArrayLike) -> BlindScores:
    """Score the answers of one or several people to the same fields.

    Intervals are those of Wilson (1927). The unit of n is the field: more people add answers, but no fields, so
    answers are averaged over people before the interval is computed. With one person it is the ordinary interval,
    with several it is rather too wide than too narrow.

    Args:
        taken_for_real: Whether each person takes each field for real, shape (P, F).
        generated: Whether each field is generated, shape (F,).

    Raises:
        ValueError: There are no people, the shapes do not agree, or all fields are of one kind.

    Example:
        >>> scores = blind_scores([[True, False, True, True]], [True, True, False, False])
        >>> scores.generated.share, scores.real.share, scores.correct.share
        (0.5, 1.0, 0.75)
    """
    answers, made = np.asarray(taken_for_real, bool), np.asarray(generated, bool)
    if answers.ndim != 2 or not len(answers) or answers.shape[1:] != made.shape:
        raise ValueError(f"answers {answers.shape} do not fit {made.shape} fields: pass (P, F) and (F,), P at least 1.")
    if made.all() or not made.any():
        raise ValueError("all fields are of one kind: pass real and generated ones.")
    return BlindScores(
        people=len(answers),
        generated=_field_share(answers[:, made]),
        real=_field_share(answers[:, ~made]),
        correct=_field_share(answers != made),
    )


def _field_share(holds: NDArray[np.bool_]) -> FieldShare:
    """Share of answers (P, F) that hold, with the interval of one answer per field."""
    by_field = holds.mean(axis=0)
    fields, share = len(by_field), float(by_field.mean())
    found = binomtest(round(share * fields), fields).proportion_ci(method="wilson")
    return FieldShare(fields, share, float(found.low), float(found.high))
