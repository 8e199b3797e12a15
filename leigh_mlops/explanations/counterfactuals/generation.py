"""Counterfactuals: an image as it would look in another class.

Steps lead to a typical image of the target class, where there is a transport between the classes, or along ECINN's
direction, which is one vector for all images.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from leigh_mlops.errors import LeighError
from leigh_mlops.explanations.capabilities import ExplainedModel, class_names, require_capabilities
from leigh_mlops.explanations.counterfactuals.boundary import Crossing, find_boundary
from leigh_mlops.explanations.counterfactuals.class_means import Means, require_means
from leigh_mlops.explanations.counterfactuals.decoding import DecodedImages, decode_all
from leigh_mlops.explanations.counterfactuals.ecinn import EcinnStep, ecinn
from leigh_mlops.explanations.counterfactuals.endpoints import Endpoints
from leigh_mlops.explanations.counterfactuals.latent_steps import add_step
from leigh_mlops.explanations.eval_mode import evaluating
from leigh_mlops.explanations.targets import Target, choose_reachable_target

__all__ = [
    "COUNTERFACTUAL_KINDS", "DEFAULT_CONFIDENCE", "MAX_ALPHA", "MEAN_KINDS", "Counterfactual", "check_confidence",
    "check_kinds", "compute_counterfactuals", "default_counterfactual_kinds",
]  # fmt: skip

COUNTERFACTUAL_KINDS = ("alpha_0", "alpha_1", "boundary", "confident", "typical")
"""Lengths of a step: two of ECINN as published, the point where the head finds the target
as probable as the most probable other class, the point where the target has the requested confidence,
and the typical image of the target class, which needs a transport. The last one is the most informative."""

DEFAULT_CONFIDENCE = 0.95
"""Probability of a ``confident`` counterfactual of a model without transport by default."""

MAX_ALPHA = 1.5
"""Longest step past a typical image, in lengths of the way to it; longer ones draw noise."""

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
        falls_short: Whether a step along ECINN's direction does not go past the hyperplane, shape (N,).
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
    confidence: Tensor | float = DEFAULT_CONFIDENCE,
    endpoints: Endpoints | None = None,
) -> dict[str, Counterfactual]:
    """Compute how each image would look in another class, at several lengths of the step.

    With endpoints, ``boundary`` and ``confident`` lie on the way z + alpha (z_T - z) from the latent z of the
    image to that of its typical image z_T, alpha at most `MAX_ALPHA`, and ``typical`` is alpha = 1. Without them
    they lie on ECINN's direction, from the mean of one class to that of the other (see `ecinn` and
    `find_boundary`), on which ``alpha_0`` and ``alpha_1`` lie always. All are decoded together.

    Args:
        model: A model that can encode, decode and classify.
        latent: Latents of the images, on the model's device, shape (N, ...).
        target: Class for each image (N,), or one for all by name or index; None is the most
            probable one that is not predicted and has means.
        means: From `class_means` over the training images.
        kinds: Lengths of the step, some of `COUNTERFACTUAL_KINDS`.
        confidence: Probability that ``confident`` reaches, above 0.5 and below 1, for all or of each, shape (N,).
        endpoints: Typical images of the target class.

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
    for each in torch.as_tensor(confidence, dtype=torch.float64).flatten().tolist():
        check_confidence(each)
    if "typical" in ordered and endpoints is None:
        raise LeighError("The model has no transport between its classes; train it again, or choose other kinds.")
    known = require_means(means, MEAN_KINDS, (), classes)
    with evaluating(model):
        logits = network.classify(latent)
        source, goal = logits.argmax(dim=1), choose_reachable_target(target, logits, known, MEAN_KINDS, classes)
        _require_other_class(source, goal, classes)
        step = ecinn(
            latent, source, goal, require_means(known, MEAN_KINDS, {*source.tolist(), *goal.tolist()}, classes)
        )
        taken = {kind: _take_step(network, latent, step, goal, kind, confidence, endpoints) for kind in ordered}
        decoded = _decode(model, taken, endpoints)
    return {
        kind: Counterfactual(
            images=decoded[kind].images, target=goal, alpha=each.alpha,
            falls_short=step.falls_short(each.alpha) & ~each.by_gradient,
            reached=each.reached, by_gradient=each.by_gradient, latent=latent, shifted=each.shifted,
            padding_energy=decoded[kind].padding_energy, residual=decoded[kind].residual,
            failures=decoded[kind].failures,
        )
        for kind, each in taken.items()
    }  # fmt: skip


def default_counterfactual_kinds(has_transport: bool) -> tuple[str, ...]:
    """Kinds of a model with or without transport by default: where its head changes its mind, and the end of the way.

    Example:
        >>> default_counterfactual_kinds(True)
        ('boundary', 'typical')
    """
    return ("boundary", "typical" if has_transport else "confident")


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
    network: ExplainedModel,
    z: Tensor,
    step: EcinnStep,
    target: Tensor,
    kind: str,
    confidence: Tensor | float,
    endpoints: Endpoints | None,
) -> Crossing:
    if kind in ("boundary", "confident"):
        required = confidence if kind == "confident" else None
        if endpoints is None:
            return find_boundary(network.classify, z, step.delta, target, required)
        way = endpoints.latents - z
        return find_boundary(network.classify, z, way, target, required, max_step=MAX_ALPHA, climbs=False)
    if kind == "typical" and endpoints is not None:
        shifted, alpha = endpoints.latents, torch.ones_like(step.alpha_0)
    else:
        alpha = {"alpha_0": step.alpha_0, "alpha_1": step.alpha_1}[kind]
        shifted = add_step(z, step.delta, alpha)
    reached = network.classify(shifted).argmax(dim=1) == target
    return Crossing(shifted, alpha, reached, torch.zeros_like(reached))


def _decode(model: nn.Module, taken: dict[str, Crossing], endpoints: Endpoints | None) -> dict[str, DecodedImages]:
    """Decode the steps of all kinds together; a typical image is known, since the network is a bijection of it."""
    shifted = {kind: each.shifted for kind, each in taken.items() if kind != "typical"}
    made: dict[str, DecodedImages] = {}
    if shifted:
        parts = decode_all(model, torch.cat(list(shifted.values()))).chunks(len(next(iter(shifted.values()))))
        made = dict(zip(shifted, parts, strict=True))
    if endpoints is not None and "typical" in taken:
        nothing = torch.zeros(len(endpoints.images), device=endpoints.images.device)
        made["typical"] = DecodedImages(endpoints.images, nothing, nothing, ("",) * len(nothing))
    return made


def _require_other_class(source: Tensor, target: Tensor, classes: tuple[str, ...]) -> None:
    same = (source == target).nonzero().flatten().tolist()
    if same:
        raise LeighError(
            f"Image {same[0]} is already classified as {classes[int(source[same[0]])]}, as are {len(same)} of"
            f" {len(source)}; leave them out or choose another target."
        )
