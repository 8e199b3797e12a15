"""Counterfactuals: how this image would look in another class."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from leigh_mlops.errors import LeighError
from leigh_mlops.explanations.boundary import Crossing, reach
from leigh_mlops.explanations.capabilities import ExplainedModel, class_names, require
from leigh_mlops.explanations.decoding import decode_all
from leigh_mlops.explanations.ecinn import EcinnStep, ecinn
from leigh_mlops.explanations.evaluation import evaluating
from leigh_mlops.explanations.latent_steps import along
from leigh_mlops.explanations.means import Means, require_means
from leigh_mlops.explanations.targets import Target, choose_way

__all__ = [
    "CONFIDENCE", "DEFAULT_KINDS", "KINDS", "MEANS", "Counterfactual", "check_confidence", "check_kinds",
    "counterfactuals",
]  # fmt: skip

KINDS = ("alpha_0", "alpha_1", "boundary", "confident")
"""How far a step goes: two lengths of ECINN as published, the point where the head finds the target
as probable as the most probable other class, and the point where it has the confidence asked for.
The last one says most."""

DEFAULT_KINDS = ("boundary", "confident")
"""Steps for users who name none."""

CONFIDENCE = 0.95
"""Probability that a ``confident`` counterfactual has for users who name none."""

NEEDS = ("encode", "decode", "classify")
MEANS = ("true", "predicted")
"""Class means that a way from class to class needs."""


@dataclass(frozen=True)
class Counterfactual:
    """Counterfactuals of N images and how they came about.

    Attributes:
        images: Scaled, unclipped, shape (N, C, H, W); NaN where a latent could not be inverted.
        target: Class asked for, shape (N,).
        alpha: Length of the step taken, norm(z' - z) in lengths of the difference of the
            class means, negative where it leads backwards, float64, shape (N,).
        falls_short: Whether a step along the line does not go past the hyperplane, shape (N,).
        reached: Whether the latent is what was asked of the head, shape (N,); for a step of a
            stated length, whether its class is the target.
        by_gradient: Whether the step was found beside the line, shape (N,).
        latent: z of the original, shape (N, ...).
        shifted: z' that was decoded, shape (N, ...).
        padding_energy: See `Decoded`, shape (N,).
        residual: See `Decoded`, shape (N,).
        failures: Why each could not be inverted, length N; empty text where it could.
    """

    images: Tensor
    target: Tensor
    alpha: Tensor
    falls_short: Tensor
    reached: Tensor
    by_gradient: Tensor
    latent: Tensor
    shifted: Tensor
    padding_energy: Tensor
    residual: Tensor
    failures: tuple[str, ...]


def counterfactuals(
    model: nn.Module,
    latent: Tensor,
    target: Target,
    means: Means | None,
    *,
    kinds: Sequence[str],
    confidence: float = CONFIDENCE,
) -> dict[str, Counterfactual]:
    """How each image would look in another class, at several lengths of the step.

    The way is that of ECINN, from the mean of one class to that of the other (see `ecinn`); how
    far it goes are the ``kinds`` (see `KINDS` and `reach`), which are decoded together.

    Args:
        model: A model that can encode, decode and classify.
        latent: Latents of the images, on the model's device, shape (N, ...).
        target: Class for each image (N,), or one for all by name or index; None is the most
            probable one that is not predicted and has means.
        means: From `class_means` over the training images.
        kinds: How far each step goes, some of `KINDS`.
        confidence: Probability that ``confident`` reaches, above 0.5 and below 1.

    Returns:
        Those of each kind, in the order of `KINDS`; also such as fall short, the model does not
        believe, or could not be inverted.

    Raises:
        LeighError: The model cannot, has no means, a class is unknown or was
            never seen, or an image already has its target.
    """
    network = require(model, NEEDS, "counterfactual")
    classes = class_names(model)
    ordered = check_kinds(kinds)
    check_confidence(confidence)
    known = require_means(means, MEANS, (), classes)
    with evaluating(model):
        logits = network.classify(latent)
        source, goal = logits.argmax(dim=1), choose_way(target, logits, known, MEANS, classes)
        _refuse_standing_still(source, goal, classes)
        step = ecinn(latent, source, goal, require_means(known, MEANS, {*source.tolist(), *goal.tolist()}, classes))
        taken = [_take(network, latent, step, goal, kind, confidence) for kind in ordered]
        decoded = decode_all(model, torch.cat([each.shifted for each in taken]))
    n = len(latent)
    return {
        kind: Counterfactual(
            images=decoded.images[first : first + n], target=goal, alpha=each.alpha,
            falls_short=step.falls_short(each.alpha) & ~each.by_gradient,
            reached=each.reached, by_gradient=each.by_gradient, latent=latent, shifted=each.shifted,
            padding_energy=decoded.padding_energy[first : first + n], residual=decoded.residual[first : first + n],
            failures=decoded.failures[first : first + n],
        )
        for kind, first, each in zip(ordered, range(0, n * len(taken), n), taken, strict=True)
    }  # fmt: skip


def check_kinds(kinds: Sequence[str]) -> tuple[str, ...]:
    """The same names in the order of `KINDS`, known to be kinds of steps.

    Raises:
        LeighError: One is unknown or given twice.
    """
    for place, kind in enumerate(kinds):
        if kind not in KINDS:
            raise LeighError(f"Unknown counterfactual {kind!r}; choose from {', '.join(KINDS)}.")
        if kind in kinds[:place]:
            raise LeighError(f"The counterfactual {kind!r} is asked for twice; name each kind once.")
    return tuple(kind for kind in KINDS if kind in kinds)


def check_confidence(confidence: float) -> float:
    """The same probability, known to be one that only the most probable class can have.

    Raises:
        LeighError: It is not above 0.5 and below 1.
    """
    if not 0.5 < confidence < 1:
        raise LeighError(f"A confidence of {confidence} can't be asked for; give one above 0.5 and below 1.")
    return confidence


def _take(
    network: ExplainedModel, z: Tensor, step: EcinnStep, target: Tensor, kind: str, confidence: float
) -> Crossing:
    if kind in ("boundary", "confident"):
        asked = confidence if kind == "confident" else None
        return reach(network.classify, z, step.delta, target, asked)
    alpha = {"alpha_0": step.alpha_0, "alpha_1": step.alpha_1}[kind]
    shifted = along(z, step.delta, alpha)
    reached = network.classify(shifted).argmax(dim=1) == target
    return Crossing(shifted, alpha, reached, torch.zeros_like(reached))


def _refuse_standing_still(source: Tensor, target: Tensor, classes: tuple[str, ...]) -> None:
    same = (source == target).nonzero().flatten().tolist()
    if same:
        raise LeighError(
            f"Image {same[0]} is already classified as {classes[int(source[same[0]])]}, as are {len(same)} of"
            f" {len(source)}; leave them out or choose another target."
        )
