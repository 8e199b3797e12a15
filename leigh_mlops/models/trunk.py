"""Trunks of published classifiers: all that comes before the last linear layer."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, cast

import torch
from torch import nn

from leigh_mlops.errors import LeighError

__all__ = ["TIMM", "build_trunk", "find_stem", "replace_module", "require_timm"]

TIMM = "timm:"
"""Prefix of the names of networks of timm."""
_HEADS = ("fc", "classifier", "heads", "head")
"""Names of the module that torchvision's networks end with."""
_NO_AUXILIARY_HEADS = {"aux_logits": False, "init_weights": True}


def build_trunk(name: str, *, channels: int, image_size: int, hidden: bool) -> nn.Module:
    """Build the trunk of a published classifier with fresh weights: images (N, C, S, S) to features (N, D, ...).

    Args:
        name: Name in torchvision's registry of classifiers, or ``timm:NAME``.
        channels: Image channels C; for other than 3 the first convolution is replaced.
        image_size: S in pixels, of which the networks with positions have as many.
        hidden: Keep the hidden layers of the published head; without them, what comes last is pooled to its mean
            over the image. Networks of timm always keep theirs.

    Raises:
        LeighError: There is no such network, it has no hidden layers that could be kept, its size is fixed and
            another one, or timm is not installed.
    """
    if name.startswith(TIMM):
        return _build_timm(name.removeprefix(TIMM), channels, image_size)
    trunk = _build_torchvision(name, image_size)
    _remove_head(name, trunk, hidden)
    if channels != 3:
        _replace_stem(trunk, channels)
    return trunk


def find_stem(trunk: nn.Module) -> str:
    """Name of the first convolution of a trunk.

    Raises:
        LeighError: There is none.
    """
    for name, module in trunk.named_modules():
        if isinstance(module, nn.Conv2d):
            return str(name)
    raise LeighError(f"{type(trunk).__name__} does not begin with a convolution; choose another backbone.")


def replace_module(trunk: nn.Module, name: str, new: nn.Module) -> None:
    """Put another module in place of the one with a name such as ``layer1.0.conv1``."""
    parent, _, last = name.rpartition(".")
    setattr(trunk.get_submodule(parent), last, new)


def _build_torchvision(name: str, image_size: int) -> nn.Module:
    # The import takes seconds, and workers of other families do not need it.
    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        raise LeighError(
            f"backbone is {name!r}; choose a classifier of torchvision ({', '.join(known)}), or timm:NAME for one of "
            "timm."
        )
    options: dict[str, Any] = {}
    if name in ("googlenet", "inception_v3"):
        options = _NO_AUXILIARY_HEADS
    elif name.startswith("vit_"):
        options = {"image_size": image_size}
    elif name.startswith("maxvit_"):
        options = {"input_size": (image_size, image_size)}
    try:
        with _widths_with_values():
            return cast(nn.Module, models.get_model(name, weights=None, **options))
    except (RuntimeError, ValueError) as error:
        raise LeighError(f"{name} can't be built for images of {image_size} pixels ({_first_line(error)}).") from None


@contextmanager
def _widths_with_values() -> Iterator[None]:
    """Let torchvision compute the widths of RegNets in tensors with values, where networks are built without memory."""
    from torchvision.models.regnet import BlockParams

    compute = BlockParams.from_init_params

    def compute_on_cpu(**numbers: Any) -> Any:  # noqa: ANN401
        with torch.device("cpu"):
            return compute(**numbers)

    BlockParams.from_init_params = compute_on_cpu
    try:
        yield
    finally:
        BlockParams.from_init_params = compute


def require_timm(name: str) -> Any:  # noqa: ANN401
    """Return the module ``timm``, which knows a name.

    Raises:
        LeighError: It is not installed, or does not know the name.
    """
    if find_spec("timm") is None:
        raise LeighError(
            f"backbone is {TIMM}{name}, and timm is not installed; install leigh_mlops[timm], or choose a network of "
            "torchvision such as resnet18."
        )
    import timm

    # Anything but a name of the registry, such as hf-hub:…, might be fetched from elsewhere.
    if not name.replace("_", "").replace(".", "").isalnum() or not timm.is_model(name):
        raise LeighError(f"backbone is {TIMM}{name}, which timm does not know; timm.list_models() lists its networks.")
    return timm


def _build_timm(name: str, channels: int, image_size: int) -> nn.Module:
    create = require_timm(name).create_model
    options = {"pretrained": False, "num_classes": 0, "in_chans": channels}
    try:
        return cast(nn.Module, create(name, **options, img_size=image_size))
    except TypeError:  # most networks have no size
        return cast(nn.Module, create(name, **options))


def _remove_head(name: str, trunk: nn.Module, hidden: bool) -> None:
    """Remove the last linear layer, and what else belongs to the head unless it is to be kept."""
    key = next(key for key in _HEADS if isinstance(getattr(trunk, key, None), nn.Module))
    head = getattr(trunk, key)
    layers = list(head) if isinstance(head, nn.Sequential) else [head]
    if hidden and not isinstance(layers[-1], nn.Linear):
        raise LeighError(f"The published head of {name} does not end with a linear layer; set head to linear.")
    kept = layers[:-1] if hidden else _layers_before_hidden(layers)
    if not hidden and isinstance(getattr(trunk, "avgpool", None), nn.AdaptiveAvgPool2d):
        trunk.avgpool = nn.AdaptiveAvgPool2d(1)
    setattr(trunk, key, nn.Sequential(*kept) if kept else nn.Identity())


def _layers_before_hidden(layers: list[nn.Module]) -> list[nn.Module]:
    """Norms and pools that come before the first layer of a head; a pool where the head is a convolution."""
    linear = next((at for at, layer in enumerate(layers) if isinstance(layer, nn.Linear)), None)
    if linear is None:
        return [nn.AdaptiveAvgPool2d(1)]
    return [layer for layer in layers[:linear] if not isinstance(layer, nn.Dropout)]


def _replace_stem(trunk: nn.Module, channels: int) -> None:
    name = find_stem(trunk)
    old = cast(nn.Conv2d, trunk.get_submodule(name))
    new = nn.Conv2d(
        channels,
        old.out_channels,
        cast(tuple[int, int], old.kernel_size),
        cast(tuple[int, int], old.stride),
        old.padding if isinstance(old.padding, str) else cast(tuple[int, int], old.padding),
        bias=old.bias is not None,
    )
    replace_module(trunk, name, new)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
