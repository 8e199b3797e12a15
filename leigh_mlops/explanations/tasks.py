"""From fields to the images and targets that maps explain."""

import numpy as np
import torch

from leigh_mlops.explanations.field_batch import FieldBatch
from leigh_mlops.explanations.maps import MapTask
from leigh_mlops.explanations.targets import choose_target

__all__ = ["map_task"]


def map_task(batch: FieldBatch) -> MapTask:
    """What maps of a batch explain: the context's target, or the class that each field is predicted as.

    Raises:
        LeighError: The target is no class of the model.
    """
    asked = batch.logits.argmax(dim=1) if batch.context.target is None else batch.context.target
    black = batch.scale.apply(np.zeros((batch.raw.shape[1], 1, 1), np.float32))[:, 0, 0]
    return MapTask(
        model=batch.package.model,
        images=batch.images,
        target=choose_target(asked, batch.logits, batch.classes),
        channels=batch.package.channels,
        black=torch.from_numpy(black).to(batch.images),
        context=batch.context,
    )
