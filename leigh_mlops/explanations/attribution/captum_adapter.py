"""Networks unrolled to chains of modules that explanations can hook."""

import json
from functools import lru_cache
from typing import Any, cast

import torch
from captum.attr._utils.custom_modules import Addition_Module
from torch import Tensor, nn
from torch.fx.proxy import TraceError
from torch.nn.utils.fusion import fuse_conv_bn_eval

from leigh_mlops.explanations.attribution.relu_max_pool import ReluMaxPool
from leigh_mlops.explanations.attribution.unrolled_graph import UnrolledBackbone
from leigh_mlops.models.contract import ModelSpec, Network
from leigh_mlops.models.families import build_from_spec
from leigh_mlops.models.resnext import ResNeXt

__all__ = ["UnrolledResNeXt", "feature_layer", "opaque_layers", "unroll"]


class _Bottleneck(nn.Module):
    """A block of a ResNeXt whose activations are modules of their own and whose sum is one, too."""

    def __init__(self, block: Any) -> None:  # noqa: ANN401
        super().__init__()
        self.branch = nn.Sequential(
            fuse_conv_bn_eval(block.conv1, block.bn1), nn.ReLU(),
            fuse_conv_bn_eval(block.conv2, block.bn2), nn.ReLU(),
            fuse_conv_bn_eval(block.conv3, block.bn3),
        )  # fmt: skip
        self.shortcut = None if block.downsample is None else fuse_conv_bn_eval(*block.downsample)
        self.add, self.last = Addition_Module(), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        short = x if self.shortcut is None else self.shortcut(x)
        return cast(Tensor, self.last(self.add(self.branch(x), short)))


class UnrolledResNeXt(nn.Module):
    """A copy of a ResNeXt in eval mode that computes the same, for methods that put hooks on modules.

    torchvision's blocks use one activation three times, in place, and add outside of any module, none
    of which DeepLift, guided backpropagation or LRP can follow. Each BatchNorm becomes part of the
    convolution before it, as LRP needs (Montavon et al. 2019, section 10.2.2); its weights are copies.

    Args:
        model: In eval mode.
        max_by_relus: Build max pooling from ReLUs, too, for DeepLift alone.
    """

    def __init__(self, model: ResNeXt, *, max_by_relus: bool = False) -> None:
        super().__init__()
        trunk = model.features
        stages = (trunk.layer1, trunk.layer2, trunk.layer3, trunk.layer4)
        pool = ReluMaxPool() if max_by_relus else nn.MaxPool2d(3, stride=2, padding=1)
        self.stem = nn.Sequential(fuse_conv_bn_eval(trunk.conv1, trunk.bn1), nn.ReLU(), pool)
        self.blocks = nn.Sequential(*(_Bottleneck(block) for stage in stages for block in stage))
        self.pool = nn.AdaptiveAvgPool2d(1)
        linear = [_copy_layer(part) for part in model.head if not isinstance(part, nn.Dropout)]
        self.head = nn.Sequential(*linear)
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Scaled images (N, C, H, W) to logits (N, K)."""
        return cast(Tensor, self.head(self.pool(self.blocks(self.stem(images))).flatten(1)))


def _copy_layer(part: nn.Module) -> nn.Module:
    if not isinstance(part, nn.Linear):
        return nn.ReLU()
    copy = nn.Linear(part.in_features, part.out_features, dtype=part.weight.dtype, device=part.weight.device)
    copy.load_state_dict(part.state_dict())
    return copy


def unroll(model: nn.Module, *, max_by_relus: bool = False) -> nn.Module:
    """Convert a network to a form that can be hooked; one that can't be stays as it is, see `opaque_layers`."""
    if isinstance(model, ResNeXt):
        return UnrolledResNeXt(model, max_by_relus=max_by_relus)
    if isinstance(model, Network) and model.published_trunk:
        try:
            return UnrolledBackbone(model, max_by_relus=max_by_relus)
        except (TraceError, TypeError, ValueError, RuntimeError):  # what it does depends on numbers
            return model
    return model


def opaque_layers(model: nn.Module) -> list[str]:
    """Names of the layers of a published trunk that rules for ReLUs and linear layers do not cover; none for others."""
    if not isinstance(model, Network) or not model.published_trunk:
        return []
    return list(_find_opaque(json.dumps(model.spec.to_json())))


@lru_cache(maxsize=32)
def _find_opaque(spec: str) -> tuple[str, ...]:
    with torch.device("meta"):
        model = build_from_spec(ModelSpec.from_json(json.loads(spec))).eval()
        unrolled = unroll(model)
    if isinstance(unrolled, UnrolledBackbone):
        return tuple(unrolled.opaque)
    return (str(model.published_trunk),)


def feature_layer(model: nn.Module) -> nn.Module | None:
    """Module whose output is the last feature map (N, F, h, w), None where the network has none."""
    if isinstance(model, UnrolledResNeXt):
        return model.blocks
    find = getattr(model, "last_map", None)
    return cast(nn.Module | None, find()) if callable(find) else None
