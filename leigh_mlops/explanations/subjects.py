"""Maps of some fields, ready to be checked."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from leigh_mlops.explanations.change_map import change_map
from leigh_mlops.explanations.counterfactuals import KINDS
from leigh_mlops.explanations.field_batch import FieldBatch
from leigh_mlops.explanations.maps import MAPS, map_names
from leigh_mlops.explanations.tasks import map_task

__all__ = ["Subject", "subjects"]


@dataclass(frozen=True)
class Subject:
    """The maps of one name, and what they explain.

    Attributes:
        name: Of the map.
        images: What is explained, scaled, shape (N, C, H, W).
        target: Class that the maps speak for, shape (N,).
        maps: Shape (N, H, W).
        again: The maps (M, H, W) of another network or of other images (M, C, H, W), which stand in the place
            of those with the M numbers.
        fill: What an image is without the explained place, shape (N, C, H, W); None for the training mean.
        channel: The only channel that the maps are about; None for all.
        completeness_error: Of the maps that have one, the median; else NaN.
    """

    name: str
    images: Tensor
    target: Tensor
    maps: Tensor
    again: Callable[[nn.Module, Tensor, list[int]], Tensor]
    fill: Tensor | None = None
    channel: int | None = None
    completeness_error: float = float("nan")


def subjects(batch: FieldBatch, methods: Sequence[str]) -> Iterator[Subject]:
    """Every kind of map among those that were found.

    A change map explains the counterfactual: without the explained place, that is the image again.

    Args:
        batch: Fields with what was found.
        methods: By which it was.
    """
    for method in methods:
        if method in MAPS:
            for place, name in enumerate(map_names(method, batch.package.channels)):
                yield _of_method(batch, method, name, place if method == "occlusion_channels" else None)
    for kind in KINDS:
        if rows := [row for row, each in enumerate(batch.found) if f"counterfactual_{kind}_map" in each.maps]:
            yield _of_changes(batch, kind, rows)


def _of_method(batch: FieldBatch, method: str, name: str, channel: int | None) -> Subject:
    task = map_task(batch)

    def again(model: nn.Module, images: Tensor, rows: list[int]) -> Tensor:
        return MAPS[method](replace(task, model=model, images=images, target=task.target[rows])).maps[name]

    errors = [each.numbers.get(f"{name}_completeness_error", np.nan) for each in batch.found]
    maps = torch.from_numpy(np.stack([each.maps[name] for each in batch.found])).to(batch.images)
    return Subject(
        name, batch.images, task.target, maps, again, channel=channel,
        completeness_error=float(np.median(np.array(errors, float))),
    )  # fmt: skip


def _of_changes(batch: FieldBatch, kind: str, rows: list[int]) -> Subject:
    files = [batch.found[row].certified[kind] for row in rows]
    saved = np.stack([batch.scale.apply(file.saved) for file in files])
    originals = batch.images[rows]
    target = torch.tensor([file.target for file in files], device=batch.images.device)

    def again(model: nn.Module, images: Tensor, places: list[int]) -> Tensor:
        return change_map(model, originals[places], images, target[places])

    name = f"counterfactual_{kind}_map"
    maps = torch.from_numpy(np.stack([batch.found[row].maps[name] for row in rows])).to(batch.images)
    return Subject(name, torch.from_numpy(saved).to(batch.images), target, maps, again, fill=originals)
