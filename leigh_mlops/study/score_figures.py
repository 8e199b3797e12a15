"""Figures of a network's scores on some fields: under the same names for all networks of a study."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from scipy.special import expit

from leigh_mlops.plates.columns import NO_CLASS
from leigh_mlops.report.figures import confusion_matrix, score_distributions
from leigh_mlops.report.published_figures import prediction_spread
from leigh_mlops.scores import aggregate_wells, per_well_mean
from leigh_mlops.training import Outputs, PreparedData

__all__ = ["score_figures"]

Labels = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]


def score_figures(task: str, data: PreparedData, outputs: Outputs, scores: dict[str, float]) -> dict[str, Figure]:
    """Draw what a network gives for some fields.

    Args:
        task: ``classify``, ``reconstruct`` or ``cluster``, which has no figure.
        data: Data of the fields.
        outputs: Outputs of the network for these fields.
        scores: Its scores on them, by shared metric names.

    Returns:
        Figures by name. Of a classifier, ``confusion``, and for each pair of classes ``scores_A_B`` (log-odds of fields
        and wells) and ``predictions_A_B`` (in [0, 1]); else ``errors``, the errors of reconstruction by class.
    """
    labels, values, classes = data.labels[outputs.rows], outputs.values, data.classes
    if task == "cluster":
        return {}
    if task == "reconstruct":
        return {"errors": _errors(classes, labels, list(data.wells[outputs.rows]), values.mean(axis=1))}
    wells = aggregate_wells(list(data.wells[outputs.rows]), labels, values)
    figures = {"confusion": confusion_matrix(labels, values.argmax(1), classes)}
    for first, second in _pairs(len(classes)):
        names = f"{classes[first]}_{classes[second]}"
        figures[f"scores_{names}"] = _distribution(
            classes, (first, second), (labels, values), (wells.labels, wells.log_probs), scores
        )
        figures[f"predictions_{names}"] = _predictions(classes, (first, second), labels, values, scores)
    return figures


def _pairs(count: int) -> list[tuple[int, int]]:
    return [(first, second) for first in range(count) for second in range(first + 1, count)]


def _errors(classes: Sequence[str], labels: Labels, wells: Sequence[str], errors: Doubles) -> Figure:
    """Errors of the fields (n,) by class, and of the wells."""
    named = [*enumerate(classes), (-1, NO_CLASS)]
    chosen = {name: labels == label for label, name in named if (labels == label).any()}
    names = np.asarray(wells)
    by_well = {name: per_well_mean(list(names[mask]), errors[mask]) for name, mask in chosen.items()}
    score = "mean squared error (normalised intensity²)"
    return score_distributions({name: errors[mask] for name, mask in chosen.items()}, by_well, score=score)


def _predictions(
    classes: Sequence[str], pair: tuple[int, int], labels: Labels, log_probs: Doubles, scores: dict[str, float]
) -> Figure:
    first, second = pair
    shares = expit(log_probs[:, second] - log_probs[:, first])
    key = "z_prime" + (f"/{classes[first]}_{classes[second]}" if len(classes) > 2 else "")
    by_class = {classes[label]: shares[labels == label] for label in pair}
    return prediction_spread(by_class, target=classes[second], z_prime=scores.get(key))


def _distribution(
    classes: Sequence[str],
    pair: tuple[int, int],
    fields: tuple[Labels, Doubles],
    wells: tuple[Labels, Doubles],
    scores: dict[str, float],
) -> Figure:
    first, second = pair

    def split(part: tuple[Labels, Doubles]) -> dict[str, Doubles]:
        labels, values = part
        odds = values[:, second] - values[:, first]
        return {classes[label]: odds[labels == label] for label in pair}

    key = "wells/z_prime_log_odds" + (f"/{classes[first]}_{classes[second]}" if len(classes) > 2 else "")
    name = f"log-odds of {classes[second]} against {classes[first]} (nats)"
    return score_distributions(split(fields), split(wells), score=name, z_prime=scores.get(key))
