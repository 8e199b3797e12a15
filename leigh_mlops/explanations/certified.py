"""Counterfactuals that are judged by the file that holds them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from leigh_mlops.explanations.capabilities import ExplainedModel, require
from leigh_mlops.explanations.counterfactuals import Counterfactual
from leigh_mlops.explanations.decoding import AT_ONCE, decode_all
from leigh_mlops.explanations.evaluation import evaluating
from leigh_mlops.explanations.means import Means
from leigh_mlops.images import IntensityScale
from leigh_mlops.models import InverseError
from leigh_mlops.scores import arrived, reencoding_error

__all__ = ["ATTEMPTS", "AsSaved", "Certified", "certify"]

ATTEMPTS = 5

Floats = npt.NDArray[np.float32]
AsSaved = Callable[[int, str, Floats], Floats]
"""From the number of an image, the kind of its counterfactual and its raw intensities (C, H, W)
to those that a reader of the file sees; called again, it replaces the file."""


@dataclass(frozen=True)
class Certified:
    """One counterfactual as it is in its file.

    Attributes:
        image: Raw intensities that were saved, unclipped, shape (C, H, W).
        saved: The same as read again.
        latent: z of the original, shape (...).
        shifted: z' that was decoded, shape (...).
        alpha: Length of the step that was taken.
        attempts: How many steps were tried, 1 to 5.
        log_probs: Natural log-probabilities of the file, shape (K,).
        reencoding_error: norm(f(c) - z') / norm(z' - z) of the file.
        padding_energy: See `Decoded`.
        residual: See `Decoded`.
        distance: Of the file's latent from the mean of the target class, in units of that class's
            root mean square distance; NaN where that is not known.
    """

    image: Floats
    saved: Floats
    latent: Tensor
    shifted: Tensor
    alpha: float
    attempts: int
    log_probs: npt.NDArray[np.float64]
    reencoding_error: float
    padding_energy: float
    residual: float
    distance: float


@dataclass(frozen=True)
class _Draft:
    """A counterfactual on its way into a file."""

    place: int
    kind: str
    target: int
    latent: Tensor
    shifted: Tensor
    alpha: float
    image: Floats
    padding_energy: float
    residual: float


def certify(
    model: nn.Module,
    made: Mapping[str, Counterfactual],
    scale: IntensityScale,
    means: Means,
    as_saved: AsSaved,
    *,
    confidence: float,
) -> dict[str, list[Certified]]:
    """Save counterfactuals, read them again, and measure what was read.

    Where the file of a ``confident`` one is not the target with the confidence asked for, its step
    is made a tenth longer, then three, seven and fifteen tenths longer than the first, and is
    inverted again: a little, as rounding takes a little, and soon more than that. Of up to five
    attempts the first that arrives stays, else the one with the largest probability.

    Args:
        model: The model that made them.
        made: Counterfactuals of the same N images by kind.
        scale: From the model's units to raw intensities.
        means: Class means of the latents.
        as_saved: Writes and reads.
        confidence: Probability that ``confident`` has to have.

    Returns:
        N for each kind.

    Raises:
        LeighError: The model cannot, or a file can't be written.
    """
    network = require(model, ("encode", "decode", "classify"), "a certified counterfactual")
    with evaluating(model):
        drafts = [draft for kind, each in made.items() for draft in _drafts(kind, each, scale)]
        kept = _judged(network, drafts, scale, means, as_saved, 1)
        # A step that never arrived, whatever its length, is not made longer.
        raised = [draft.kind == "confident" and bool(made[draft.kind].reached[draft.place]) for draft in drafts]
        open_ = [number for number, may_be in enumerate(raised) if may_be]
        for attempt in range(2, ATTEMPTS + 1):
            open_ = [number for number in open_ if not _has_arrived(kept[number], drafts[number], confidence)]
            longer = _lengthened(model, [drafts[number] for number in open_], scale, 0.9 + 0.1 * 2 ** (attempt - 1))
            if not longer:
                break
            judged = _judged(network, longer, scale, means, as_saved, attempt)
            for number, draft, found in zip(open_, longer, judged, strict=True):
                kept[number] = _better(kept[number], found, draft, as_saved)
    count = len(drafts) // len(made)
    return {kind: kept[start * count : (start + 1) * count] for start, kind in enumerate(made)}


def _drafts(kind: str, made: Counterfactual, scale: IntensityScale) -> list[_Draft]:
    images = scale.invert(made.images.float().cpu().numpy())
    return [
        _Draft(
            place, kind, int(made.target[place]), made.latent[place], made.shifted[place], float(made.alpha[place]),
            images[place], float(made.padding_energy[place]), float(made.residual[place]),
        )
        for place in range(len(images))
    ]  # fmt: skip


def _lengthened(model: nn.Module, drafts: Sequence[_Draft], scale: IntensityScale, factor: float) -> list[_Draft]:
    """The same steps, ``factor`` times as long; none where they can't be inverted."""
    if not drafts:
        return []
    shifted = torch.stack([draft.latent + factor * (draft.shifted - draft.latent) for draft in drafts])
    try:
        decoded = decode_all(model, shifted)
    except InverseError:  # what was inverted before stays, and is judged as it is
        return []
    images = scale.invert(decoded.images.float().cpu().numpy())
    return [
        replace(
            draft, shifted=shifted[place], alpha=factor * draft.alpha, image=images[place],
            padding_energy=float(decoded.padding_energy[place]), residual=float(decoded.residual[place]),
        )
        for place, draft in enumerate(drafts)
    ]  # fmt: skip


