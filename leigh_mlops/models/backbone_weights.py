"""ImageNet weights of backbones, by torchvision or timm."""

from http.client import HTTPException
from typing import Any

from torch import Tensor

from leigh_mlops.errors import LeighError
from leigh_mlops.models.contract import Network
from leigh_mlops.models.published_weights import fetch_torchvision_weights, socket_timeout
from leigh_mlops.models.trunk import TIMM, require_timm

__all__ = ["fetch_backbone_weights"]

_FREE_LICENCES = ("apache-2.0", "mit", "bsd-3-clause", "bsd-2-clause")
_TRANSFORMED_INPUTS = ("googlenet", "inception_v3")
_DEVIATIONS = (0.229, 0.224, 0.225)
"""Standard deviations of ImageNet's red, green and blue, by which torchvision normalises."""


def fetch_backbone_weights(model: Network) -> dict[str, Tensor]:
    """Return ImageNet weights for a published trunk, named as in ``features``, from a cache or the internet.

    Raises:
        LeighError: They could not be fetched, or their licence is not known to be free.
    """
    name = str(model.published_trunk)
    if name.startswith(TIMM):
        return _fetch_timm(name.removeprefix(TIMM), model.spec.image_size)
    return _fetch_torchvision(name, model)


def _fetch_torchvision(name: str, model: Network) -> dict[str, Tensor]:
    from torchvision import models

    state = dict(fetch_torchvision_weights(models.get_model_weights(name).DEFAULT))
    if name in _TRANSFORMED_INPUTS:
        # Their weights expect (x - 0.5) / 0.5. The shift, a fifth of a deviation at most, is left out.
        stem = str(model.stem).removeprefix("features.")
        state[stem] = state[stem] * state[stem].new_tensor(_DEVIATIONS).view(1, 3, 1, 1) / 0.5
    if name.startswith("vit_"):
        from torchvision.models.vision_transformer import interpolate_embeddings

        trunk: Any = model.features
        state = dict(interpolate_embeddings(model.spec.image_size, trunk.patch_size, state))
    return state


def _fetch_timm(name: str, image_size: int) -> dict[str, Tensor]:
    timm = require_timm(name)
    licence = str(timm.get_pretrained_cfg(name).license or "unknown")
    if licence not in _FREE_LICENCES:
        raise LeighError(
            f"The weights of {TIMM}{name} are under the licence {licence}, which may forbid your work; read it, fetch "
            "them yourself and give --init FILE.safetensors, or train with --init random."
        )
    options: dict[str, Any] = {"pretrained": True, "num_classes": 0}
    try:
        with socket_timeout():
            try:
                trunk = timm.create_model(name, **options, img_size=image_size)
            except TypeError:  # most networks have no size
                trunk = timm.create_model(name, **options)
    except (OSError, RuntimeError, ValueError, HTTPException) as error:
        raise LeighError(
            f"The weights of {TIMM}{name} could not be fetched ({str(error).strip().partition(chr(10))[0]}); connect "
            "to the internet once, or train with --init FILE.safetensors or --init random."
        ) from None
    return dict(trunk.state_dict())
