"""Sentences on scores for biologists."""

from collections.abc import Mapping, Sequence
from typing import Any

from leigh_mlops.report.class_balance import balance_sentences

__all__ = [
    "CONFOUNDED_AUC",
    "PART_NAMES",
    "SCORE_NAMES",
    "Z_PRIME_NOTE",
    "confound_sentences",
    "format_count",
    "intensity_sentences",
    "format_percent",
    "metric_name",
    "comparison_sentences",
]

Scores = Mapping[str, float]

SCORE_NAMES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "majority_share": "share of the largest class",
    "auc": "AUC",
    "f1_macro": "mean F1",
    "log_loss": "log loss (nats)",
    "z_prime_log_odds": "Z' of log-odds",
    "z_prime": "Z' of probabilities",
    "mse": "mean squared error (normalised intensity²)",
    "loss": "loss",
    "seconds": "time (seconds)",
}

Z_PRIME_NOTE = (
    "For a screen, read the Z' of log-odds. The Z' of probabilities is that of publications (predictions in [0, 1]): "
    "it tends to 1 as soon as a network is certain, so it is usually far higher on the same predictions."
)

PART_NAMES = {"train": "training", "val": "validation", "test": "test"}

CONFOUNDED_AUC = 0.8
CHANCE_AUC = 0.6
SEPARABLE_ACCURACY = 0.95
FEW_WELLS = 20
MAX_NAMED_PLATES = 4
MIN_EXPLAINED = 0.1
MAX_P_VALUE = 0.001
_COMPARED = ("the network", "a threshold on intensity", "the position on the plate")
EFFECT_NAMES = {"row": "row", "column": "column", "edge": "distance to the edge"}


