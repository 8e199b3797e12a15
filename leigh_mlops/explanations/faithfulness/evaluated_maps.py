"""Maps of some fields with all that their checks need."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from leigh_mlops.explanations.counterfactuals.change_map import change_map
from leigh_mlops.explanations.counterfactuals.generation import COUNTERFACTUAL_KINDS
from leigh_mlops.explanations.field_batch import FieldBatch
from leigh_mlops.explanations.maps import MAP_METHODS, map_names
from leigh_mlops.explanations.tasks import build_map_task
from leigh_mlops.job_columns import COUNTERFACTUAL

__all__ = ["EvaluatedMap", "evaluated_maps"]


@dataclass(frozen=True)
class EvaluatedMap:
    """Maps of one name, and the images and classes that they explain.

    Attributes:
        name: Name of the map.
        images: Explained images, scaled, shape (N, C, H, W).
        target: Class that the maps support, shape (N,).
        maps: Shape (N, H, W).
        again: Computes the maps (M, H, W) of another network or of other images (M, C, H, W), which
            replace the images with the M numbers.
        fill: Values of removed places, shape (N, C, H, W); None for the training mean.
        channel: The only channel that the maps explain; None for all.
        completeness_error: Median over the maps that have one; else NaN.
    """

    name: str
    images: Tensor
    target: Tensor
    maps: Tensor
    recompute: Callable[[nn.Module, Tensor, list[int]], Tensor]
    fill: Tensor | None = None
    channel: int | None = None
    completeness_error: float = float("nan")


def evaluated_maps(batch: FieldBatch, methods: Sequence[str]) -> Iterator[EvaluatedMap]:
    """Yield every kind of map among the explanations of a batch.

    A change map explains the counterfactual: where a place is removed, it is the original image.

    Args:
        batch: Fields with their explanations.
        methods: Methods that made the explanations.
    """
    for method in methods:
        if method in MAP_METHODS:
            for place, name in enumerate(map_names(method, batch.package.channels)):
                yield _method_map(batch, method, name, place if method == "occlusion_channels" else None)
    for kind in COUNTERFACTUAL_KINDS:
        if rows := [row for row, each in enumerate(batch.found) if COUNTERFACTUAL(f"{kind}_map") in each.maps]:
            yield _change_maps(batch, kind, rows)


def _method_map(batch: FieldBatch, method: str, name: str, channel: int | None) -> EvaluatedMap:
    task = build_map_task(batch)

    def recompute(model: nn.Module, images: Tensor, rows: list[int]) -> Tensor:
        return MAP_METHODS[method](replace(task, model=model, images=images, target=task.target[rows])).maps[name]

    errors = [each.numbers.get(f"{name}_completeness_error", np.nan) for each in batch.found]
    maps = torch.from_numpy(np.stack([each.maps[name] for each in batch.found])).to(batch.images)
    return EvaluatedMap(
        name, batch.images, task.target, maps, recompute, channel=channel,
        completeness_error=float(np.median(np.array(errors, float))),
    )  # fmt: skip


def _change_maps(batch: FieldBatch, kind: str, rows: list[int]) -> EvaluatedMap:
    files = [batch.found[row].verified[kind] for row in rows]
    saved = np.stack([batch.scale.apply(file.saved) for file in files])
    originals = batch.images[rows]
    target = torch.tensor([file.target for file in files], device=batch.images.device)

    def recompute(model: nn.Module, images: Tensor, places: list[int]) -> Tensor:
        return change_map(model, originals[places], images, target[places])

    name = COUNTERFACTUAL(f"{kind}_map")
    maps = torch.from_numpy(np.stack([batch.found[row].maps[name] for row in rows])).to(batch.images)
    return EvaluatedMap(name, torch.from_numpy(saved).to(batch.images), target, maps, recompute, fill=originals)
