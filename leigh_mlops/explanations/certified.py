"""Counterfactuals that are judged by the file that holds them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from leigh_mlops.explanations.boundary import head_margin
from leigh_mlops.explanations.capabilities import ExplainedModel, require
from leigh_mlops.explanations.counterfactuals import Counterfactual
from leigh_mlops.explanations.decoding import AT_ONCE, decode_all, raw_images
from leigh_mlops.explanations.evaluation import evaluating
from leigh_mlops.explanations.latent_steps import along
from leigh_mlops.explanations.means import Means
from leigh_mlops.images import IntensityScale
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
        image: Raw intensities that were handed over to be saved, unclipped, shape (C, H, W).
        saved: What the file holds of them, as read again.
        target: Class that it leads to.
        latent: z of the original, shape (...).
        shifted: z' that was decoded, shape (...).
        alpha: Length of the step that was taken.
        attempts: How many steps were tried, 1 to 5.
        log_probs: Natural log-probabilities of the file, shape (K,).
        margin: Of the file, the target's logit less the largest other.
        reencoding_error: norm(f(c) - z') / norm(z' - z) of the file.
        padding_energy: See `Decoded`.
        residual: See `Decoded`.
        distance: Of the file's latent from the mean of the target class, in units of that class's
            root mean square distance; NaN where that is not known.
    """

    image: Floats
    saved: Floats
    target: int
    latent: Tensor
    shifted: Tensor
    alpha: float
    attempts: int
    log_probs: npt.NDArray[np.float64]
    margin: float
    reencoding_error: float
    padding_energy: float
    residual: float
    distance: float

    @property
    def said(self) -> int:
        """Class of the file to the model."""
        return int(self.log_probs.argmax())

    @property
    def probability(self) -> float:
        """The target's, 0 to 1."""
        return float(np.exp(self.log_probs[self.target]))


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
) -> dict[str, dict[int, Certified]]:
    """Save counterfactuals, read them again, and measure what was read.

    Where the file of a ``confident`` one is not the target with the confidence asked for, its step
    is made a tenth longer, then three, seven and fifteen tenths longer than the first, and is
    inverted again: a little, as rounding takes a little, and soon more than that. Of up to five
    attempts the first that arrives stays, else the best: one whose file is the target rather than
    one whose file is not, then the one with the larger probability. A longer step that cannot be
    inverted is counted, and no longer one is tried.

    Args:
        model: The model that made them.
        made: Counterfactuals of the same N images by kind.
        scale: From the model's units to raw intensities.
        means: Class means of the latents.
        as_saved: Writes and reads.
        confidence: Probability that ``confident`` has to have.

    Returns:
        For each kind those that could be inverted to intensities that a file holds, by the number
        of their image.

    Raises:
        LeighError: The model cannot, or a file can't be written.
    """
    network = require(model, ("encode", "decode", "classify"), "a certified counterfactual")
    with evaluating(model):
        drafts = [draft for kind, each in made.items() for draft in _drafts(kind, each, scale)]
        kept = dict(enumerate(_judged(network, drafts, scale, means, as_saved, 1)))
        # A step that never arrived, whatever its length, is not made longer.
        open_ = [
            number
            for number, draft in enumerate(drafts)
            if draft.kind == "confident" and bool(made[draft.kind].reached[draft.place])
        ]
        for attempt in range(2, ATTEMPTS + 1):
            open_ = [number for number in open_ if not _has_arrived(kept[number], confidence)]
            longer = _lengthened(model, {number: drafts[number] for number in open_}, scale, attempt)
            judged = _judged(network, list(longer.values()), scale, means, as_saved, attempt)
            kept |= {number: replace(kept[number], attempts=attempt) for number in open_}
            for number, found in zip(longer, judged, strict=True):
                kept[number] = _better(kept[number], found, drafts[number], as_saved)
            open_ = list(longer)
    certified: dict[str, dict[int, Certified]] = {kind: {} for kind in made}
    for number, draft in enumerate(drafts):
        certified[draft.kind][draft.place] = kept[number]
    return certified


def _drafts(kind: str, made: Counterfactual, scale: IntensityScale) -> list[_Draft]:
    images, failures = raw_images(made.images, made.failures, scale)
    return [
        _Draft(
            place, kind, int(made.target[place]), made.latent[place], made.shifted[place], float(made.alpha[place]),
            images[place], float(made.padding_energy[place]), float(made.residual[place]),
        )
        for place, failure in enumerate(failures)
        if not failure
    ]  # fmt: skip


def _lengthened(
    model: nn.Module, drafts: Mapping[int, _Draft], scale: IntensityScale, attempt: int
) -> dict[int, _Draft]:
    """The same steps, longer from attempt to attempt; those that fail are left out."""
    if not drafts:
        return {}
    factor = 0.9 + 0.1 * 2 ** (attempt - 1)
    latent = torch.stack([draft.latent for draft in drafts.values()])
    step = torch.stack([draft.shifted for draft in drafts.values()]) - latent
    shifted = along(latent, step, latent.new_full((len(latent),), factor))
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
        logits = network.classify(latents).double().cpu()
        found += [
            _measured(draft, file, latent, row, means, attempt)
            for draft, file, latent, row in zip(some, saved, latents, logits, strict=True)
        ]
    return found


def _measured(draft: _Draft, saved: Floats, latent: Tensor, logits: Tensor, means: Means, attempt: int) -> Certified:
    error = reencoding_error(*(each[None].cpu() for each in (draft.latent, draft.shifted, latent)))
    return Certified(
        image=draft.image, saved=saved, target=draft.target, latent=draft.latent, shifted=draft.shifted,
        alpha=draft.alpha, attempts=attempt, log_probs=logits.log_softmax(0).numpy(),
        margin=float(head_margin(logits[None], torch.tensor([draft.target]))),
        reencoding_error=float(error[0]), padding_energy=draft.padding_energy, residual=draft.residual,
        distance=_distance(latent, draft.target, means),
    )  # fmt: skip


def _distance(latent: Tensor, target: int, means: Means) -> float:
    spread = float(means["true_spread"][target]) if "true_spread" in means else 0.0
    if not spread:
        return float("nan")
    return float((latent.cpu().double() - means["true"][target].cpu().double()).norm()) / spread


def _has_arrived(found: Certified, confidence: float) -> bool:
    return found.said == found.target and arrived(found.probability, confidence)


def _better(before: Certified, after: Certified, draft: _Draft, as_saved: AsSaved) -> Certified:
    """The better of two attempts, with its own image in the file."""
    if _goodness(after) > _goodness(before):
        return after
    as_saved(draft.place, draft.kind, before.image)
    return before


def _goodness(found: Certified) -> tuple[bool, float]:
    return found.said == found.target, float(found.log_probs[found.target])
