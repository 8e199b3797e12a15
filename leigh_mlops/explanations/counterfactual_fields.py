"""Counterfactuals of whole fields, in raw intensities and in words."""

import numpy as np
import torch
from torch import Tensor

from leigh_mlops.errors import LeighError
from leigh_mlops.explanations.boundary import LONGEST
from leigh_mlops.explanations.capabilities import require
from leigh_mlops.explanations.certified import AsSaved, Certified, certify
from leigh_mlops.explanations.change_map import change_map
from leigh_mlops.explanations.counterfactuals import (
    MEANS,
    Counterfactual,
    counterfactual_targets,
    counterfactuals,
)
from leigh_mlops.explanations.evaluation import evaluating
from leigh_mlops.explanations.field_batch import FieldBatch
from leigh_mlops.explanations.means import Means, require_means

__all__ = ["add_counterfactuals"]


def add_counterfactuals(batch: FieldBatch, as_saved: AsSaved | None = None) -> None:
    """Add the counterfactuals of the context's kinds, or notes that say why a field has none.

    Args:
        batch: Classified fields.
        as_saved: See `explain_fields`.

    Raises:
        LeighError: The model cannot, has no class means, or a target or a kind is unknown.
    """
    model, context = batch.package.model, batch.context
    means = require_means(context.means, MEANS, (), batch.classes)
    source, target = _ends(batch, means)
    rows = []
    for row, (start, end) in enumerate(zip(source.tolist(), target.tolist(), strict=True)):
        if note := _obstacle(start, end, means, batch.classes):
            batch.found[row].numbers["counterfactual_note"] = note
        else:
            rows.append(row)
    if not rows:
        return
    steps = counterfactuals(
        model, batch.latents[rows], target[rows], means, kinds=context.kinds, confidence=context.confidence
    )
    made = dict(zip(context.kinds, steps, strict=True))
    for kind, each in made.items():
        _note(batch, rows, kind, each)
    if as_saved is None:
        _show(batch, rows, made)
    else:
        _certify(batch, rows, made, means, as_saved)
        if context.change_maps:
            _map_changes(batch, target)


def _ends(batch: FieldBatch, means: Means) -> tuple[Tensor, Tensor]:
    """Class of each field and the one that its counterfactuals lead to, each (N,)."""
    network = require(batch.package.model, ("classify",), "counterfactual")
    with evaluating(batch.package.model):
        logits = network.classify(batch.latents)
    return logits.argmax(dim=1), counterfactual_targets(logits, batch.context.target, means, batch.classes)


def _obstacle(source: int, target: int, means: Means, classes: tuple[str, ...]) -> str | None:
    """Why there is no way from one class to the other, None where there is."""
    if source == target:
        return f"already {classes[target]}"
    try:
        require_means(means, MEANS, (source, target), classes)
    except LeighError as error:
        return str(error)
    return None


def _note(batch: FieldBatch, rows: list[int], kind: str, made: Counterfactual) -> None:
    name = f"counterfactual_{kind}"
    for place, row in enumerate(rows):
        target, numbers = batch.classes[int(made.target[place])], batch.found[row].numbers
        numbers["counterfactual_target"] = target
        if made.failures[place]:
            numbers[f"{name}_note"] = made.failures[place]
            continue
        numbers[f"{name}_length"] = float(made.alpha[place])
        numbers[f"{name}_way"] = "gradient" if made.by_gradient[place] else "line"
        if kind == "alpha_1":
            numbers[f"{name}_falls_short"] = bool(made.falls_short[place])
        elif kind != "alpha_0" and not made.reached[place]:
            numbers[f"{name}_note"] = (
                f"no step of up to {LONGEST:g} times the difference of the class means reaches {target}, "
                "neither on the line nor along the gradient"
            )


def _show(batch: FieldBatch, rows: list[int], made: dict[str, Counterfactual]) -> None:
    for kind, each in made.items():
        pictures = batch.scale.invert(each.images.cpu().numpy())
        for place, row in enumerate(rows):
            if not each.failures[place]:
                batch.found[row].images[f"counterfactual_{kind}"] = pictures[place]


def _certify(
    batch: FieldBatch, rows: list[int], made: dict[str, Counterfactual], means: Means, as_saved: AsSaved
) -> None:
    certified = certify(
        batch.package.model, made, batch.scale, means,
        lambda place, kind, image: as_saved(rows[place], kind, image),
        confidence=batch.context.confidence,
    )  # fmt: skip
    for kind, files in certified.items():
        for place, file in files.items():
            found, target = batch.found[rows[place]], int(made[kind].target[place])
            found.certified[kind] = file
            found.images[f"counterfactual_{kind}"] = file.saved
            found.numbers |= _measures(f"counterfactual_{kind}", file, target, batch.classes)


def _measures(name: str, file: Certified, target: int, classes: tuple[str, ...]) -> dict[str, float | int | str | bool]:
    said = int(file.log_probs.argmax())
    return {
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


def _map_changes(batch: FieldBatch, target: Tensor) -> None:
    """Where the changes act, for the last kind that a field has; one by one, since gradients take much memory."""
    for row, explanation in enumerate(batch.found):
        if not explanation.certified:
            continue
        kind, file = list(explanation.certified.items())[-1]
        saved = torch.from_numpy(batch.scale.apply(file.saved)[None]).to(batch.images)
        heat = change_map(batch.package.model, batch.images[row : row + 1], saved, target[row : row + 1])
        explanation.maps[f"counterfactual_{kind}_map"] = heat[0].cpu().numpy()
