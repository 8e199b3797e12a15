"""Evaluation of edits beside the typical image: its parts alone, sham edits, and the smallest edit of each field."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from leigh_mlops.explanations import NETWORK, MaskCurve, mask_curve, predict_by_all, sham_edits
from leigh_mlops.job_columns import CHANGE, PART, SHAM_EDIT, SMALLEST_EDIT, part_family
from leigh_mlops.jobs.saved_counterfactual import Numbers
from leigh_mlops.models import ModelPackage
from leigh_mlops.models.transport import SHAM, named_parts

__all__ = ["FieldEdits", "evaluate_edits"]

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class FieldEdits:
    """Edits of one field.

    Attributes:
        numbers: Columns of the field.
        images: Raw intensities (C, S, S): ``part_<part>``, and where there are any, ``sham_image`` and
            ``smallest_edit_image``.
        curve: Scores over the share of replaced pixels.
    """

    numbers: Numbers
    images: dict[str, Floats]
    curve: MaskCurve


def evaluate_edits(
    package: ModelPackage,
    raw: Floats,
    typical: Floats,
    source: Indices,
    target: Indices,
    change_maps: npt.NDArray[np.floating],
) -> list[FieldEdits]:
    """Apply each part of the change alone, a sham edit, and ever larger parts of the pixels, and predict the class.

    Args:
        package: Model that may have independent classifiers and sham maps.
        raw: Raw intensities at the level of the model's controls, shape (N, C, S, S).
        typical: Their typical images, shape (N, C, S, S).
        source: Class that the model predicts for each, shape (N,).
        target: Class that each leads to, shape (N,).
        change_maps: Amount by which the change of each pixel acts, shape (N, S, S).

    Raises:
        LeighError: Shapes do not fit the model.
    """
    found = []
    for image, goal, change_map, label in zip(raw, typical, change_maps, target.tolist(), strict=True):
        curve = mask_curve(image, goal, change_map, label, partial(predict_by_all, package))
        found.append(_smallest_edit(curve))
    _add_parts(package, raw, typical, target, found)
    _add_shams(package, raw, source, found)
    return found


def _smallest_edit(curve: MaskCurve) -> FieldEdits:
    numbers: Numbers = {SMALLEST_EDIT("area"): curve.areas[NETWORK]}
    if curve.smallest is None:
        return FieldEdits(numbers, {}, curve)
    numbers[SMALLEST_EDIT("share")] = curve.smallest.share
    return FieldEdits(numbers, {SMALLEST_EDIT("image"): curve.smallest.hybrid}, curve)


def _add_parts(package: ModelPackage, raw: Floats, typical: Floats, target: Indices, found: list[FieldEdits]) -> None:
    """Add the predictions for each part alone, and its images."""
    classes = package.model.spec.classes
    for name, images in named_parts(raw, typical, package.channels).items():
        column = name.replace(" ", "_")
        of_part, predictions = part_family(column), predict_by_all(package, images)
        own = predictions.pop(NETWORK).argmax(axis=1)
        for row, (each, goal) in enumerate(zip(found, target.tolist(), strict=True)):
            agreeing = sum(int(votes[row].argmax()) == goal for votes in predictions.values())
            each.numbers[of_part("class")] = classes[int(own[row])]
            each.numbers[of_part("oracles")] = agreeing
            each.numbers[of_part("oracles_asked")] = len(predictions)
            each.images[PART(column)] = images[row]


def _add_shams(package: ModelPackage, raw: Floats, source: Indices, found: list[FieldEdits]) -> None:
    """Add the effect of sham edits on the fields of classes that have a sham."""
    known = package.class_maps.pairs(SHAM)
    rows = [row for row, label in enumerate(source.tolist()) if (label, label) in known]
    if not rows:
        return
    shams = sham_edits(package, raw[rows])
    oracles = [flips for name, flips in shams.flips.items() if name != NETWORK]
    for place, row in enumerate(rows):
        numbers = found[row].numbers
        numbers[SHAM_EDIT("turned")] = bool(shams.flips[NETWORK][place])
        numbers[SHAM_EDIT("oracles_turned")] = sum(int(flips[place]) for flips in oracles)
        numbers[SHAM_EDIT("oracles_asked")] = len(oracles)
        for channel, change in zip(package.channels, shams.changes[place], strict=True):
            numbers[SHAM_EDIT(CHANGE(channel))] = float(change)
        found[row].images[SHAM_EDIT("image")] = shams.images[place]
