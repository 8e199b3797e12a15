"""Counterfactuals of whole fields: images in raw intensities, measures and notes."""

from dataclasses import replace

import torch
from torch import Tensor

from leigh_mlops.errors import LeighError
from leigh_mlops.explanations.counterfactuals.boundary import MAX_STEP
from leigh_mlops.explanations.counterfactuals.change_map import change_map
from leigh_mlops.explanations.counterfactuals.class_means import Means, require_means
from leigh_mlops.explanations.counterfactuals.decoding import raw_images
from leigh_mlops.explanations.counterfactuals.generation import MEAN_KINDS, Counterfactual, compute_counterfactuals
from leigh_mlops.explanations.counterfactuals.verification import (
    SaveRoundTrip,
    VerifiedCounterfactual,
    verify_counterfactuals,
)
from leigh_mlops.explanations.field_batch import FieldBatch
from leigh_mlops.explanations.targets import choose_reachable_target
from leigh_mlops.job_columns import COUNTERFACTUAL, JobColumn

__all__ = ["add_counterfactuals"]


def add_counterfactuals(batch: FieldBatch) -> None:
    """Add the counterfactuals of the context's kinds, or notes on why a field has none.

    Args:
        batch: Classified fields.

    Raises:
        LeighError: The model lacks a capability or class means, or a target or a kind is unknown.
    """
    model, context = batch.package.model, batch.context
    means = require_means(batch.package.class_means, MEAN_KINDS, (), batch.classes)
    target = choose_reachable_target(context.target, batch.logits, means, MEAN_KINDS, batch.classes)
    rows = []
    for row, (start, end) in enumerate(zip(batch.logits.argmax(dim=1).tolist(), target.tolist(), strict=True)):
        if note := _refusal_reason(start, end, means, batch.classes):
            batch.found[row].numbers[JobColumn.NOTE] = note
        else:
            rows.append(row)
    if not rows:
        return
    made = compute_counterfactuals(
        model, batch.latents[rows], target[rows], means, kinds=context.kinds, confidence=context.confidence
    )
    for kind, each in made.items():
        _, failures = raw_images(each.images, each.failures, batch.scale)
        _add_notes(batch, rows, kind, replace(each, failures=failures))
    if batch.as_saved is None:
        _add_unsaved_images(batch, rows, made)
    else:
        _add_verified(batch, rows, made, means, batch.as_saved)
        if context.change_maps:
            _add_change_maps(batch, target)


def _refusal_reason(source: int, target: int, means: Means, classes: tuple[str, ...]) -> str | None:
    """Reason why there is no counterfactual from one class to the other, None where there can be."""
    if source == target:
        return f"already {classes[target]}"
    try:
        require_means(means, MEAN_KINDS, (source, target), classes)
    except LeighError as error:
        return str(error)
    return None


def _add_notes(batch: FieldBatch, rows: list[int], kind: str, made: Counterfactual) -> None:
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
            numbers[f"{name}_note"] = (
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
    batch: FieldBatch, rows: list[int], made: dict[str, Counterfactual], means: Means, as_saved: SaveRoundTrip
) -> None:
    certified = verify_counterfactuals(
        batch.package.model, made, batch.scale, means,
        lambda place, kind, image: as_saved(rows[place], kind, image),
        confidence=batch.context.confidence,
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
    """Add the change map of the most informative kind; one by one, since gradients take much memory."""
    for row, explanation in enumerate(batch.found):
        if not explanation.verified:
            continue
        kind, file = list(explanation.verified.items())[-1]  # in the order of KINDS
        saved = torch.from_numpy(batch.scale.apply(file.saved)[None]).to(batch.images)
        heat = change_map(batch.package.model, batch.images[row : row + 1], saved, target[row : row + 1])
        explanation.maps[COUNTERFACTUAL(f"{kind}_map")] = heat[0].cpu().numpy()
