"""Explanations of whole fields in raw intensities: what jobs save and pages show."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import torch

from leigh_mlops.errors import LeighError
from leigh_mlops.explanations.capabilities import require
from leigh_mlops.explanations.ecinn import counterfactual
from leigh_mlops.explanations.evaluation import evaluating
from leigh_mlops.explanations.explainers import EXPLAINERS, Context
from leigh_mlops.images import IntensityScale
from leigh_mlops.models import ModelPackage
from leigh_mlops.scores import reencoding_error

__all__ = ["ALPHAS", "FieldExplanation", "explain_fields", "Verified", "predict_fields", "verify"]

ALPHAS = ("alpha_0", "alpha_1")
Floats = npt.NDArray[np.float32]


@dataclass
class FieldExplanation:
    """What was found for one field.

    Attributes:
        numbers: Columns of the table of fields.
        images: By name, raw intensities (C, H, W), unclipped.
        maps: By name, (H, W), in logits.
        frames: By name, raw intensities (S, C, H, W).
        shifted: By counterfactual, the latents (z, z') before and after the step.
    """

    numbers: dict[str, float | int | str | bool] = field(default_factory=dict)
    images: dict[str, Floats] = field(default_factory=dict)
    maps: dict[str, Floats] = field(default_factory=dict)
    frames: dict[str, Floats] = field(default_factory=dict)
    shifted: dict[str, tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict)


def predict_fields(package: ModelPackage, raw: Floats) -> npt.NDArray[np.float64]:
    """Class probabilities (N, K) of raw fields (N, C, S, S)."""
    images = _scaled(package, raw)
    with evaluating(package.model):
        probabilities: npt.NDArray[np.float64] = package.model(images).double().softmax(1).cpu().numpy()
        return probabilities


def explain_fields(
    package: ModelPackage, raw: Floats, methods: Sequence[str], context: Context | None = None
) -> list[FieldExplanation]:
    """Classify some fields, where the model can, and explain them.

    Args:
        package: Model with scale and class means.
        raw: Raw intensities (N, C, S, S).
        methods: Keys of ``EXPLAINERS`` that the model can serve.
        context: Target and parameters; means and the value under an occluding
            window (raw 0) come from the package.

    Returns:
        One explanation per field. A field whose prediction is the target gets no
        counterfactual, and its column ``counterfactual_note`` says so.
    """
    scale = IntensityScale.from_json(package.scale)
    empty = scale.apply(np.zeros((raw.shape[1], 1, 1), np.float32))[:, 0, 0]
    context = replace(context or Context(), means=package.class_means, baseline=torch.from_numpy(empty))
    found = [FieldExplanation() for _ in raw]
    if package.model.task == "classify":
        _predict(package, raw, found)
    for method in methods:
        if method == "counterfactual":
            _counterfactuals(package, raw, context, found)
        else:
            _others(package, raw, method, context, found)
    return found


@dataclass(frozen=True)
class Verified:
    """What a model says of a counterfactual as it was saved.

    Attributes:
        log_probs: Natural log-probabilities, shape (K,).
        reencoding_error: norm(f(c) - z') / norm(z' - z).
    """

    log_probs: npt.NDArray[np.float64]
    reencoding_error: float


def verify(package: ModelPackage, saved: Floats, explanation: FieldExplanation, name: str) -> Verified:
    """Classify a counterfactual as it was saved and read again.

    Args:
        package: The model that made it.
        saved: Raw intensities (C, S, S) as read from the file.
        explanation: The field's explanation.
        name: The counterfactual's key in it.
    """
    network = require(package.model, ("encode", "classify"), "a verified counterfactual")
    with evaluating(package.model):
        latent = network.encode(_scaled(package, saved[None]))
        log_probs = network.classify(latent).double().log_softmax(1)[0].cpu().numpy()
    before, meant = explanation.shifted[name]
    error = reencoding_error(before[None].cpu(), meant[None].cpu(), latent.cpu())
    return Verified(log_probs, float(error[0]))


def _scaled(package: ModelPackage, raw: Floats) -> torch.Tensor:
    scaled = IntensityScale.from_json(package.scale).apply(raw).astype(np.float32)
    return torch.from_numpy(scaled).to(next(package.model.parameters()).device)


def _predict(package: ModelPackage, raw: Floats, found: list[FieldExplanation]) -> None:
    classes = package.model.spec.classes
    for explanation, probabilities in zip(found, predict_fields(package, raw), strict=True):
        explanation.numbers["predicted"] = classes[int(probabilities.argmax())]
        for name, probability in zip(classes, probabilities, strict=True):
            explanation.numbers[f"probability_{name}"] = float(probability)


def _counterfactuals(package: ModelPackage, raw: Floats, context: Context, found: list[FieldExplanation]) -> None:
    classes, scale = package.model.spec.classes, IntensityScale.from_json(package.scale)
    if isinstance(context.target, str) and context.target not in classes:
        raise LeighError(f"Unknown class {context.target!r}; the model knows {', '.join(classes)}.")
    rows = [row for row, each in enumerate(found) if each.numbers["predicted"] != context.target]
    for row in set(range(len(found))) - set(rows):
        found[row].numbers["counterfactual_note"] = f"already {context.target}"
    if not rows:
        return
    images = _scaled(package, raw[rows])
    for which in ALPHAS:
        made = counterfactual(package.model, images, context.target, context.means, which=which)
        pictures = scale.invert(made.images.cpu().numpy())
        name = f"counterfactual_{which}"
        for place, row in enumerate(rows):
            found[row].images[name] = pictures[place]
            found[row].shifted[name] = (made.latent[place], made.shifted[place])
            found[row].numbers["counterfactual_target"] = classes[int(made.target[place])]
            found[row].numbers[f"{name}_length"] = float(made.alpha[place])
            if which == "alpha_1":
                found[row].numbers[f"{name}_falls_short"] = bool(made.falls_short[place])


def _others(package: ModelPackage, raw: Floats, method: str, context: Context, found: list[FieldExplanation]) -> None:
    scale = IntensityScale.from_json(package.scale)
    made = EXPLAINERS[method].explain(package.model, _scaled(package, raw), context)
    result = made[method].cpu().numpy()
    for row, explanation in enumerate(found):
        if result.ndim == 3:
            explanation.maps[method] = result[row]
            explanation.numbers[f"{method}_target"] = package.model.spec.classes[int(made["target"][row])]
        elif result.ndim == 4:
            explanation.images[method] = scale.invert(result[row])
            error = np.square(result[row] - scale.apply(raw[row])).mean()
            explanation.numbers[f"{method}_mse"] = float(error)
        else:
            explanation.frames[method] = scale.invert(result[row])
            explanation.numbers[f"{method}_target"] = package.model.spec.classes[int(made["target"][row])]
