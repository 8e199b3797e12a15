"""Batches of fields with their predictions and explanations."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from torch import Tensor

from leigh_mlops.explanations.counterfactuals.mask_curve import MaskCurve
from leigh_mlops.explanations.counterfactuals.verification import SaveRoundTrip, VerifiedCounterfactual
from leigh_mlops.explanations.explainers import ExplanationContext
from leigh_mlops.images import IntensityScale
from leigh_mlops.models import ModelPackage

__all__ = ["FieldBatch", "FieldExplanation"]

Floats = npt.NDArray[np.float32]


@dataclass
class FieldExplanation:
    """Predictions, measures, images and maps of one field.

    Attributes:
        numbers: Columns of the table of fields.
        images: By name, raw intensities (C, H, W), unclipped; of a counterfactual that was saved,
            those read back from its file.
        maps: By name, float32, (H, W), in the units of `maps.map_unit`.
        frames: By name, raw intensities (S, C, H, W).
        verified: By kind, the counterfactuals that were saved.
        curves: By name, scores over the share of replaced pixels.
        texture: By kind, features of the saved counterfactual, and by ``image`` those of the field; each (F,).
    """

    numbers: dict[str, float | int | str | bool] = field(default_factory=dict)
    images: dict[str, Floats] = field(default_factory=dict)
    maps: dict[str, Floats] = field(default_factory=dict)
    frames: dict[str, Floats] = field(default_factory=dict)
    verified: dict[str, VerifiedCounterfactual] = field(default_factory=dict)
    curves: dict[str, MaskCurve] = field(default_factory=dict)
    texture: dict[str, npt.NDArray[np.float64]] = field(default_factory=dict)


@dataclass(frozen=True)
class FieldBatch:
    """N fields that are explained together.

    Attributes:
        package: The model.
        scale: Its intensity scale.
        context: Options of the explanations.
        as_saved: Saves a counterfactual, see `explain_fields`.
        raw: Raw intensities, shape (N, C, S, S).
        images: The same scaled, on the model's device.
        latents: Of the images, shape (N, ...).
        logits: Of the images, shape (N, K); (N, 0) for a model that does not classify.
        found: One explanation per field, filled in place.
    """

    package: ModelPackage
    scale: IntensityScale
    context: ExplanationContext
    as_saved: SaveRoundTrip | None
    raw: Floats
    images: Tensor
    latents: Tensor
    logits: Tensor
    found: list[FieldExplanation]

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the model's K classes."""
        return self.package.model.spec.classes
