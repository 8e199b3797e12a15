"""Typical images of the target class, to which the counterfactuals of an invertible network lead."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from leigh_mlops.explanations.capabilities import require_capabilities
from leigh_mlops.explanations.eval_mode import evaluating
from leigh_mlops.images import IntensityScale
from leigh_mlops.models import ModelPackage
from leigh_mlops.models.transport import TRANSPORT, drop_small_changes, round_to_steps

__all__ = ["Endpoints", "mapped_fields", "typical_endpoints"]

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]


class Endpoints(NamedTuple):
    """Typical images T(x) of N images x, and their latents.

    Attributes:
        images: T(x), scaled, shape (N, C, H, W).
        latents: f(T(x)), shape (N, ...).
    """

    images: Tensor
    latents: Tensor


def mapped_fields(
    package: ModelPackage, raw: Floats, source: Indices, target: Indices, name: str = TRANSPORT
) -> Floats:
    """Fields after a map between classes, in raw intensities.

    Intensities stay within the range of the file type and lie in the steps of the original, and changes below the
    dead band are dropped.

    Args:
        package: Model with maps between classes.
        raw: Raw intensities, shape (N, C, S, S).
        source: Class that each leads from, shape (N,).
        target: Class that each leads to, shape (N,).
        name: Name of the map, see `ClassMaps`.

    Returns:
        Raw intensities, shape (N, C, S, S).

    Raises:
        LeighError: There is no such map.
    """
    scale = IntensityScale.from_json(package.scale)
    changed = scale.invert(package.class_maps.apply(name, scale.apply(raw), source, target))
    changed = round_to_steps(raw, np.clip(changed, 0, scale.full_scale))
    return drop_small_changes(raw, changed, scale.full_scale)


def typical_endpoints(package: ModelPackage, raw: Floats, source: Indices, target: Indices) -> Endpoints:
    """Typical images of the target class, and their latents.

    Args:
        package: Invertible model with a transport for each pair of classes that occurs.
        raw: Raw intensities, shape (N, C, S, S).
        source: Predicted class of each, shape (N,).
        target: Class that each leads to, shape (N,).

    Raises:
        LeighError: There is no transport, or the model cannot encode.
    """
    network = require_capabilities(package.model, ("encode",), "counterfactual")
    typical = IntensityScale.from_json(package.scale).apply(mapped_fields(package, raw, source, target))
    images = torch.from_numpy(typical.astype(np.float32)).to(next(package.model.parameters()).device)
    with evaluating(package.model):
        return Endpoints(images, network.encode(images))
