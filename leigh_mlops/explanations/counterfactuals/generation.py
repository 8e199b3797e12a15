"""Counterfactuals: an image as it would look in another class."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from leigh_mlops.errors import LeighError
from leigh_mlops.explanations.capabilities import ExplainedModel, class_names, require_capabilities
from leigh_mlops.explanations.counterfactuals.boundary import Crossing, find_boundary
from leigh_mlops.explanations.counterfactuals.class_means import Means, require_means
from leigh_mlops.explanations.counterfactuals.decoding import decode_all
from leigh_mlops.explanations.counterfactuals.ecinn import EcinnStep, ecinn
from leigh_mlops.explanations.counterfactuals.latent_steps import add_step
from leigh_mlops.explanations.eval_mode import evaluating
from leigh_mlops.explanations.targets import Target, choose_reachable_target

__all__ = [
    "DEFAULT_CONFIDENCE", "DEFAULT_COUNTERFACTUAL_KINDS", "COUNTERFACTUAL_KINDS", "MEAN_KINDS", "Counterfactual",
    "check_confidence", "check_kinds", "compute_counterfactuals",
]  # fmt: skip

COUNTERFACTUAL_KINDS = ("alpha_0", "alpha_1", "boundary", "confident")
"""Lengths of a step: two of ECINN as published, the point where the head finds the target
as probable as the most probable other class, and the point where the target has the requested confidence.
The last one is the most informative."""

DEFAULT_COUNTERFACTUAL_KINDS = ("boundary", "confident")
"""Kinds of steps by default."""

DEFAULT_CONFIDENCE = 0.95
"""Probability of a ``confident`` counterfactual by default."""

REQUIRED_CAPABILITIES = ("encode", "decode", "classify")
MEAN_KINDS = ("true", "predicted")
"""Class means that the direction from class to class needs."""


@dataclass(frozen=True)
class Counterfactual:
    """Counterfactuals of N images and how they were made.

    Attributes:
        images: Scaled, unclipped, shape (N, C, H, W); NaN where a latent could not be inverted.
        target: Requested class, shape (N,).
        alpha: Length of the step, norm(z' - z) in lengths of the difference of the
            class means, negative where it leads backwards, float64, shape (N,).
        falls_short: Whether a step along the line does not go past the hyperplane, shape (N,).
        reached: Whether the latent has the requested prediction, shape (N,); for a step of a
            fixed length, whether its class is the target.
        by_gradient: Whether the step was found off the line, by the gradient, shape (N,).
        latent: z of the original, shape (N, ...).
        shifted: z' that was decoded, shape (N, ...).
        padding_energy: See `DecodedImages`, shape (N,).
        residual: See `DecodedImages`, shape (N,).
        failures: Reason why each could not be inverted, length N; empty text where it could.
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


def compute_counterfactuals(
    model: nn.Module,
    latent: Tensor,
    target: Target,
    means: Means | None,
    *,
    kinds: Sequence[str],
    confidence: float = DEFAULT_CONFIDENCE,
) -> dict[str, Counterfactual]:
    """Compute how each image would look in another class, at several lengths of the step.

    The direction is that of ECINN, from the mean of one class to that of the other (see `ecinn`); its
    lengths are the ``kinds`` (see `COUNTERFACTUAL_KINDS` and `find_boundary`), which are decoded together.

    Args:
        model: A model that can encode, decode and classify.
        latent: Latents of the images, on the model's device, shape (N, ...).
        target: Class for each image (N,), or one for all by name or index; None is the most
            probable one that is not predicted and has means.
        means: From `class_means` over the training images.
        kinds: Lengths of the step, some of `COUNTERFACTUAL_KINDS`.
        confidence: Probability that ``confident`` reaches, above 0.5 and below 1.

    Returns:
        Those of each kind, in the order of `COUNTERFACTUAL_KINDS`; including those that fall short, that
        the model does not predict as the target, or that could not be inverted.

    Raises:
        LeighError: The model lacks a capability or class means, a class is unknown or
            has no training image, or an image already has its target.
    """
    network = require_capabilities(model, REQUIRED_CAPABILITIES, "counterfactual")
    classes = class_names(model)
    ordered = check_kinds(kinds)
    check_confidence(confidence)
    known = require_means(means, MEAN_KINDS, (), classes)
    with evaluating(model):
        logits = network.classify(latent)
        source, goal = logits.argmax(dim=1), choose_reachable_target(target, logits, known, MEAN_KINDS, classes)
        _require_other_class(source, goal, classes)
        step = ecinn(
            latent, source, goal, require_means(known, MEAN_KINDS, {*source.tolist(), *goal.tolist()}, classes)
        )
        taken = [_take_step(network, latent, step, goal, kind, confidence) for kind in ordered]
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
    """Check names of kinds, and return them in the order of `COUNTERFACTUAL_KINDS`.

    Raises:
        LeighError: One is unknown or given twice.
    """
    for place, kind in enumerate(kinds):
        if kind not in COUNTERFACTUAL_KINDS:
            raise LeighError(f"Unknown counterfactual {kind!r}; choose from {', '.join(COUNTERFACTUAL_KINDS)}.")
        if kind in kinds[:place]:
            raise LeighError(f"The counterfactual {kind!r} is given twice; name each kind once.")
    return tuple(kind for kind in COUNTERFACTUAL_KINDS if kind in kinds)


def check_confidence(confidence: float) -> float:
    """Check that a probability is one that only the most probable class can have.

    Raises:
        LeighError: It is not above 0.5 and below 1.
    """
    if not 0.5 < confidence < 1:
        raise LeighError(f"A confidence of {confidence} is out of range; give one above 0.5 and below 1.")
    return confidence


def _take_step(
    network: ExplainedModel, z: Tensor, step: EcinnStep, target: Tensor, kind: str, confidence: float
) -> Crossing:
    if kind in ("boundary", "confident"):
        required = confidence if kind == "confident" else None
        return find_boundary(network.classify, z, step.delta, target, required)
    alpha = {"alpha_0": step.alpha_0, "alpha_1": step.alpha_1}[kind]
    shifted = add_step(z, step.delta, alpha)
    reached = network.classify(shifted).argmax(dim=1) == target
    return Crossing(shifted, alpha, reached, torch.zeros_like(reached))


def _require_other_class(source: Tensor, target: Tensor, classes: tuple[str, ...]) -> None:
    same = (source == target).nonzero().flatten().tolist()
    if same:
        raise LeighError(
            f"Image {same[0]} is already classified as {classes[int(source[same[0]])]}, as are {len(same)} of"
            f" {len(source)}; leave them out or choose another target."
        )
