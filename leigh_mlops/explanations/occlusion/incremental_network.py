"""A network that computes variants of one image from what it computed of the image itself."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn

from leigh_mlops.explanations.occlusion.patched_tensor import PatchedMaps, convolve_patches
from leigh_mlops.models.fused_network import FusedConvolution, fuse_network

__all__ = ["Classifier", "IncrementalNetwork", "variant_network"]

Classifier = Callable[[Tensor], Tensor]


def variant_network(model: nn.Module) -> Callable[[Tensor], Classifier]:
    """Return what makes, from an image (1, C, H, W), the network for its variants: ``model`` itself if not fusible."""
    fused = fuse_network(model)
    if fused is None:
        return lambda image: model
    return lambda image: IncrementalNetwork.for_image(fused, image.contiguous(memory_format=torch.channels_last))


class IncrementalNetwork(fx.Interpreter):
    """Computes patched variants of an image; its own maps are computed once, and those of ordinary images as ever.

    After Krypton (Nakandala et al., SIGMOD 2019, sec. 3), with patches that end at the map's edge.

    Args:
        network: A fused network.
        maps: Result of each step for the image, where it is a map (1, C, H, W).
    """

    def __init__(self, network: fx.GraphModule, maps: Mapping[fx.Node, Tensor]) -> None:
        super().__init__(network)
        self._maps = dict(maps)

    @classmethod
    def for_image(cls, network: fx.GraphModule, image: Tensor) -> "IncrementalNetwork":
        """Compute the maps of an image (1, C, H, W)."""
        recorder = _Recorder(network)
        recorder.run(image)
        return cls(network, recorder.maps)

    def __call__(self, images: Tensor) -> Tensor:
        """Logits (N, K) of images or patched variants (N, C, H, W)."""
        found: Tensor = self.run(images)
        return found

    def run_node(self, n: fx.Node) -> Any:  # noqa: ANN401
        """Compute a step of the graph, convolutions on patches."""
        layer = self.fetch_attr(str(n.target)) if n.op == "call_module" else None
        if isinstance(layer, FusedConvolution):
            maps, *rest = self.fetch_args_kwargs_from_env(n)[0]
            result = convolve_patches(layer, maps, rest[0] if rest else None, self._maps[n])
        else:
            result = super().run_node(n)
        if isinstance(result, PatchedMaps):
            result.clean = self._maps[n]
        return result


class _Recorder(fx.Interpreter):
    """Keeps the maps of each step."""

    def __init__(self, network: fx.GraphModule) -> None:
        super().__init__(network)
        self.maps: dict[fx.Node, Tensor] = {}

    def run_node(self, n: fx.Node) -> Any:  # noqa: ANN401
        result = super().run_node(n)
        if isinstance(result, Tensor) and result.dim() == 4:
            self.maps[n] = result.clone()  # a later step may change it in place
        return result
