"""Explanations of whole fields in raw intensities: what jobs save and pages show."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from leigh_mlops.errors import LeighError
from leigh_mlops.explanations.boundary import LONGEST
from leigh_mlops.explanations.capabilities import require
from leigh_mlops.explanations.certified import AsSaved, Certified, certify
from leigh_mlops.explanations.change_map import change_map
from leigh_mlops.explanations.counterfactuals import Counterfactual, check_kinds, counterfactuals
from leigh_mlops.explanations.evaluation import evaluating
from leigh_mlops.explanations.explainers import EXPLAINERS, Context, interpolated
from leigh_mlops.explanations.frames import measure_frames, summary
from leigh_mlops.explanations.interpolation import TO_AN_IMAGE
from leigh_mlops.explanations.latents import LatentMap
from leigh_mlops.explanations.means import Means, require_means
from leigh_mlops.explanations.reconstruction import reconstruction_columns
from leigh_mlops.images import IntensityScale
from leigh_mlops.models import ModelPackage

__all__ = ["FieldExplanation", "explain_fields", "predict_fields"]

Floats = npt.NDArray[np.float32]


@dataclass
class FieldExplanation:
    """What was found for one field.

    Attributes:
        numbers: Columns of the table of fields.
        images: By name, raw intensities (C, H, W), unclipped.
        maps: By name, (H, W), in logits.
        frames: By name, raw intensities (S, C, H, W).
        certified: By kind, the counterfactuals that were saved.
    """

    numbers: dict[str, float | int | str | bool] = field(default_factory=dict)
    images: dict[str, Floats] = field(default_factory=dict)
    maps: dict[str, Floats] = field(default_factory=dict)
    frames: dict[str, Floats] = field(default_factory=dict)
    certified: dict[str, Certified] = field(default_factory=dict)


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
        context: Target and parameters; means and the value under an occluding
            window (raw 0) come from the package.
        as_saved: Saves a counterfactual, by the number of its field in ``raw``, and reads it
            again; each is then certified (see `certify`). None saves none and certifies none.

    Returns:
        One explanation per field. A field whose prediction is the target gets no
        counterfactual, and its column ``counterfactual_note`` says so.

    Raises:
        LeighError: The model cannot, or the fields are not of its size or channels.
    """
    scale = IntensityScale.from_json(package.scale)
    empty = scale.apply(np.zeros((raw.shape[1], 1, 1), np.float32))[:, 0, 0]
    context = replace(context or Context(), means=package.class_means, baseline=torch.from_numpy(empty))
    found = [FieldExplanation() for _ in raw]
    images = _scaled(package, raw)
    with evaluating(package.model):
        latents = package.model.encode(images)
    if package.model.task == "classify":
        _predict(package, latents, found)
    _place(package, latents, found)
    for method in methods:
        if method == "counterfactual":
            _counterfactuals(package, images, latents, context, found, as_saved)
        elif method == "interpolation":
            _interpolations(package, images, context, found)
        else:
            _others(package, raw, images, method, context, found)
    return found


def _scaled(package: ModelPackage, raw: Floats) -> Tensor:
    spec = package.model.spec
    if raw.shape[1:] != (spec.channels, spec.image_size, spec.image_size):
        raise LeighError(
            f"The fields are {' x '.join(map(str, raw.shape[1:]))}, channels first; this model takes "
            f"{spec.channels} x {spec.image_size} x {spec.image_size}, the channels {', '.join(package.channels)}."
        )
    scaled = IntensityScale.from_json(package.scale).apply(raw).astype(np.float32)
    return torch.from_numpy(scaled).to(next(package.model.parameters()).device)


def _predict(package: ModelPackage, latents: Tensor, found: list[FieldExplanation]) -> None:
    classes = package.model.spec.classes
    with evaluating(package.model):
        logits = require(package.model, ("classify",), "a prediction").classify(latents)
    for explanation, probabilities in zip(found, logits.double().softmax(1).cpu().numpy(), strict=True):
        explanation.numbers["predicted"] = classes[int(probabilities.argmax())]
        for name, probability in zip(classes, probabilities, strict=True):
            explanation.numbers[f"probability_{name}"] = float(probability)


def _place(package: ModelPackage, latents: Tensor, found: list[FieldExplanation]) -> None:
    """Where each field lies among those of training; nothing for a package without a map."""
    if known := LatentMap.from_arrays(package.arrays):
        for explanation, columns in zip(found, known.columns(latents), strict=True):
            explanation.numbers |= columns


