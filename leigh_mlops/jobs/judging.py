"""What is said of a saved counterfactual beside what its own model says."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from leigh_mlops.explanations import FieldExplanation, predict_fields
from leigh_mlops.images import adjusted, image_thresholds, region_features, unadjusted
from leigh_mlops.jobs.reading import Adjust, Field, FieldReader, adjustment_of
from leigh_mlops.models import ModelPackage
from leigh_mlops.scores import background_noise, changed_share, clipped_share, light, mean_change

__all__ = ["Judge", "Saved"]

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Numbers = dict[str, float | int | str | bool]


class Saved(NamedTuple):
    """A counterfactual as read from its file.

    Attributes:
        field: Its original.
        kind: Its kind.
        acquired: Raw intensities in the units of the acquisition, shape (C, S, S).
        found: The explanation of its field; what is measured goes there.
    """

    field: Field
    kind: str
    acquired: Floats
    found: FieldExplanation

    @property
    def name(self) -> str:
        """What its columns begin with."""
        return f"counterfactual_{self.kind}"

    @property
    def target(self) -> str:
        """Class that it leads to."""
        return str(self.found.numbers["counterfactual_target"])


class Judge:
    """Measures of saved counterfactuals.

    Args:
        package: The model that made them.
        reader: Knows the fields' twins.
        confidence: Probability that ``confident`` ones were asked for.
        oracle: A classifier trained apart; its scale is its own.
        oracle_adjust: Offset and gain of the oracle by plate.
    """

    def __init__(
        self,
        package: ModelPackage,
        reader: FieldReader,
        confidence: float,
        oracle: ModelPackage | None = None,
        oracle_adjust: Adjust = None,
    ) -> None:
        self.package, self.reader, self.confidence = package, reader, confidence
        self.oracle, self.oracle_adjust = oracle, oracle_adjust

    def measure_originals(self, fields: Sequence[Field], found: Sequence[FieldExplanation]) -> None:
        """Add ``image_<measure>`` of the regions of each field, as acquired."""
        for field, each in zip(fields, found, strict=True):
            measured = region_features(field.acquired, self.package.channels, self._thresholds(field))
            each.numbers |= {f"image_{name}": value for name, value in measured.items()}

    def judge(self, saved: Sequence[Saved]) -> None:
        """Add all columns of some counterfactuals, at least one, that need the file."""
        for each in saved:
            each.found.numbers |= self._changes(each) | self._regions(each) | self._twin(each)
        limits = np.asarray(self.package.about["display_limits"], np.float32)
        views = [_in_8_bits(adjusted(each.acquired, each.field.adjust), limits) for each in saved]
        self._ask_about(saved, "eight_bit", views)
        if self.oracle is not None:
            self._ask_oracle(self.oracle, saved)

    def judge_counts(self, saved: Sequence[Saved], counts: Sequence[Floats]) -> None:
        """Add which class the model sees in the same as whole counts (C, S, S) of the camera, which are coarser."""
        views = [adjusted(view, each.field.adjust) for view, each in zip(counts, saved, strict=True)]
        self._ask_about(saved, "counts", views)

    def _changes(self, saved: Saved) -> Numbers:
        name, before, file = saved.name, saved.field.acquired, saved.found.certified[saved.kind]
        clipped = clipped_share(saved.acquired, self.package.scale["full_scale"])
        measured: Numbers = {
            f"{name}_clipped": clipped,
            f"{name}_changed": changed_share(before, saved.acquired, background_noise(before)),
            f"{name}_light": light(
                valid=file.said == file.target,
                probability=file.probability,
                asked=self.confidence if saved.kind == "confident" else None,
                half=float(expit(file.margin)) if saved.kind == "boundary" else None,
                reencoding_error=file.reencoding_error,
                padding_energy=file.padding_energy,
                clipped=clipped,
                distance=file.distance,
            ),
        }
        changes = zip(self.package.channels, mean_change(before, saved.acquired), strict=True)
        return measured | {f"{name}_change_{channel}": float(change) for channel, change in changes}

    def _regions(self, saved: Saved) -> Numbers:
        measured = region_features(
            saved.acquired, self.package.channels, self._thresholds(saved.field), cells=saved.field.acquired
        )
        return {f"{saved.name}_after_{name}": value for name, value in measured.items()}

    def _thresholds(self, field: Field) -> list[float]:
        """Of the regions, in the units of the acquisition; an older package has none, then they are the field's own."""
        stored = self.package.about.get("region_thresholds")
        if stored is None:
            return image_thresholds(field.acquired)
        level = np.asarray(stored, np.float32)[:, None, None]
        return [float(threshold) for threshold in unadjusted(level, field.adjust)[:, 0, 0]]

    def _twin(self, saved: Saved) -> Numbers:
        """Distance of the counterfactual to its twin over that of the original."""
        twin = self.reader.twin(saved.field.row, saved.target)
        if twin is None:
            return {}
        before = _rms(saved.field.acquired, twin)
        return {f"{saved.name}_twin_error": _rms(saved.acquired, twin) / before if before else float("nan")}

    def _ask_about(self, saved: Sequence[Saved], name: str, views: Sequence[Floats]) -> None:
        """Which class the model sees in other views of the files."""
        classes = self.package.model.spec.classes
        for each, probabilities in zip(saved, predict_fields(self.package, np.stack(views)), strict=True):
            each.found.numbers[f"{each.name}_{name}_class"] = classes[int(probabilities.argmax())]

    def _ask_oracle(self, oracle: ModelPackage, saved: Sequence[Saved]) -> None:
        raw = []
        for each in saved:
            adjust = adjustment_of(self.oracle_adjust, self.reader.plate(each.field.row), len(oracle.channels))
            raw.append(adjusted(each.acquired, adjust))
        classes = oracle.model.spec.classes
        for each, probabilities in zip(saved, predict_fields(oracle, np.stack(raw)), strict=True):
            each.found.numbers[f"{each.name}_oracle_class"] = classes[int(probabilities.argmax())]
            each.found.numbers[f"{each.name}_oracle_probability"] = float(probabilities[classes.index(each.target)])


def _rms(a: Floats, b: Floats) -> float:
    return float(np.sqrt(np.square(a.astype(np.float64) - b).mean()))


def _in_8_bits(raw: Floats, limits: npt.NDArray[np.float32]) -> Floats:
    """Raw intensities (C, S, S) as 256 steps between (low, high) of each channel, shape (C, 2), hold them."""
    low, high = limits[:, 0, None, None], limits[:, 1, None, None]
    steps = np.rint(255 * np.clip((raw - low) / (high - low), 0, 1))
    seen: Floats = (low + steps / 255 * (high - low)).astype(np.float32)
    return seen
