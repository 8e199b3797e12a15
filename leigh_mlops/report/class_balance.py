"""Sentences that set accuracies beside that of always naming the largest class."""

from collections.abc import Iterable, Mapping, Sequence

__all__ = ["balance_sentences", "majority_note"]

Scores = Mapping[str, float]

_UNITS = {"wells/majority_share": "wells", "majority_share": "fields"}


def balance_sentences(named: Mapping[str, Scores], which: str) -> list[str]:
    """Compare with the accuracy of always naming the largest class, and give the balanced accuracies.

    Args:
        named: Scores on the same wells by name of the predictor: ``accuracy``, ``balanced_accuracy`` and
            ``majority_share``, each from 0 to 1 and if it could be computed.
        which: Name of the wells in the sentence.

    Returns:
        One sentence; none if only one class was scored.

    Example:
        >>> scores = {"accuracy": 0.7, "balanced_accuracy": 0.5, "majority_share": 0.7}
        >>> print(*balance_sentences({"the network": scores}, "test wells"))  # doctest: +NORMALIZE_WHITESPACE
        Always naming the largest class of the test wells is 0.700 accurate, no less than the network;
        the balanced accuracy, the mean over the classes, is 0.500 for the network.
    """
    share = next((scores["majority_share"] for scores in named.values() if "majority_share" in scores), None)
    balanced = {name: scores["balanced_accuracy"] for name, scores in named.items() if "balanced_accuracy" in scores}
    if share is None or not balanced:
        return []
    matched = [name for name, scores in named.items() if scores.get("accuracy", 1.0) <= share + 1e-9]
    ending = f", no less than {_enumerate(matched)}" if matched else ""
    return [
        f"Always naming the largest class of the {which} is {share:.3f} accurate{ending}; the balanced accuracy, the "
        f"mean over the classes, is {_enumerate([f'{value:.3f} for {name}' for name, value in balanced.items()])}."
    ]


def majority_note(rows: Iterable[Scores]) -> str | None:
    """Give the accuracies of always naming the largest class, beside a table of scores; None if unknown.

    Args:
        rows: Scores of predictors on the same wells, ``wells/majority_share`` and ``majority_share`` among them.

    Example:
        >>> majority_note([{"wells/majority_share": 0.75, "majority_share": 0.8}])
        'Always naming the largest class: accuracy 0.750 of wells, 0.800 of fields.'
    """
    known = {unit: row[name] for row in rows for name, unit in _UNITS.items() if name in row}
    parts = [f"{known[unit]:.3f} of {unit}" for unit in _UNITS.values() if unit in known]
    return f"Always naming the largest class: accuracy {', '.join(parts)}." if parts else None


def _enumerate(texts: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(texts[:-1]), texts[-1]]))
