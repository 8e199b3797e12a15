"""Verification of counterfactuals on the files that they are saved to."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from leigh_mlops.explanations.capabilities import ExplainedModel, require_capabilities
from leigh_mlops.explanations.counterfactuals.boundary import head_margin
from leigh_mlops.explanations.counterfactuals.class_means import Means
from leigh_mlops.explanations.counterfactuals.decoding import LATENTS_PER_PASS, decode_all, raw_images
from leigh_mlops.explanations.counterfactuals.generation import Counterfactual
from leigh_mlops.explanations.counterfactuals.latent_steps import add_step
from leigh_mlops.explanations.eval_mode import evaluating
from leigh_mlops.images import IntensityScale
from leigh_mlops.scores import is_confidence_reached, reencoding_error

__all__ = ["MAX_ATTEMPTS", "SaveRoundTrip", "VerifiedCounterfactual", "verify_counterfactuals"]

MAX_ATTEMPTS = 5

Floats = npt.NDArray[np.float32]
SaveRoundTrip = Callable[[int, str, Floats], Floats]
"""From the number of an image, the kind of its counterfactual and its raw intensities (C, H, W)
to those that are read back from the file; called again, it replaces the file."""


@dataclass(frozen=True)
class VerifiedCounterfactual:
    """One counterfactual as it is in its file, with its measures.

    Attributes:
        image: Raw intensities before saving, unclipped, shape (C, H, W).
        saved: The same as read back from the file.
        target: Target class.
        latent: z of the original, shape (...).
        shifted: z' that was decoded, shape (...).
        saved_latent: Latent of the saved image, shape (...).
        alpha: Length of the step.
        attempts: Number of steps tried, 1 to 5.
        log_probs: Natural log-probabilities of the saved image, shape (K,).
        margin: The target's logit less the largest other, of the saved image.
        reencoding_error: norm(f(c) - z') / norm(z' - z) of the saved image.
        padding_energy: See `DecodedImages`.
        residual: See `DecodedImages`.
        distance: From the saved image's latent to the mean of the target class, in units of that
            class's root mean square distance; NaN where that is not known.
    """

    image: Floats
    saved: Floats
    target: int
    latent: Tensor
    shifted: Tensor
    saved_latent: Tensor
    alpha: float
    attempts: int
    log_probs: npt.NDArray[np.float64]
    margin: float
    reencoding_error: float
    padding_energy: float
    residual: float
    distance: float

    @property
    def predicted_class(self) -> int:
        """Class that the model predicts for the saved image."""
        return int(self.log_probs.argmax())

    @property
    def probability(self) -> float:
        """Probability of the target class, 0 to 1."""
        return float(np.exp(self.log_probs[self.target]))


@dataclass(frozen=True)
class _Draft:
    """A counterfactual before it is saved."""

    place: int
    kind: str
    target: int
    latent: Tensor
    shifted: Tensor
    alpha: float
    image: Floats
    padding_energy: float
    residual: float
    encoded: Tensor | None = None
    """Scaled image of which ``shifted`` is the encoding; None where ``shifted`` was decoded."""


def verify_counterfactuals(
    model: nn.Module,
    made: Mapping[str, Counterfactual],
    scale: IntensityScale,
    means: Means,
    as_saved: SaveRoundTrip,
    *,
    confidence: Tensor | float,
    max_alpha: float = math.inf,
) -> dict[str, dict[int, VerifiedCounterfactual]]:
    """Save counterfactuals, read them back, and measure the saved images.

    Where the saved image of a ``confident`` one is not predicted as the target with the requested
    confidence, its step is made a tenth longer, then three, seven and fifteen tenths longer than the
    first, but no longer than ``max_alpha``, and is inverted again: slightly at first, since rounding costs
    little, then more. Of up to
    five attempts the first that reaches the confidence is kept, else the best: one predicted as the
    target before one that is not, then the one with the larger probability. A longer step that cannot
    be inverted counts as an attempt, and no longer one is tried.

    Args:
        model: The model that made them.
        made: Counterfactuals of the same N images by kind.
        scale: From the model's units to raw intensities.
        means: Class means of the latents.
        as_saved: Writes an image and reads it back.
        confidence: Probability that ``confident`` has to reach, for all or of each, shape (N,).
        max_alpha: Longest step of a further attempt.

    Returns:
        For each kind those that could be inverted to intensities that a file can hold, by the number
        of their image.

    Raises:
        LeighError: The model lacks a capability, or a file can't be written.
    """
    network = require_capabilities(model, ("encode", "decode", "classify"), "a certified counterfactual")
    with evaluating(model):
        drafts = [draft for kind, each in made.items() for draft in _drafts(kind, each, scale)]
        required = (
            torch.as_tensor(confidence, dtype=torch.float64).expand(len(next(iter(made.values())).target)).tolist()
        )
        kept = dict(enumerate(_save_and_measure(network, drafts, scale, means, as_saved, 1)))
        # A step that does not reach the confidence at any length is not made longer.
        open_ = [
            number
            for number, draft in enumerate(drafts)
            if draft.kind == "confident" and bool(made[draft.kind].reached[draft.place])
        ]
        for attempt in range(2, MAX_ATTEMPTS + 1):
            factor = 0.9 + 0.1 * 2 ** (attempt - 1)
            open_ = [
                number
                for number in open_
                if not _has_arrived(kept[number], required[drafts[number].place])
                and factor * drafts[number].alpha <= max_alpha
            ]
            longer = _lengthen_steps(model, {number: drafts[number] for number in open_}, scale, factor)
            measured = _save_and_measure(network, list(longer.values()), scale, means, as_saved, attempt)
            kept |= {number: replace(kept[number], attempts=attempt) for number in open_}
            for number, found in zip(longer, measured, strict=True):
                kept[number] = _keep_better(kept[number], found, drafts[number], as_saved)
            open_ = list(longer)
    verified: dict[str, dict[int, VerifiedCounterfactual]] = {kind: {} for kind in made}
    for number, draft in enumerate(drafts):
        verified[draft.kind][draft.place] = kept[number]
    return verified


def _drafts(kind: str, made: Counterfactual, scale: IntensityScale) -> list[_Draft]:
    images, failures = raw_images(made.images, made.failures, scale)
    return [
        _Draft(
            place, kind, int(made.target[place]), made.latent[place], made.shifted[place], float(made.alpha[place]),
            images[place], float(made.padding_energy[place]), float(made.residual[place]),
            made.images[place] if kind == "typical" else None,
        )
        for place, failure in enumerate(failures)
        if not failure
    ]  # fmt: skip


def _lengthen_steps(
    model: nn.Module, drafts: Mapping[int, _Draft], scale: IntensityScale, factor: float
) -> dict[int, _Draft]:
    """Lengthen the steps by a factor and decode them again; those that fail are left out."""
    if not drafts:
        return {}
    latent = torch.stack([draft.latent for draft in drafts.values()])
    step = torch.stack([draft.shifted for draft in drafts.values()]) - latent
    shifted = add_step(latent, step, latent.new_full((len(latent),), factor))
    decoded = decode_all(model, shifted)
    images, failures = raw_images(decoded.images, decoded.failures, scale)
    return {
        number: replace(
            draft, shifted=shifted[place], alpha=factor * draft.alpha, image=images[place],
            padding_energy=float(decoded.padding_energy[place]), residual=float(decoded.residual[place]),
        )
        for place, (number, draft) in enumerate(drafts.items())
        if not failures[place]
    }  # fmt: skip


def _save_and_measure(
    network: ExplainedModel,
    drafts: Sequence[_Draft],
    scale: IntensityScale,
    means: Means,
    as_saved: SaveRoundTrip,
    attempt: int,
) -> list[VerifiedCounterfactual]:
    found: list[VerifiedCounterfactual] = []
    for start in range(0, len(drafts), LATENTS_PER_PASS):
        some = drafts[start : start + LATENTS_PER_PASS]
        saved = [as_saved(draft.place, draft.kind, draft.image) for draft in some]
        like = some[0].latent
        latents = _encode(network, some, torch.from_numpy(scale.apply(np.stack(saved))).to(like.device, like.dtype))
        logits = network.classify(latents).double().cpu()
        found += [
            _measure_saved(draft, file, latent, row, means, attempt)
            for draft, file, latent, row in zip(some, saved, latents, logits, strict=True)
        ]
    return found


def _encode(network: ExplainedModel, drafts: Sequence[_Draft], images: Tensor) -> Tensor:
    """Latents of saved images (N, C, H, W), encoded where the file changed the image or they are not known."""
    known = [
        draft.encoded is not None and torch.equal(draft.encoded, image)
        for draft, image in zip(drafts, images, strict=True)
    ]
    open_ = torch.tensor(known, device=images.device).logical_not()
    latents = torch.stack([draft.shifted for draft in drafts])
    if bool(open_.any()):
        latents[open_] = network.encode(images[open_])
    return latents


def _measure_saved(
    draft: _Draft, saved: Floats, latent: Tensor, logits: Tensor, means: Means, attempt: int
) -> VerifiedCounterfactual:
    error = reencoding_error(*(each[None].cpu() for each in (draft.latent, draft.shifted, latent)))
    return VerifiedCounterfactual(
        image=draft.image, saved=saved, target=draft.target, latent=draft.latent, shifted=draft.shifted,
        saved_latent=latent, alpha=draft.alpha, attempts=attempt, log_probs=logits.log_softmax(0).numpy(),
        margin=float(head_margin(logits[None], torch.tensor([draft.target]))),
        reencoding_error=float(error[0]), padding_energy=draft.padding_energy, residual=draft.residual,
        distance=_distance(latent, draft.target, means),
    )  # fmt: skip


def _distance(latent: Tensor, target: int, means: Means) -> float:
    spread = float(means["true_spread"][target]) if "true_spread" in means else 0.0
    if not spread:
        return float("nan")
    return float((latent.cpu().double() - means["true"][target].cpu().double()).norm()) / spread


def _has_arrived(found: VerifiedCounterfactual, confidence: float) -> bool:
    return found.predicted_class == found.target and is_confidence_reached(found.probability, confidence)


def _keep_better(
    before: VerifiedCounterfactual, after: VerifiedCounterfactual, draft: _Draft, as_saved: SaveRoundTrip
) -> VerifiedCounterfactual:
    """Return the better of two attempts, and make sure that its image is the one in the file."""
    if _ranking_key(after) > _ranking_key(before):
        return after
    as_saved(draft.place, draft.kind, before.image)
    return before


def _ranking_key(found: VerifiedCounterfactual) -> tuple[bool, float]:
    return found.predicted_class == found.target, float(found.log_probs[found.target])
