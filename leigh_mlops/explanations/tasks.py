"""Conversion of fields to the images and targets that maps explain."""

import numpy as np
import torch

from leigh_mlops.explanations.field_batch import FieldBatch
from leigh_mlops.explanations.maps import MapTask
from leigh_mlops.explanations.targets import choose_target

__all__ = ["build_map_task"]


def build_map_task(batch: FieldBatch) -> MapTask:
    """Build the task of a batch's maps: the context's target, or the predicted class of each field.

    Raises:
        LeighError: The target is no class of the model.
    """
    black = batch.scale.apply(np.zeros((batch.raw.shape[1], 1, 1), np.float32))[:, 0, 0]
    return MapTask(
        model=batch.package.model,
        images=batch.images,
        target=choose_target(batch.context.target, batch.logits, batch.classes, default=batch.logits.argmax(dim=1)),
        channels=batch.package.channels,
        black=torch.from_numpy(black).to(batch.images),
        context=batch.context,
    )
