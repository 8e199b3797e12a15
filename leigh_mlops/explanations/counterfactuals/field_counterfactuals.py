"""Counterfactuals of whole fields: images in raw intensities, measures and notes."""

import math
from collections.abc import Set
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from leigh_mlops.errors import LeighError
from leigh_mlops.explanations.counterfactuals.boundary import MAX_STEP
from leigh_mlops.explanations.counterfactuals.change_map import change_map
from leigh_mlops.explanations.counterfactuals.class_means import Means, require_means
from leigh_mlops.explanations.counterfactuals.decoding import raw_images
from leigh_mlops.explanations.counterfactuals.endpoints import typical_endpoints
from leigh_mlops.explanations.counterfactuals.generation import (
    DEFAULT_CONFIDENCE,
    MAX_ALPHA,
    MEAN_KINDS,
    Counterfactual,
    compute_counterfactuals,
    default_counterfactual_kinds,
)
from leigh_mlops.explanations.counterfactuals.verification import (
    SaveRoundTrip,
    VerifiedCounterfactual,
    verify_counterfactuals,
)
from leigh_mlops.explanations.field_batch import FieldBatch
from leigh_mlops.explanations.targets import choose_reachable_target
from leigh_mlops.job_columns import COUNTERFACTUAL, JobColumn
from leigh_mlops.models import ModelPackage
from leigh_mlops.models.transport.class_maps import Pair

__all__ = ["add_counterfactuals", "required_confidence"]

_PROBABILITY_RANGE = (0.5 + 1e-6, 1 - 1e-6)


def add_counterfactuals(batch: FieldBatch) -> None:
    """Add the counterfactuals of the context's kinds, or notes on why a field has none.

    Args:
        batch: Classified fields.

    Raises:
        LeighError: The model lacks a capability or class means, or a target or a kind is unknown.
    """
    package, context = batch.package, batch.context
    has_transport = bool(package.class_maps.pairs())
    kinds = context.kinds or default_counterfactual_kinds(has_transport)[-1:]
    means = require_means(package.class_means, MEAN_KINDS, (), batch.classes)
    source = batch.logits.argmax(dim=1)
    target = choose_reachable_target(context.target, batch.logits, means, MEAN_KINDS, batch.classes)
    rows = []
    for row, pair in enumerate(zip(source.tolist(), target.tolist(), strict=True)):
        if note := _refusal_reason(pair, means, package.class_maps.pairs(), batch.classes):
            batch.found[row].numbers[JobColumn.NOTE] = note
        else:
            rows.append(row)
    if not rows:
        return
    ends = [each[rows].cpu().numpy() for each in (source, target)]
    endpoints = typical_endpoints(package, batch.raw[rows], *ends) if has_transport else None
    confidence = required_confidence(package, context.confidence)[target[rows].cpu()].to(batch.logits.device)
    made = compute_counterfactuals(
        package.model, batch.latents[rows], target[rows], means,
        kinds=kinds, confidence=confidence, endpoints=endpoints,
    )  # fmt: skip
    for kind, each in made.items():
        _, failures = raw_images(each.images, each.failures, batch.scale)
        _add_notes(batch, rows, kind, replace(each, failures=failures), has_transport)
    if batch.as_saved is None:
        _add_unsaved_images(batch, rows, made)
    else:
        _add_verified(batch, rows, made, means, batch.as_saved, confidence, has_transport)
        if context.change_maps:
            _add_change_maps(batch, target)


def required_confidence(package: ModelPackage, confidence: float | None) -> Tensor:
    """Probability that a ``confident`` counterfactual has to have for each class.

    Args:
        package: The model.
        confidence: Requested probability; None for the median probability of the class's real training fields, or
            `DEFAULT_CONFIDENCE` for a package that does not know it.

    Returns:
        Above 0.5 and below 1, float64, shape (K,).
    """
    known = (package.class_means or {}).get("true_probability")
    if confidence is not None or known is None:
        value = DEFAULT_CONFIDENCE if confidence is None else confidence
        return torch.full((len(package.model.spec.classes),), value, dtype=torch.float64)
    return known.clamp(*_PROBABILITY_RANGE)


