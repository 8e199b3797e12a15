"""Explanations of whole fields in raw intensities: what jobs save and pages show."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from leigh_mlops.errors import LeighError
from leigh_mlops.explanations.capabilities import require
from leigh_mlops.explanations.certified import AsSaved
from leigh_mlops.explanations.counterfactual_fields import add_counterfactuals
from leigh_mlops.explanations.evaluation import evaluating
from leigh_mlops.explanations.explainers import Context, explainers_for
from leigh_mlops.explanations.field_batch import FieldBatch, FieldExplanation
from leigh_mlops.explanations.frames import measure_frames, summary
from leigh_mlops.explanations.interpolation import TO_AN_IMAGE, between, towards_mean
from leigh_mlops.explanations.latents import LatentMap
from leigh_mlops.explanations.maps import MAPS
from leigh_mlops.explanations.reconstruction import reconstruction_columns
from leigh_mlops.explanations.tasks import map_task
from leigh_mlops.images import IntensityScale
from leigh_mlops.models import ModelPackage

__all__ = ["classified", "explain_fields", "predict_fields"]

Floats = npt.NDArray[np.float32]


def predict_fields(package: ModelPackage, raw: Floats) -> npt.NDArray[np.float64]:
    """Class probabilities (N, K) of raw fields (N, C, S, S).

    Raises:
        LeighError: The fields are not of the size or the channels that the model takes.
    """
    images = _scaled(package, raw)
    with evaluating(package.model):
        probabilities: npt.NDArray[np.float64] = package.model(images).double().softmax(1).cpu().numpy()
        return probabilities


def explain_fields(
    package: ModelPackage,
    raw: Floats,
    methods: Sequence[str],
    context: Context | None = None,
    as_saved: AsSaved | None = None,
) -> list[FieldExplanation]:
    """Classify some fields, where the model can, and explain them.

    Args:
        package: Model with scale and class means.
        raw: Raw intensities (N, C, S, S).
        methods: Keys of ``EXPLAINERS`` that the model can serve.
        context: Target and parameters.
        as_saved: Saves a counterfactual, by the number of its field in ``raw``, and reads it
            again; each is then certified (see `certify`). None saves none and certifies none.

    Returns:
        One explanation per field. Where a field can have no counterfactual, as its prediction is
        the target or a class has no mean, its column ``counterfactual_note`` says so; where only
        one kind cannot be inverted, that of the kind does.

    Raises:
        LeighError: The model cannot, or the fields are not of its size or channels.
    """
    asked, batch = explainers_for(package.model, methods), classified(package, raw, context, as_saved)
    for method in asked:
        METHODS[method](batch)
    return batch.found


def classified(
    package: ModelPackage, raw: Floats, context: Context | None = None, as_saved: AsSaved | None = None
) -> FieldBatch:
    """Fields with their predictions, where the model can, and places among those of training; see `explain_fields`."""
    images, known = _scaled(package, raw), package.model.task == "classify"
    with evaluating(package.model):
        latents = package.model.encode(images)
        logits = latents.new_zeros((len(latents), 0))
        if known:
            logits = require(package.model, ("classify",), "a prediction").classify(latents)
    scale, found = IntensityScale.from_json(package.scale), [FieldExplanation() for _ in raw]
    batch = FieldBatch(package, scale, context or Context(), as_saved, raw, images, latents, logits, found)
    if known:
        _predict(batch)
    _place(batch)
    return batch


def _scaled(package: ModelPackage, raw: Floats) -> Tensor:
    spec = package.model.spec
    if raw.shape[1:] != (spec.channels, spec.image_size, spec.image_size):
        raise LeighError(
            f"The fields are {' x '.join(map(str, raw.shape[1:]))}, channels first; this model takes "
            f"{spec.channels} x {spec.image_size} x {spec.image_size}, the channels {', '.join(package.channels)}."
        )
    scaled = IntensityScale.from_json(package.scale).apply(raw).astype(np.float32)
    return torch.from_numpy(scaled).to(next(package.model.parameters()).device)


def _predict(batch: FieldBatch) -> None:
    energies = -batch.logits.double().logsumexp(1)
    for explanation, probabilities, energy in zip(
        batch.found, batch.logits.double().softmax(1).cpu().numpy(), energies.tolist(), strict=True
    ):
        explanation.numbers["energy"] = energy
        explanation.numbers["predicted"] = batch.classes[int(probabilities.argmax())]
        for name, probability in zip(batch.classes, probabilities, strict=True):
            explanation.numbers[f"probability_{name}"] = float(probability)


def _place(batch: FieldBatch) -> None:
    """Where each field lies among those of training; nothing for a package without a map."""
    if known := LatentMap.from_arrays(batch.package.arrays):
        for explanation, columns in zip(batch.found, known.columns(batch.latents), strict=True):
            explanation.numbers |= columns


def _mapping(method: str) -> Callable[[FieldBatch], None]:
    """What adds the maps of a method, with the class that they explain."""

    def add(batch: FieldBatch) -> None:
        task = map_task(batch)
        made = MAPS[method](task)
        for row, explanation in enumerate(batch.found):
            for name, maps in made.maps.items():
                explanation.maps[name] = maps[row].float().cpu().numpy()
                explanation.numbers[f"{name}_target"] = batch.classes[int(task.target[row])]
            explanation.numbers |= {name: float(numbers[row]) for name, numbers in made.numbers.items()}

    return add


def _reconstructions(batch: FieldBatch) -> None:
    package = batch.package
    with evaluating(package.model):
        decoded = require(package.model, ("decode",), "reconstruction").decode(batch.latents)
    raw = batch.scale.invert(decoded.cpu().numpy())
    errors = (decoded - batch.images).square().flatten(1).mean(dim=1)
    columns = reconstruction_columns(batch.raw, raw, package.channels, batch.scale, package.arrays)
    for row, explanation in enumerate(batch.found):
        explanation.images["reconstruction"] = raw[row]
        explanation.numbers |= {"reconstruction_mse": float(errors[row])} | columns[row]


def _interpolations(batch: FieldBatch) -> None:
    """Ways to the context's image, or to the mean of its class."""
    model, context, means = batch.package.model, batch.context, batch.package.class_means
    if context.towards is None:
        way = towards_mean(model, batch.latents, context.target, means, context.steps, labels=context.labels)
    else:
        with evaluating(model):
            end = model.encode(context.towards.to(batch.images))
        way = between(model, batch.latents, end, context.steps)
    frames = batch.scale.invert(way.frames.cpu().numpy())
    measured = measure_frames(model, way, frames)
    for row, explanation in enumerate(batch.found):
        explanation.frames["interpolation"] = frames[:, row]
        explanation.numbers |= summary(measured.rows(row, batch.package.channels, batch.classes))
        if way.target[row] != TO_AN_IMAGE:
            explanation.numbers["interpolation_target"] = batch.classes[int(way.target[row])]


METHODS: dict[str, Callable[[FieldBatch], None]] = {
    "counterfactual": add_counterfactuals,
    **{method: _mapping(method) for method in MAPS},
    "reconstruction": _reconstructions,
    "interpolation": _interpolations,
}
"""What serves each of `EXPLAINERS`."""
