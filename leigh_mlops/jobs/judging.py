"""What is said of a saved counterfactual beside what its own model says."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

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
        """Add all columns of some counterfactuals that need the file."""
        if not saved:
            return
        for each in saved:
            each.found.numbers |= self._changes(each) | self._regions(each) | self._twin(each)
        self._ask_about_views(saved)
        if self.oracle is not None:
            self._ask_oracle(self.oracle, saved)

    def _half(self, saved: Saved) -> float:
        """The target's share of the probability that it and the largest other class have."""
        log_probs = saved.found.certified[saved.kind].log_probs
        target = self.package.model.spec.classes.index(str(saved.found.numbers["counterfactual_target"]))
        other = np.delete(log_probs, target).max()
        return float(1 / (1 + np.exp(other - log_probs[target])))

    def _changes(self, saved: Saved) -> Numbers:
        numbers, name, before = saved.found.numbers, saved.name, saved.field.acquired
        file = saved.found.certified[saved.kind]
        clipped = clipped_share(saved.acquired, self.package.scale["full_scale"])
        measured: Numbers = {
            f"{name}_clipped": clipped,
            f"{name}_changed": changed_share(before, saved.acquired, background_noise(before)),
            f"{name}_light": light(
                valid=bool(numbers[f"{name}_valid"]),
                probability=float(numbers[f"{name}_probability"]),
                asked=self.confidence if saved.kind == "confident" else None,
                half=self._half(saved) if saved.kind == "boundary" else None,
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

    def _ask_about_views(self, saved: Sequence[Saved]) -> None:
        """Which class the model sees in 8 bits between the display limits, each channel by itself."""
        limits = np.asarray(self.package.about["display_limits"], np.float32)
        views = [_in_8_bits(adjusted(each.acquired, each.field.adjust), limits) for each in saved]
        classes = self.package.model.spec.classes
        for each, probabilities in zip(saved, predict_fields(self.package, np.stack(views)), strict=True):
            each.found.numbers[f"{each.name}_eight_bit_class"] = classes[int(probabilities.argmax())]

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
