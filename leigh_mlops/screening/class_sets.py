"""Prediction sets of a job's wells, calibrated by the controls of their plate or by the model's validation wells."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from leigh_mlops.job_columns import PROBABILITY, JobColumn
from leigh_mlops.models import ModelPackage
from leigh_mlops.plates import well_compounds
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.scores.conformal import (
    DEFAULT_COVERAGE,
    CalibrationWells,
    class_limits,
    fewest_wells,
    nonconformity,
    prediction_sets,
)

__all__ = ["ClassSets", "SetCounts", "class_sets"]

Doubles = npt.NDArray[np.float64]
_NO_CLASS = -1


@dataclass(frozen=True)
class SetCounts:
    """Numbers on the prediction sets of a job.

    Attributes:
        coverage: Probability that a set contains the true class of a well, 0 to 1.
        fewest: Fewest calibration wells of each class that a set takes.
        calibration: Validation wells of the model by class; none in a package without them.
        plates: Plates whose sets are calibrated by their own controls.
        single: Wells whose set has one class.
        several: Wells whose set has more than one class.
        empty: Wells whose set has no class.
        lacking: Wells with a prediction and without a set.
        labelled: Wells with a set and a label, without a compound, that the model has not seen.
        covered: Number of those whose set contains the label.
    """

    coverage: float
    fewest: int
    calibration: Mapping[str, int]
    plates: tuple[str, ...] = ()
    single: int = 0
    several: int = 0
    empty: int = 0
    lacking: int = 0
    labelled: int = 0
    covered: int = 0


class ClassSets(NamedTuple):
    """Columns of the table of wells, and their numbers.

    Attributes:
        columns: Values of the wells, shape (W,), by column: ``prediction_set`` (names joined by ``; ``, None
            for no set), ``prediction_set_coverage`` and ``prediction_set_own_plate``; none if no well has a set.
        counts: Numbers on the sets.
    """

    columns: dict[str, npt.NDArray[Any]]
    counts: SetCounts


def class_sets(wells: pd.DataFrame, package: ModelPackage, coverage: float = DEFAULT_COVERAGE) -> ClassSets:
    """Find the prediction set of each well.

    A plate whose labelled wells without a compound, which the model has not seen, number more than
    `fewest_wells` in each class calibrates its own sets, so that effects of the plate do not lower their
    coverage; each of these wells is judged by the others. The model's validation wells calibrate all other sets.

    Args:
        wells: Wells from `well_table`, with probabilities.
        package: A classifier.
        coverage: Probability that a set contains the true class, above 0 and below 1.

    Raises:
        LeighError: The stored calibration wells are damaged.
        ValueError: The coverage is out of range.
    """
    classes = package.model.spec.classes
    probabilities = wells[[PROBABILITY(name) for name in classes]].to_numpy(float)
    scored = np.isfinite(probabilities).all(axis=1)
    log_probs = np.log(np.where(scored[:, None], probabilities, 1.0).clip(min=1e-300))
    labels = np.where(scored, _control_labels(wells, classes), _NO_CLASS)
    stored = package.calibration_wells
    limits = np.full(log_probs.shape, np.nan)
    if stored is not None:
        limits[:] = class_limits(stored, len(classes), coverage)
    own = _calibrate_plates(limits, wells, labels, log_probs, coverage)
    known = scored & np.isfinite(limits).all(axis=1)
    sets = np.zeros(log_probs.shape, bool)
    sets[known] = prediction_sets(log_probs[known], limits[known])
    sizes, labelled = sets.sum(axis=1)[known], known & (labels != _NO_CLASS)
    counts = SetCounts(
        coverage=coverage,
        fewest=fewest_wells(coverage),
        calibration={} if stored is None else _count_classes(stored.labels, classes),
        plates=tuple(sorted(set(wells.loc[own & known, Metadata.PLATE].astype(str)))),
        single=int((sizes == 1).sum()),
        several=int((sizes > 1).sum()),
        empty=int((sizes == 0).sum()),
        lacking=int((scored & ~known).sum()),
        labelled=int(labelled.sum()),
        covered=int(sets[labelled, labels[labelled]].sum()),
    )
    return ClassSets(_columns(sets, known, own, classes, coverage) if known.any() else {}, counts)


def _control_labels(wells: pd.DataFrame, classes: Sequence[str]) -> npt.NDArray[np.int64]:
    """Class of each labelled well without a compound that the model has not seen, -1 of all others, shape (W,)."""
    if Metadata.CONDITION not in wells:
        return np.full(len(wells), _NO_CLASS)
    order = {name: number for number, name in enumerate(classes)}
    labels = wells[Metadata.CONDITION].map(order).fillna(_NO_CLASS).to_numpy(np.int64)
    usable = well_compounds(wells).isna().to_numpy(bool) & ~wells[JobColumn.SEEN].to_numpy(bool)
    return np.where(usable, labels, _NO_CLASS)


def _calibrate_plates(
    limits: Doubles, wells: pd.DataFrame, labels: npt.NDArray[np.int64], log_probs: Doubles, coverage: float
) -> npt.NDArray[np.bool_]:
    """Replace the limits, shape (W, K), on plates with enough controls; return which wells these are, shape (W,)."""
    calibrated = np.zeros(len(wells), bool)
    classes, scores = limits.shape[1], nonconformity(log_probs)
    for places in wells.groupby(Metadata.PLATE).indices.values():
        controls = places[labels[places] != _NO_CLASS]
        # One more than a set takes, as each control is judged by the others.
        if np.bincount(labels[controls], minlength=classes).min() <= fewest_wells(coverage):
            continue
        calibrated[places] = True
        limits[places] = class_limits(_select(controls, labels, scores), classes, coverage)
        for control in controls:
            others = _select(controls[controls != control], labels, scores)
            limits[control] = class_limits(others, classes, coverage)
    return calibrated


def _select(places: npt.NDArray[np.int64], labels: npt.NDArray[np.int64], scores: Doubles) -> CalibrationWells:
    return CalibrationWells(labels[places], scores[places, labels[places]])


def _count_classes(labels: npt.NDArray[np.int64], classes: Sequence[str]) -> dict[str, int]:
    return dict(zip(classes, np.bincount(labels, minlength=len(classes)).tolist(), strict=True))


def _columns(
    sets: npt.NDArray[np.bool_],
    known: npt.NDArray[np.bool_],
    own: npt.NDArray[np.bool_],
    classes: Sequence[str],
    coverage: float,
) -> dict[str, npt.NDArray[Any]]:
    names = ["; ".join(compress(classes, row)) if has else None for row, has in zip(sets, known, strict=True)]
    return {
        JobColumn.SET: np.array(names, object),
        JobColumn.SET_COVERAGE: np.where(known, coverage, np.nan),
        JobColumn.SET_OWN_PLATE: own & known,
    }
