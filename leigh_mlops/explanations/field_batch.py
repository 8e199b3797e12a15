"""Fields on their way through a model, with what was found for each."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from torch import Tensor

from leigh_mlops.explanations.certified import AsSaved, Certified
from leigh_mlops.explanations.explainers import Context
from leigh_mlops.images import IntensityScale
from leigh_mlops.models import ModelPackage

__all__ = ["FieldBatch", "FieldExplanation"]

Floats = npt.NDArray[np.float32]


@dataclass
class FieldExplanation:
    """What was found for one field.

    Attributes:
        numbers: Columns of the table of fields.
        images: By name, raw intensities (C, H, W), unclipped; of a counterfactual that was saved,
            what its file holds.
        maps: By name, float32, (H, W), in the units of `maps.unit_of`.
        frames: By name, raw intensities (S, C, H, W).
        certified: By kind, the counterfactuals that were saved.
    """

    numbers: dict[str, float | int | str | bool] = field(default_factory=dict)
    images: dict[str, Floats] = field(default_factory=dict)
    maps: dict[str, Floats] = field(default_factory=dict)
    frames: dict[str, Floats] = field(default_factory=dict)
    certified: dict[str, Certified] = field(default_factory=dict)


@dataclass(frozen=True)
class FieldBatch:
    """N fields that are explained together.

    Attributes:
        package: The model.
        scale: Its intensity scale.
        context: What is asked for.
        as_saved: Saves a counterfactual, see `explain_fields`.
        raw: Raw intensities, shape (N, C, S, S).
        images: The same scaled, on the model's device.
        latents: Of the images, shape (N, ...).
        logits: Of the images, shape (N, K); (N, 0) for a model that does not classify.
        found: One explanation per field, which grows.
    """

    package: ModelPackage
    scale: IntensityScale
    context: Context
    as_saved: AsSaved | None
    raw: Floats
    images: Tensor
    latents: Tensor
    logits: Tensor
    found: list[FieldExplanation]

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the model's K classes."""
        return self.package.model.spec.classes
