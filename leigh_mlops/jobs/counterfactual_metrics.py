"""Metrics of saved counterfactuals beyond the prediction of their own model."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from leigh_mlops.explanations import (
    ExplanationContext,
    FieldExplanation,
    explain_fields,
    predict_fields,
    required_confidence,
)
from leigh_mlops.explanations.prepared_field import Field, group_by_statistics
from leigh_mlops.images import apply_adjustment, image_thresholds, invert_adjustment, region_features, texture_features
from leigh_mlops.images.nuclei import find_nuclear_channel, nucleus_centres
from leigh_mlops.job_columns import IMAGE
from leigh_mlops.jobs.field_reader import FieldReader
from leigh_mlops.jobs.oracle_evaluation import OracleEvaluation
from leigh_mlops.jobs.saved_counterfactual import Numbers, SavedCounterfactual
from leigh_mlops.models import ModelPackage
from leigh_mlops.models.plate_statistics import plate_statistics
from leigh_mlops.report.image_files import round_trip_tiff16
from leigh_mlops.scores import background_noise, changed_share, clipped_share, mean_change, quality_status

__all__ = [
    "CounterfactualEvaluator",
    "SaveCounterfactual",
    "explain_and_save",
    "measure_changes",
]

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
SaveCounterfactual = Callable[[Field, str, Floats], Floats]
"""From a field, a kind and raw intensities (C, S, S) as acquired to those that are read back from the file."""


def explain_and_save(
    package: ModelPackage,
    fields: Sequence[Field],
    methods: Sequence[str],
    context: ExplanationContext,
    save: SaveCounterfactual,
) -> tuple[list[FieldExplanation], list[SavedCounterfactual]]:
    """Explain fields, and verify their counterfactuals as they are saved, in the units of the acquisition.

    Args:
        package: The model.
        fields: Fields that are explained together, those of each plate by themselves if the network adapts to plates.
        methods: Names of explanations.
        context: Options of the explanations.
        save: Saves a counterfactual and reads it back.

    Returns:
        One explanation per field, and their saved counterfactuals.
    """
    explained: dict[int, FieldExplanation] = {}
    saved: list[SavedCounterfactual] = []
    for numbers in group_by_statistics(package, fields):
        some = [fields[number] for number in numbers]
        own = context if context.labels is None else replace(context, labels=context.labels[numbers])
        with plate_statistics(package.model, some[0].statistics):
            found, kept = _explain_and_save_together(package, some, methods, own, save)
        explained |= dict(zip(numbers, found, strict=True))
        saved += kept
    return [explained[number] for number in range(len(fields))], saved


def _explain_and_save_together(
    package: ModelPackage,
    fields: Sequence[Field],
    methods: Sequence[str],
    context: ExplanationContext,
    save: SaveCounterfactual,
) -> tuple[list[FieldExplanation], list[SavedCounterfactual]]:
    files: dict[tuple[int, str], Floats] = {}

    def as_saved(place: int, kind: str, image: Floats) -> Floats:
        field = fields[place]
        files[place, kind] = save(field, kind, invert_adjustment(image, field.adjust))
        return apply_adjustment(files[place, kind], field.adjust)

    explained = explain_fields(package, np.stack([field.raw for field in fields]), methods, context, as_saved)
    saved = [SavedCounterfactual(fields[place], kind, file, explained[place]) for (place, kind), file in files.items()]
    return explained, saved


def measure_changes(package: ModelPackage, saved: SavedCounterfactual, confidence: float | None) -> Numbers:
    """Columns on the saved image of a counterfactual: clipped and changed share, status, change of each channel.

    Args:
        package: The model that made it.
        saved: The counterfactual.
        confidence: Target probability of ``confident`` counterfactuals, see `required_confidence`.
    """
    name, before, file = saved.column_prefix, saved.field.acquired, saved.explanation.verified[saved.kind]
    clipped = clipped_share(saved.acquired, package.scale["full_scale"])
    measured: Numbers = {
        f"{name}_clipped": clipped,
        f"{name}_changed": changed_share(before, saved.acquired, background_noise(before)),
        f"{name}_status": quality_status(
            valid=file.predicted_class == file.target,
            probability=file.probability,
            confidence=float(required_confidence(package, confidence)[file.target])
            if saved.kind == "confident"
            else None,
            half=float(expit(file.margin)) if saved.kind == "boundary" else None,
            reencoding_error=file.reencoding_error,
            padding_energy=file.padding_energy,
            clipped=clipped,
            distance=file.distance,
        ),
    }
    changes = zip(package.channels, mean_change(before, saved.acquired), strict=True)
    return measured | {f"{name}_change_{channel}": float(change) for channel, change in changes}


class CounterfactualEvaluator:
    """Computes metrics of saved counterfactuals.

    Args:
        package: The model that made them.
        reader: Reader of the fields' twins.
        confidence: Target probability of ``confident`` counterfactuals, see `required_confidence`.
        oracles: Independent classifiers, those of the package and registered ones.
    """

    def __init__(
        self,
        package: ModelPackage,
        reader: FieldReader,
        confidence: float | None,
        oracles: OracleEvaluation | None = None,
    ) -> None:
        self.package, self.reader, self.confidence = package, reader, confidence
        self.oracles = oracles or OracleEvaluation(package)

    def measure_originals(self, fields: Sequence[Field], found: Sequence[FieldExplanation]) -> None:
        """Add measures ``image_<measure>`` of the regions of each field, as acquired, and its texture."""
        for field, each in zip(fields, found, strict=True):
            thresholds = self._region_thresholds(field)
            measured = region_features(field.acquired, self.package.channels, thresholds)
            if (nuclear := find_nuclear_channel(self.package.channels)) is not None:
                measured["nuclei_count"] = float(len(nucleus_centres(field.acquired[nuclear], thresholds[nuclear])))
            each.numbers |= {IMAGE(name): value for name, value in measured.items()}
        # As a 16-bit file holds them: its rounding alone would distinguish counterfactuals from fields.
        raw = [apply_adjustment(round_trip_tiff16(field.acquired).astype(np.float32), field.adjust) for field in fields]
        features = texture_features(np.stack(raw), self.package.scale["full_scale"])
        for each, texture in zip(found, features, strict=True):
            each.texture["image"] = texture

    def evaluate(self, saved: Sequence[SavedCounterfactual]) -> None:
        """Add all columns that are computed from the saved files of some counterfactuals, at least one."""
        for each in saved:
            each.explanation.numbers |= (
                measure_changes(self.package, each, self.confidence)
                | self._measure_regions(each)
                | self._measure_twin_error(each)
            )
        limits = np.asarray(self.package.about["display_limits"], np.float32)
        views = [_quantise_to_8_bits(apply_adjustment(each.acquired, each.field.adjust), limits) for each in saved]
        self._predict_views(saved, "eight_bit", views)
        self.oracles.evaluate(saved, [self.reader.plate(each.field.row) for each in saved])

    def evaluate_counts(self, saved: Sequence[SavedCounterfactual], counts: Sequence[Floats]) -> None:
        """Add the class that the model predicts for the same images as whole counts (C, S, S) of the camera."""
        views = [apply_adjustment(view, each.field.adjust) for view, each in zip(counts, saved, strict=True)]
        self._predict_views(saved, "counts", views)

    def _measure_regions(self, saved: SavedCounterfactual) -> Numbers:
        measured = region_features(
            saved.acquired, self.package.channels, self._region_thresholds(saved.field), cells=saved.field.acquired
        )
        return {f"{saved.column_prefix}_after_{name}": value for name, value in measured.items()}

    def _region_thresholds(self, field: Field) -> list[float]:
        """Thresholds of the regions, in the units of the acquisition; the field's own if the package has none."""
        stored = self.package.about.get("region_thresholds")
        if stored is None:
            return image_thresholds(field.acquired)
        level = np.asarray(stored, np.float32)[:, None, None]
        return [float(threshold) for threshold in invert_adjustment(level, field.adjust)[:, 0, 0]]

    def _measure_twin_error(self, saved: SavedCounterfactual) -> Numbers:
        """Distance of the counterfactual to its twin over that of the original."""
        twin = self.reader.twin(saved.field.row, saved.target)
        if twin is None:
            return {}
        before = _rms(saved.field.acquired, twin)
        return {f"{saved.column_prefix}_twin_error": _rms(saved.acquired, twin) / before if before else float("nan")}

    def _predict_views(self, saved: Sequence[SavedCounterfactual], name: str, views: Sequence[Floats]) -> None:
        """Add the class that the model predicts for other views of the files."""
        classes = self.package.model.spec.classes
        for each, probabilities in zip(saved, predict_fields(self.package, np.stack(views)), strict=True):
            each.explanation.numbers[f"{each.column_prefix}_{name}_class"] = classes[int(probabilities.argmax())]


def _rms(a: Floats, b: Floats) -> float:
    return float(np.sqrt(np.square(a.astype(np.float64) - b).mean()))


def _quantise_to_8_bits(raw: Floats, limits: npt.NDArray[np.float32]) -> Floats:
    """Quantise raw intensities (C, S, S) to 256 steps between the limits (low, high) of each channel, shape (C, 2)."""
    low, high = limits[:, 0, None, None], limits[:, 1, None, None]
    steps = np.rint(255 * np.clip((raw - low) / (high - low), 0, 1))
    seen: Floats = (low + steps / 255 * (high - low)).astype(np.float32)
    return seen
