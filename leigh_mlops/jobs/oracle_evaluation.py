"""Evaluation of saved counterfactuals by independent classifiers and measures of realism, beside the references."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from leigh_mlops.explanations import mapped_fields, predict_fields
from leigh_mlops.explanations.prepared_field import Adjust, Field, select_adjustment
from leigh_mlops.images import apply_adjustment, invert_adjustment, texture_features
from leigh_mlops.job_columns import IMAGE, ORACLE, REFERENCE, JobColumn, reference_family
from leigh_mlops.jobs.saved_counterfactual import Numbers, SavedCounterfactual
from leigh_mlops.models import ModelPackage
from leigh_mlops.models.plate_statistics import PlateStatistics, plate_statistics
from leigh_mlops.models.transport import REFERENCES
from leigh_mlops.report.image_files import round_trip_tiff16
from leigh_mlops.scores import RatedStatus, rate_counterfactual
from leigh_mlops.scores.realism import typicality

__all__ = ["OracleEvaluation", "RegisteredOracle", "is_empty_field"]

TARGET_KINDS = ("alpha_1", "confident", "typical")
"""Kinds that claim to be the target class; others end at a boundary."""

NO_CHANGE = "nothing"
"""Name of the image as it is, the first of the references."""

_EMPTY_SHARE = 0.1

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class RegisteredOracle:
    """Registered version that evaluates counterfactuals beside the package's own panel.

    Attributes:
        package: The classifier, with its own intensity scale.
        adjust: Its offset and gain by plate.
        statistics: Statistics of its network by plate, if it is adapted to plates.
    """

    package: ModelPackage
    adjust: Adjust = None
    statistics: Mapping[str, PlateStatistics] | None = None

    def predict(self, acquired: Floats, plates: Sequence[str]) -> Doubles:
        """Probabilities (N, K) of images (N, C, S, S) in the units of the acquisition, given the plate of each."""
        channels = len(self.package.channels)
        raw = np.stack(
            [
                apply_adjustment(image, select_adjustment(self.adjust, plate, channels))
                for image, plate in zip(acquired, plates, strict=True)
            ]
        )
        if self.statistics is None:
            return predict_fields(self.package, raw)
        found, named = np.zeros((len(raw), len(self.package.model.spec.classes))), np.asarray(plates)
        for plate in np.unique(named):
            with plate_statistics(self.package.model, self.statistics[str(plate)]):
                found[named == plate] = predict_fields(self.package, raw[named == plate])
        return found


@dataclass(frozen=True)
class OracleEvaluation:
    """Independent classifiers that predict the class of saved counterfactuals.

    Attributes:
        package: The model that makes counterfactuals, with its panel of classifiers.
        registered: Further classifiers by name.
    """

    package: ModelPackage
    registered: Mapping[str, RegisteredOracle] = field(default_factory=dict)

    def evaluate(self, saved: Sequence[SavedCounterfactual], plates: Sequence[str] | None = None) -> None:
        """Add the columns of the oracles, of realism, of the references, and the status of each counterfactual.

        Args:
            saved: Saved counterfactuals with their other measures, at least one.
            plates: Plate of each, which registered oracles that are scaled by controls need.
        """
        acquired = np.stack([each.acquired for each in saved])
        votes = self._predict(acquired, [each.field for each in saved], plates or [""] * len(saved))
        realism = self._realism(saved, acquired)
        for row, each in enumerate(saved):
            numbers, name = each.explanation.numbers, each.column_prefix
            own = {oracle: probabilities[row] for oracle, probabilities in votes.items()}
            numbers |= self._oracle_columns(name, own, each.target)
            if np.isfinite(realism[row]):
                numbers[f"{name}_realism"] = float(realism[row])
            if each.kind in TARGET_KINDS:
                numbers |= self._rating(each)
        self._add_references([each for each in saved if each.kind == "typical"])

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the model's K classes."""
        return self.package.model.spec.classes

    def _predict(self, acquired: Floats, fields: Sequence[Field], plates: Sequence[str]) -> dict[str, Doubles]:
        """Probabilities (N, K) of images in the units of the acquisition, by each oracle."""
        found = self._predict_by_panel(_adjust(acquired, fields))
        for name, oracle in self.registered.items():
            order = [oracle.package.model.spec.classes.index(each) for each in self.classes]
            found[name] = oracle.predict(acquired, plates)[:, order]
        return found

    def _oracle_columns(self, prefix: str, votes: Mapping[str, Doubles], target: str) -> Numbers:
        """Return the class that each oracle predicts, and how many predict the target."""
        goal = self.classes.index(target)
        columns: Numbers = {}
        for name, probabilities in votes.items():
            columns[f"{prefix}_{ORACLE(name)}_class"] = self.classes[int(probabilities.argmax())]
            columns[f"{prefix}_{ORACLE(name)}_probability"] = float(probabilities[goal])
        agreeing = sum(int(probabilities.argmax()) == goal for probabilities in votes.values())
        return columns | {f"{prefix}_oracles": agreeing, f"{prefix}_oracles_asked": len(votes)}

    def _realism(self, saved: Sequence[SavedCounterfactual], acquired: Floats) -> Doubles:
        """Distance of each file from real fields of its target class, NaN where unknown; its texture is kept."""
        levelled = _adjust(acquired, [each.field for each in saved])
        features = texture_features(levelled, self.package.scale["full_scale"])
        distances = np.full(len(saved), np.nan)
        for row, each in enumerate(saved):
            each.explanation.texture[each.kind] = features[row]
            reference = self.package.typicality.get(self.classes.index(each.target))
            if reference is not None:
                distances[row] = typicality(features[row : row + 1], reference)[0]
        return distances

    def _rating(self, saved: SavedCounterfactual) -> Numbers:
        numbers, name = saved.explanation.numbers, saved.column_prefix
        rated: RatedStatus = rate_counterfactual(
            str(numbers[f"{name}_status"]),  # type: ignore[arg-type]
            agreeing=int(numbers[f"{name}_oracles"]),
            asked=int(numbers[f"{name}_oracles_asked"]),
            realism=float(numbers.get(f"{name}_realism", np.nan)),
            empty=is_empty_field(numbers, self.package),
        )
        return {f"{name}_status": rated.status, f"{name}_reasons": "; ".join(rated.reasons)}

    def _add_references(self, saved: Sequence[SavedCounterfactual]) -> None:
        """Add the predictions for the image itself and for each reference, and the pictures of the references."""
        if not saved:
            return
        raw = np.stack([each.field.raw for each in saved])
        source = np.array([self.classes.index(str(each.explanation.numbers[JobColumn.PREDICTED])) for each in saved])
        target = np.array([self.classes.index(each.target) for each in saved])
        images = {NO_CHANGE: raw}
        for name in self.package.class_maps.names:
            if name in REFERENCES:
                images[name] = mapped_fields(self.package, raw, source, target, name)
        for name, changed in images.items():
            own = predict_fields(self.package, changed)
            votes = self._predict_by_panel(changed)
            features = texture_features(_as_files(changed, saved), self.package.scale["full_scale"])
            for row, each in enumerate(saved):
                of_map, numbers = reference_family(name), each.explanation.numbers
                theirs = {oracle: probabilities[row] for oracle, probabilities in votes.items()}
                numbers |= self._oracle_columns(REFERENCE(name), theirs, each.target)
                numbers[of_map("class")] = self.classes[int(own[row].argmax())]
                if name != NO_CHANGE:
                    each.explanation.images[REFERENCE(name)] = changed[row]
                    each.explanation.texture[REFERENCE(name)] = features[row]

    def _predict_by_panel(self, levelled: Floats) -> dict[str, Doubles]:
        """Probabilities by the package's own panel for images at the level of its controls."""
        if self.package.oracles is None:
            return {}
        log_probs = self.package.oracles.log_probs(levelled)
        return {name: np.exp(log_probs[name]) for name in self.package.oracles.competent}


def _adjust(acquired: Floats, fields: Sequence[Field]) -> Floats:
    """Bring images (N, C, S, S) in the units of the acquisition to the level of the model's controls."""
    return np.stack([apply_adjustment(image, field.adjust) for image, field in zip(acquired, fields, strict=True)])


def _as_files(levelled: Floats, saved: Sequence[SavedCounterfactual]) -> Floats:
    """Round images at the level of the controls as 16-bit files in the units of the acquisition do."""
    acquired = [
        round_trip_tiff16(invert_adjustment(image, each.field.adjust)).astype(np.float32)
        for image, each in zip(levelled, saved, strict=True)
    ]
    return _adjust(np.stack(acquired), [each.field for each in saved])


def is_empty_field(numbers: Mapping[str, object], package: ModelPackage) -> bool:
    """Return whether a field holds no cells: less than a tenth of the area that training fields have at the median.

    Args:
        numbers: Columns of the field, with its measures.
        package: Model that knows the area of cells; one of an earlier version does not, and no field is empty to it.
    """
    known = package.about.get("cell_area")
    if not known:
        return False
    area = numbers.get(IMAGE(known["measure"]))
    return isinstance(area, float) and area < _EMPTY_SHARE * known["median"]
