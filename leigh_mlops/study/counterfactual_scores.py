"""Scores of a network's counterfactuals on a few validation fields, so that trials can be compared."""

import numpy as np
import numpy.typing as npt

from leigh_mlops.explanations import ExplanationContext, explain_fields
from leigh_mlops.job_columns import JobColumn, counterfactual_family
from leigh_mlops.models import ModelPackage
from leigh_mlops.models.oracles import OraclePanel
from leigh_mlops.report.image_files import round_trip_tiff16
from leigh_mlops.training import PreparedData

__all__ = ["counterfactual_scores"]

_KINDS = ("alpha_1", "boundary", "typical")
_PER_CLASS = 8

Floats = npt.NDArray[np.float32]


def counterfactual_scores(package: ModelPackage, data: PreparedData) -> dict[str, float]:
    """Score counterfactuals of the first eight validation fields of each class, as a 16-bit file holds them.

    Args:
        package: Invertible classifier with maps between its classes; another one has no scores.
        data: Data of the study.

    Returns:
        For each kind ``<kind>/valid``, the share that the network itself predicts as the target,
        ``<kind>/oracles``, the share that most competent independent classifiers predict so, and the median
        ``<kind>/reencoding_error``; and
        ``boundary/alpha``, the median share of the way to the typical image at which the prediction changes.
    """
    if not package.class_maps.pairs():
        return {}
    raw = data.cache.raw(_first_rows(data))
    found = explain_fields(
        package, raw, ("counterfactual",), ExplanationContext(kinds=_KINDS, change_maps=False), _round_trip
    )
    scores: dict[str, float] = {}
    for kind in _KINDS:
        of_kind = counterfactual_family(kind)
        made = [each for each in found if kind in each.verified]
        if not made:
            continue
        scores[f"{kind}/valid"] = float(np.mean([bool(each.numbers[of_kind("valid")]) for each in made]))
        errors = [float(each.numbers[of_kind("reencoding_error")]) for each in made]
        scores[f"{kind}/reencoding_error"] = float(np.median(errors))
        if package.oracles is not None and package.oracles.competent:
            files = np.stack([each.verified[kind].saved for each in made])
            targets = [package.model.spec.classes.index(str(each.numbers[JobColumn.TARGET])) for each in made]
            scores[f"{kind}/oracles"] = _share_of_most(package.oracles, files, np.array(targets))
        if kind == "boundary":
            scores["boundary/alpha"] = float(np.median([float(each.numbers[of_kind("length")]) for each in made]))
    return scores


def _first_rows(data: PreparedData) -> npt.NDArray[np.int64]:
    """Select the first validation fields of each class: the same for every trial of a study."""
    rows = data.rows("val")
    labels = data.labels[rows]
    return np.sort(np.concatenate([rows[labels == label][:_PER_CLASS] for label in np.unique(labels)]))


def _round_trip(place: int, kind: str, image: Floats) -> Floats:
    return round_trip_tiff16(image).astype(np.float32)


def _share_of_most(oracles: OraclePanel, files: Floats, targets: npt.NDArray[np.int64]) -> float:
    """Share of files that most competent oracles predict as the target."""
    log_probs = oracles.log_probs(files)
    agree = [log_probs[name].argmax(axis=1) == targets for name in oracles.competent]
    return float((2 * np.sum(agree, axis=0) > len(agree)).mean())