def _judged(
    network: ExplainedModel,
    drafts: Sequence[_Draft],
    scale: IntensityScale,
    means: Means,
    as_saved: AsSaved,
    attempt: int,
) -> list[Certified]:
    found: list[Certified] = []
    for start in range(0, len(drafts), AT_ONCE):
        some = drafts[start : start + AT_ONCE]
        saved = [as_saved(draft.place, draft.kind, draft.image) for draft in some]
        like = some[0].latent
        latents = network.encode(torch.from_numpy(scale.apply(np.stack(saved))).to(like.device, like.dtype))
        log_probs = network.classify(latents).double().log_softmax(1).cpu().numpy()
        found += [
            _measured(draft, file, latent, row, means, attempt)
            for draft, file, latent, row in zip(some, saved, latents, log_probs, strict=True)
        ]
    return found


def _measured(
    draft: _Draft, saved: Floats, latent: Tensor, log_probs: npt.NDArray[np.float64], means: Means, attempt: int
) -> Certified:
    error = reencoding_error(*(each[None].cpu() for each in (draft.latent, draft.shifted, latent)))
    return Certified(
        image=draft.image, saved=saved, latent=draft.latent, shifted=draft.shifted, alpha=draft.alpha,
        attempts=attempt, log_probs=log_probs, reencoding_error=float(error[0]),
        padding_energy=draft.padding_energy, residual=draft.residual,
        distance=_distance(latent, draft.target, means),
    )  # fmt: skip


def _distance(latent: Tensor, target: int, means: Means) -> float:
    spread = float(means["true_spread"][target]) if "true_spread" in means else 0.0
    if not spread:
        return float("nan")
    return float((latent.cpu().double() - means["true"][target].cpu().double()).norm()) / spread


def _has_arrived(found: Certified, draft: _Draft, confidence: float) -> bool:
    return int(found.log_probs.argmax()) == draft.target and arrived(
        float(np.exp(found.log_probs[draft.target])), confidence
    )


def _better(before: Certified, after: Certified, draft: _Draft, as_saved: AsSaved) -> Certified:
    """The surer of two attempts, with its own image in the file."""
    if after.log_probs[draft.target] > before.log_probs[draft.target]:
        return after
    as_saved(draft.place, draft.kind, before.image)
    return replace(before, attempts=after.attempts)