def format_count(number: int, noun: str) -> str:
    """Format a number with its noun, singular or plural.

    Example:
        >>> format_count(1, "well"), format_count(2, "well")
        ('1 well', '2 wells')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def format_percent(share: float) -> str:
    """Share of 1 as whole percent; shares that are not quite 0 or 1 do not look as if they were.

    Example:
        >>> format_percent(0.5), format_percent(0.999), format_percent(1.0), format_percent(0.001)
        ('50 %', '99.9 %', '100 %', '0.1 %')
    """
    percent = 100 * share
    return f"{percent:.0f} %" if percent in (0, 100) or 0.5 <= percent < 99.5 else f"{percent:.1f} %"


def metric_name(metric: str) -> str:
    """Name of a metric for an axis label.

    Example:
        >>> metric_name("val/wells/accuracy")
        'accuracy (validation wells)'
        >>> metric_name("train/log_loss")
        'log loss (nats), training fields'
        >>> metric_name("wells/z_prime")
        "Z' of probabilities (wells)"
    """
    *parts, score = metric.split("/")
    name = SCORE_NAMES.get(score, score.replace("_", " "))
    unit = "wells" if "wells" in parts else "fields"
    where = " ".join([PART_NAMES[part] for part in parts if part in PART_NAMES] + [unit])
    if not parts:
        return name
    return f"{name}, {where}" if name.endswith(")") else f"{name} ({where})"


def comparison_sentences(
    model_scores: Scores,
    baseline_scores: Scores | None,
    position_scores: Scores | None,
    *,
    difference: tuple[float, float] | None = None,
    beside: tuple[Scores, Scores, Scores] | None = None,
    which: str = "test wells",
) -> list[str]:
    """Sentences that compare the network with its references, the most important first.

    A win is claimed only if the interval of the difference excludes 0.

    Args:
        model_scores: ``accuracy`` on test wells, 0 to 1, and ``wells``, their
            number; ``auc``, ``balanced_accuracy`` and ``majority_share`` if they could be computed.
        baseline_scores: The same for a threshold on intensity, same wells.
        position_scores: The same for the position on the plate alone.
        difference: Interval (low, high) of the network's accuracy minus the
            threshold's, such as a 95 % paired bootstrap over wells.
        beside: ``accuracy`` and ``wells`` of the network, the threshold and the
            position on those wells that have a well of another class as neighbour;
            used if the position alone predicts the class.
        which: Name of the wells in the sentences.

    Returns:
        Complete sentences; missing scores are reported as missing.

    Raises:
        ValueError: ``difference`` is not ordered or not finite.

    Example:
        >>> comparison_sentences({"accuracy": 1.0, "wells": 25}, {"accuracy": 1.0, "wells": 25}, None)[0][:48]
        'A threshold on intensity does as well as the net'
    """
    if difference is not None and not -1 <= difference[0] <= difference[1] <= 1:
        raise ValueError(f"difference is {difference}: pass (low, high) with -1 <= low <= high <= 1.")
    found = _network_sentence(model_scores, baseline_scores, difference, which)
    position = _position_sentence(position_scores)
    named = dict(zip(_COMPARED, (model_scores, baseline_scores or {}, position_scores or {}), strict=True))
    balance = balance_sentences(named, which)
    confounded = position_scores is not None and position_scores.get("auc", 0) > CHANCE_AUC
    if not confounded:
        return [found, *balance, position, _sample_size_sentence(model_scores)]
    return [position, _neighbour_sentence(beside), found, *balance, _sample_size_sentence(model_scores)]


def _neighbour_sentence(beside: tuple[Scores, Scores, Scores] | None) -> str:
    if beside is None or any("accuracy" not in scores for scores in beside):
        return "No scored well has a neighbour of another class; on such wells the position would help least."
    model, baseline, position = (scores["accuracy"] for scores in beside)
    wells = int(beside[0]["wells"])
    share = beside[0].get("majority_share")
    majority = "" if share is None else f", always the largest class {share:.3f}"
    return (
        f"On the {format_count(wells, 'well')} with a neighbour of another class, where the position helps least, the "
        f"accuracy is {model:.3f} (a threshold on intensity {baseline:.3f}, the position on the plate {position:.3f}"
        f"{majority})."
    )


def _position_sentence(scores: Scores | None) -> str:
    if scores is None or "auc" not in scores:
        return "Whether the position on the plate alone predicts the class could not be computed."
    auc = f"(AUC {scores['auc']:.2f})"
    if scores["auc"] > CONFOUNDED_AUC:
        return (
            f"The position on the plate alone predicts the class {auc}: "
            "no score on these images can separate biology from position."
        )
    if scores["auc"] > CHANCE_AUC:
        return (
            f"The position on the plate alone partly predicts the class {auc}: "
            "part of every score below may come from position, not biology."
        )
    return f"No smooth trend over the plate predicts the class {auc}."


def confound_sentences(confounds: Mapping[str, Scores]) -> list[str]:
    """Sentences on confounders that predict the class: position, plate, views of the images; empty if none does.

    Args:
        confounds: ``auc`` of ``position``, ``plate``, ``background``, ``density``, ``focus`` and ``stamp``, each if it
            could be computed; of views also ``chance_auc``, which few wells reach by chance.

    Example:
        >>> confound_sentences({"position": {"auc": 0.5}, "plate": {"auc": 0.5}, "background": {}})
        []
    """
    found = {
        name: scores["auc"]
        for name, scores in confounds.items()
        if scores.get("auc", 0.0) > max(CONFOUNDED_AUC, scores.get("chance_auc", 0.0))
    }
    sentences = {
        "position": _position_sentence(confounds.get("position")),
        "plate": (
            f"The plate alone predicts the class (AUC {found.get('plate', 0):.2f}): differences between plates "
            "can look like differences between classes."
        ),
        "background": (
            f"Pixels without cells alone predict the class (AUC {found.get('background', 0):.2f}): medium, "
            "illumination or haze from bright cells, not biology, may separate the classes."
        ),
        "density": (
            f"Nuclei as mere dots, by their number or places, predict the class (AUC "
            f"{found.get('density', 0):.2f}): seeding or survival, not what single cells look like, may separate the "
            "classes."
        ),
        "focus": (
            f"The focus alone predicts the class (AUC {found.get('focus', 0):.2f}): sharpness of the images, not "
            "biology, may separate the classes."
        ),
        "stamp": (
            f"Something at a fixed place in the corners of the images predicts the class "
            f"(AUC {found.get('stamp', 0):.2f}): a stamp, scale bar or stain on the optics; crop or mask it."
        ),
    }
    return [sentence for name, sentence in sentences.items() if name in found]


def effect_lines(effects: Sequence[Mapping[str, Any]]) -> list[str]:
    """Lines on the strongest effects of the position on the plate; those below a tenth of the variance are left out.

    Args:
        effects: Mappings with ``plate``, ``measure`` (a channel), ``effect`` (``row``, ``column``
            or ``edge``), ``explained``, a share of the variance between wells of one class, and
            ``p``, which must be below 0.001.
    """
    strong = [each for each in effects if each["explained"] >= MIN_EXPLAINED and each["p"] < MAX_P_VALUE]
    ranked = sorted(strong, key=lambda effect: -effect["explained"])[:MAX_NAMED_PLATES]
    return [
        f"Plate {each['plate']}: the {EFFECT_NAMES[each['effect']]} explains {100 * each['explained']:.0f} % of the "
        f"variance of {each['measure']} between wells of one class."
        for each in ranked
    ]


def _network_sentence(
    model: Scores, baseline: Scores | None, difference: tuple[float, float] | None, which: str
) -> str:
    if "accuracy" not in model:
        return f"The accuracy of the network on {which} could not be computed."
    if baseline is None or "accuracy" not in baseline:
        return (
            f"The network's accuracy on {which} is {model['accuracy']:.3f}; no threshold on intensity "
            "was scored for comparison, so this does not show that a network is needed."
        )
    gain = model["accuracy"] - baseline["accuracy"]
    against = f"accuracy on {which} {model['accuracy']:.3f} against {baseline['accuracy']:.3f}"
    if difference is not None and difference[0] > 0:
        within = f"the difference lies between {difference[0]:.3f} and {difference[1]:.3f}"
        return f"The network beats a threshold on intensity by {gain:.3f} ({against}; {within})."
    if difference is not None and difference[1] < 0:
        return (
            f"A threshold on intensity beats the network by {-gain:.3f} "
            f"({baseline['accuracy']:.3f} against {model['accuracy']:.3f} accuracy on {which}): "
            "use the threshold."
        )
    return _tie_sentence(baseline["accuracy"], gain, against, difference)


def _tie_sentence(baseline: float, gain: float, against: str, difference: tuple[float, float] | None) -> str:
    if abs(gain) >= 0.0005:
        reason = "the interval of the difference is unknown"
        if difference is not None:
            reason = f"the difference lies between {difference[0]:.3f} and {difference[1]:.3f}"
        return f"These wells do not show that the network and a threshold on intensity differ ({against}; {reason})."
    ending = (
        "these images can be classified without a network"
        if baseline >= SEPARABLE_ACCURACY
        else "this does not show that a network is needed"
    )
    return f"A threshold on intensity does as well as the network ({against}): {ending}."


def _sample_size_sentence(scores: Scores) -> str:
    if not scores.get("wells"):
        return "The number of test wells is unknown: do not rely on these scores."
    wells = int(scores["wells"])
    few = "Only " if wells < FEW_WELLS else ""
    verb = "was" if wells == 1 else "were"
    return f"{few}{format_count(wells, 'well')} {verb} scored: each well changes the accuracy by {1 / wells:.3f}."


def intensity_sentences(channels: Sequence[str], changes: Sequence[Scores]) -> list[str]:
    """Describe what an augmentation does to the intensities of each channel, see ``AugmentationPreview.changes``."""
    return [
        f"{channel}: mean {row['field_mean']:.4g} in the field and {row['versions_mean']:.4g} in its versions; "
        f"percentiles 1 to 99: {row['field_p1']:.4g} to {row['field_p99']:.4g} and {row['versions_p1']:.4g} to "
        f"{row['versions_p99']:.4g}; {100 * max(row['clipped'], 0):.2g} % of the pixels are newly black or saturated."
        for channel, row in zip(channels, changes, strict=True)
    ]