def _refusal_reason(pair: Pair, means: Means, transports: Set[Pair], classes: tuple[str, ...]) -> str | None:
    """Reason why there is no counterfactual from one class to the other, None where there can be."""
    source, target = pair
    if source == target:
        return f"already {classes[target]}"
    try:
        require_means(means, MEAN_KINDS, (source, target), classes)
    except LeighError as error:
        return str(error)
    if transports and pair not in transports:
        return f"the model has no transport from {classes[source]} to {classes[target]}; choose another target"
    return None


def _add_notes(batch: FieldBatch, rows: list[int], kind: str, made: Counterfactual, has_transport: bool) -> None:
    name = COUNTERFACTUAL(kind)
    for place, row in enumerate(rows):
        target, numbers = batch.classes[int(made.target[place])], batch.found[row].numbers
        numbers[JobColumn.TARGET] = target
        if made.failures[place]:
            numbers[f"{name}_note"] = made.failures[place]
            continue
        numbers[f"{name}_length"] = float(made.alpha[place])
        numbers[f"{name}_way"] = "gradient" if made.by_gradient[place] else "line"
        if kind == "alpha_1":
            numbers[f"{name}_falls_short"] = bool(made.falls_short[place])
        elif kind != "alpha_0" and not made.reached[place]:
            numbers[f"{name}_note"] = _failure_note(kind, target, has_transport)


def _failure_note(kind: str, target: str, has_transport: bool) -> str:
    """Note on a step of a kind that does not have the requested prediction."""
    if kind == "typical":
        return f"the network does not predict the typical image as {target}"
    if has_transport:
        return (
            f"no point up to {MAX_ALPHA:g} times as far as the typical image of {target} has the requested prediction"
        )
    return (
        f"no step of up to {MAX_STEP:g} times the difference of the class means reaches {target}, "
        "neither on the line nor along the gradient"
    )


def _add_unsaved_images(batch: FieldBatch, rows: list[int], made: dict[str, Counterfactual]) -> None:
    for kind, each in made.items():
        pictures, failures = raw_images(each.images, each.failures, batch.scale)
        for place, row in enumerate(rows):
            if not failures[place]:
                batch.found[row].images[COUNTERFACTUAL(kind)] = pictures[place]


def _add_verified(
    batch: FieldBatch,
    rows: list[int],
    made: dict[str, Counterfactual],
    means: Means,
    as_saved: SaveRoundTrip,
    confidence: Tensor,
    has_transport: bool,
) -> None:
    certified = verify_counterfactuals(
        batch.package.model, made, batch.scale, means,
        lambda place, kind, image: as_saved(rows[place], kind, image),
        confidence=confidence.cpu(), max_alpha=MAX_ALPHA if has_transport else math.inf,
    )  # fmt: skip
    for kind, files in certified.items():
        for place, file in files.items():
            found = batch.found[rows[place]]
            found.verified[kind] = file
            found.images[COUNTERFACTUAL(kind)] = file.saved
            found.numbers |= _verified_columns(COUNTERFACTUAL(kind), file, batch.classes)


def _verified_columns(
    name: str, file: VerifiedCounterfactual, classes: tuple[str, ...]
) -> dict[str, float | int | str | bool]:
    return {
        f"{name}_length": file.alpha,
        f"{name}_attempts": file.attempts,
        f"{name}_class": classes[file.predicted_class],
        f"{name}_probability": file.probability,
        f"{name}_valid": file.predicted_class == file.target,
        f"{name}_reencoding_error": file.reencoding_error,
        f"{name}_padding_energy": file.padding_energy,
        f"{name}_residual": file.residual,
        f"{name}_distance": file.distance,
    }


def _add_change_maps(batch: FieldBatch, target: Tensor) -> None:
    """Add the change map of the most informative kind of each field."""
    rows = [row for row, explanation in enumerate(batch.found) if explanation.verified]
    if not rows:
        return
    kinds, files = zip(*(list(batch.found[row].verified.items())[-1] for row in rows), strict=True)  # in order of KINDS
    saved = torch.from_numpy(np.stack([batch.scale.apply(file.saved) for file in files])).to(batch.images)
    latents = batch.latents[rows], torch.stack([file.saved_latent for file in files])
    maps = change_map(batch.package.model, batch.images[rows], saved, target[rows], latents=latents)
    for row, kind, heat in zip(rows, kinds, maps.cpu().numpy(), strict=True):
        batch.found[row].maps[COUNTERFACTUAL(f"{kind}_map")] = heat