def _counterfactuals(
    package: ModelPackage,
    images: Tensor,
    latents: Tensor,
    context: Context,
    found: list[FieldExplanation],
    as_saved: AsSaved | None,
) -> None:
    classes, kinds = package.model.spec.classes, check_kinds(context.kinds)
    if isinstance(context.target, str) and context.target not in classes:
        raise LeighError(f"Unknown class {context.target!r}; the model knows {', '.join(classes)}.")
    means = require_means(context.means, ("true", "predicted"), (), classes)
    rows = [row for row, each in enumerate(found) if each.numbers["predicted"] != context.target]
    for row in set(range(len(found))) - set(rows):
        found[row].numbers["counterfactual_note"] = f"already {context.target}"
    if not rows:
        return
    made = dict(
        zip(
            kinds,
            counterfactuals(
                package.model, latents[rows], context.target, means, kinds=kinds, confidence=context.confidence
            ),
            strict=True,
        )
    )
    for kind, each in made.items():
        _note(package, kind, each, [found[row] for row in rows])
    if as_saved is not None:
        _certify(package, made, means, context, [found[row] for row in rows], _of_rows(as_saved, rows))
        _map_changes(package, images[rows], made, [found[row] for row in rows])


def _of_rows(as_saved: AsSaved, rows: Sequence[int]) -> AsSaved:
    return lambda place, kind, image: as_saved(rows[place], kind, image)


def _note(package: ModelPackage, kind: str, made: Counterfactual, found: list[FieldExplanation]) -> None:
    classes, name = package.model.spec.classes, f"counterfactual_{kind}"
    pictures = IntensityScale.from_json(package.scale).invert(made.images.cpu().numpy())
    for place, each in enumerate(found):
        target = classes[int(made.target[place])]
        each.images[name] = pictures[place]
        each.numbers["counterfactual_target"] = target
        each.numbers[f"{name}_length"] = float(made.alpha[place])
        each.numbers[f"{name}_way"] = "gradient" if made.by_gradient[place] else "line"
        if kind == "alpha_1":
            each.numbers[f"{name}_falls_short"] = bool(made.falls_short[place])
        elif kind != "alpha_0" and not made.reached[place]:
            each.numbers[f"{name}_note"] = (
                f"no step of up to {LONGEST:g} times the difference of the class means reaches {target}, "
                "neither on the line nor along the gradient"
            )


def _certify(
    package: ModelPackage,
    made: dict[str, Counterfactual],
    means: Means,
    context: Context,
    found: list[FieldExplanation],
    as_saved: AsSaved,
) -> None:
    scale, classes = IntensityScale.from_json(package.scale), package.model.spec.classes
    certified = certify(package.model, made, scale, means, as_saved, confidence=context.confidence)
    for kind, files in certified.items():
        name = f"counterfactual_{kind}"
        for place, file in enumerate(files):
            target, said = int(made[kind].target[place]), int(file.log_probs.argmax())
            found[place].certified[kind] = file
            found[place].images[name] = file.image
            found[place].numbers |= {
                f"{name}_length": file.alpha,
                f"{name}_attempts": file.attempts,
                f"{name}_class": classes[said],
                f"{name}_probability": float(np.exp(file.log_probs[target])),
                f"{name}_valid": said == target,
                f"{name}_reencoding_error": file.reencoding_error,
                f"{name}_padding_energy": file.padding_energy,
                f"{name}_residual": file.residual,
                f"{name}_distance": file.distance,
            }


def _map_changes(
    package: ModelPackage, images: Tensor, made: dict[str, Counterfactual], found: list[FieldExplanation]
) -> None:
    """Where the changes act, for the last kind; image by image, since gradients take much memory."""
    kind, each = list(made.items())[-1]
    for place, explanation in enumerate(found):
        saved = _scaled(package, explanation.certified[kind].saved[None])
        heat = change_map(package.model, images[place : place + 1], saved, each.target[place : place + 1])
        explanation.maps[f"counterfactual_{kind}_map"] = heat[0].cpu().numpy()


def _others(
    package: ModelPackage, raw: Floats, images: Tensor, method: str, context: Context, found: list[FieldExplanation]
) -> None:
    scale = IntensityScale.from_json(package.scale)
    made = EXPLAINERS[method].explain(package.model, images, context)
    result = made[method].cpu().numpy()
    for row, explanation in enumerate(found):
        if result.ndim == 3:
            explanation.maps[method] = result[row]
            explanation.numbers[f"{method}_target"] = package.model.spec.classes[int(made["target"][row])]
        else:
            explanation.images[method] = scale.invert(result[row])
            error = np.square(result[row] - scale.apply(raw[row])).mean()
            explanation.numbers[f"{method}_mse"] = float(error)
    if method == "reconstruction":
        columns = reconstruction_columns(raw, scale.invert(result), package.channels, scale, package.arrays)
        for explanation, numbers in zip(found, columns, strict=True):
            explanation.numbers |= numbers


def _interpolations(package: ModelPackage, images: Tensor, context: Context, found: list[FieldExplanation]) -> None:
    scale, classes = IntensityScale.from_json(package.scale), package.model.spec.classes
    way = interpolated(package.model, images, context)
    measured = measure_frames(package.model, way, scale)
    frames = scale.invert(way.frames.cpu().numpy())
    for row, explanation in enumerate(found):
        explanation.frames["interpolation"] = frames[:, row]
        explanation.numbers |= summary(measured.rows(row, package.channels, classes))
        if way.target[row] != TO_AN_IMAGE:
            explanation.numbers["interpolation_target"] = classes[int(way.target[row])]
