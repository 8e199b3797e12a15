"""Explanations of whole fields in raw intensities, as jobs save and pages show them."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from leigh_mlops.errors import LeighError
from leigh_mlops.explanations.capabilities import require_capabilities
from leigh_mlops.explanations.counterfactuals.field_counterfactuals import add_counterfactuals
from leigh_mlops.explanations.counterfactuals.interpolation import (
    NO_TARGET_CLASS,
    interpolate_to_class_mean,
    interpolate_to_image,
)
from leigh_mlops.explanations.counterfactuals.interpolation_metrics import measure_frames, summarise_frames
from leigh_mlops.explanations.counterfactuals.verification import SaveRoundTrip
from leigh_mlops.explanations.eval_mode import evaluating
from leigh_mlops.explanations.explainers import ExplanationContext, select_explainers
from leigh_mlops.explanations.field_batch import FieldBatch, FieldExplanation
from leigh_mlops.explanations.latent_map import LatentMap
from leigh_mlops.explanations.maps import ERROR_MAP, MAP_METHODS
from leigh_mlops.explanations.reconstruction import reconstruction_columns
from leigh_mlops.explanations.tasks import build_map_task
from leigh_mlops.images import IntensityScale
from leigh_mlops.job_columns import INTERPOLATION, PROBABILITY, JobColumn
from leigh_mlops.models import ModelPackage

__all__ = ["classify_fields", "explain_fields", "predict_fields"]

Floats = npt.NDArray[np.float32]


def predict_fields(package: ModelPackage, raw: Floats) -> npt.NDArray[np.float64]:
    """Class probabilities (N, K) of raw fields (N, C, S, S).

    Raises:
        LeighError: The fields do not have the size or the channels that the model takes.
    """
    images = _scale_fields(package, raw)
    with evaluating(package.predictor):
        probabilities: npt.NDArray[np.float64] = package.predictor(images).double().softmax(1).cpu().numpy()
        return probabilities


def explain_fields(
    package: ModelPackage,
    raw: Floats,
    methods: Sequence[str],
    context: ExplanationContext | None = None,
    as_saved: SaveRoundTrip | None = None,
) -> list[FieldExplanation]:
    """Classify some fields, where the model can, and explain them.

    Args:
        package: Model with scale and class means.
        raw: Raw intensities (N, C, S, S).
        methods: Keys of ``EXPLAINERS`` that the model supports.
        context: Target and parameters.
        as_saved: Saves a counterfactual, by the number of its field in ``raw``, and reads it
            back; each is then verified (see `verify_counterfactuals`). None saves and verifies none.

    Returns:
        One explanation per field. Where a field can have no counterfactual, since its prediction is
        the target or a class has no mean, its column ``counterfactual_note`` gives the reason; where
        only one kind cannot be inverted, the note column of that kind does.

    Raises:
        LeighError: The model lacks a capability, or the fields do not have its size or channels.
    """
    explainers, batch = select_explainers(package.model, methods), classify_fields(package, raw, context, as_saved)
    for method in explainers:
        METHODS[method](batch)
    return batch.found


def classify_fields(
    package: ModelPackage, raw: Floats, context: ExplanationContext | None = None, as_saved: SaveRoundTrip | None = None
) -> FieldBatch:
    """Classify fields, where the model can, and add their latent coordinates; see `explain_fields`."""
    images, known = _scale_fields(package, raw), package.model.task != "reconstruct"
    with evaluating(package.predictor):
        latents = package.predictor.encode(images)
        logits = latents.new_zeros((len(latents), 0))
        if known:
            logits = require_capabilities(package.model, ("classify",), "a prediction").classify(latents)
    scale, found = IntensityScale.from_json(package.scale), [FieldExplanation() for _ in raw]
    batch = FieldBatch(package, scale, context or ExplanationContext(), as_saved, raw, images, latents, logits, found)
    if known:
        _add_predictions(batch)
    _add_latent_columns(batch)
    return batch


def _scale_fields(package: ModelPackage, raw: Floats) -> Tensor:
    spec = package.model.spec
    if raw.shape[1:] != (spec.channels, spec.image_size, spec.image_size):
        raise LeighError(
            f"The fields are {' x '.join(map(str, raw.shape[1:]))}, channels first; this model takes "
            f"{spec.channels} x {spec.image_size} x {spec.image_size}, the channels {', '.join(package.channels)}."
        )
    scaled = IntensityScale.from_json(package.scale).apply(raw).astype(np.float32)
    return torch.from_numpy(scaled).to(next(package.model.parameters()).device)


def _add_predictions(batch: FieldBatch) -> None:
    energies = -batch.logits.double().logsumexp(1)
    for explanation, probabilities, energy in zip(
        batch.found, batch.logits.double().softmax(1).cpu().numpy(), energies.tolist(), strict=True
    ):
        explanation.numbers[JobColumn.ENERGY] = energy
        explanation.numbers[JobColumn.PREDICTED] = batch.classes[int(probabilities.argmax())]
        for name, probability in zip(batch.classes, probabilities, strict=True):
            explanation.numbers[PROBABILITY(name)] = float(probability)


def _add_latent_columns(batch: FieldBatch) -> None:
    """Add the coordinates of each field among those of training; nothing for a package without a latent map."""
    if known := LatentMap.from_arrays(batch.package.arrays):
        for explanation, columns in zip(batch.found, known.columns(batch.latents), strict=True):
            explanation.numbers |= columns


def _maps_adder(method: str) -> Callable[[FieldBatch], None]:
    """Build a function that adds the maps of a method, with the class that they explain."""

    def add(batch: FieldBatch) -> None:
        task = build_map_task(batch)
        made = MAP_METHODS[method](task)
        for row, explanation in enumerate(batch.found):
            for name, maps in made.maps.items():
                explanation.maps[name] = maps[row].float().cpu().numpy()
                explanation.numbers[f"{name}_target"] = batch.classes[int(task.target[row])]
            explanation.numbers |= {name: float(numbers[row]) for name, numbers in made.numbers.items()}

    return add


def _add_reconstructions(batch: FieldBatch) -> None:
    package = batch.package
    with evaluating(package.model):
        decoded = require_capabilities(package.model, ("decode",), "reconstruction").decode(batch.latents)
    raw = batch.scale.invert(decoded.cpu().numpy())
    squares = (decoded - batch.images).square()
    errors, limit = squares.flatten(1).mean(dim=1), _error_limit(batch)
    columns = reconstruction_columns(batch.raw, raw, package.channels, batch.scale, package.arrays)
    for row, explanation in enumerate(batch.found):
        explanation.images["reconstruction"] = raw[row]
        explanation.numbers |= {JobColumn.RECONSTRUCTION_ERROR: float(errors[row])} | columns[row]
        if limit is not None and errors[row] > limit:
            explanation.maps[ERROR_MAP] = squares[row].mean(dim=0).float().cpu().numpy()


def _error_limit(batch: FieldBatch) -> float | None:
    """Error above which a field gets a map of its errors; ``None`` where none does."""
    known = batch.package.about.get("error_limit") if batch.context.error_maps else None
    return None if known is None else float(known["limit"])


def _add_interpolations(batch: FieldBatch) -> None:
    """Add interpolations to the context's image, or to the mean of its class."""
    model, context, means = batch.package.model, batch.context, batch.package.class_means
    if context.towards is None:
        way = interpolate_to_class_mean(
            model, batch.latents, context.target, means, context.steps, labels=context.labels
        )
    else:
        with evaluating(model):
            end = model.encode(context.towards.to(batch.images))
        way = interpolate_to_image(model, batch.latents, end, context.steps)
    frames = batch.scale.invert(way.frames.cpu().numpy())
    measured = measure_frames(model, way, frames)
    for row, explanation in enumerate(batch.found):
        explanation.frames["interpolation"] = frames[:, row]
        explanation.numbers |= summarise_frames(measured.rows(row, batch.package.channels, batch.classes))
        if way.target[row] != NO_TARGET_CLASS:
            explanation.numbers[INTERPOLATION("target")] = batch.classes[int(way.target[row])]


METHODS: dict[str, Callable[[FieldBatch], None]] = {
    "counterfactual": add_counterfactuals,
    **{method: _maps_adder(method) for method in MAP_METHODS},
    "reconstruction": _add_reconstructions,
    "interpolation": _add_interpolations,
}
"""Implementation of each of `EXPLAINERS`."""
