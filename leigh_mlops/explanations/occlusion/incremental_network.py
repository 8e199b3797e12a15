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

    Attributes:
        shares: Share of each map that the patches of the last variants took, 0 to 1; 1 for whole maps.
    """

    def __init__(self, network: fx.GraphModule, maps: Mapping[fx.Node, Tensor]) -> None:
        super().__init__(network)
        self._maps, self.shares = dict(maps), dict.fromkeys(maps, 1.0)

    @classmethod
    def for_image(cls, network: fx.GraphModule, image: Tensor) -> "IncrementalNetwork":
        """Compute the maps of an image (1, C, H, W)."""
        recorder = _Recorder(network)
        recorder.run(image)
        return cls(network, recorder.maps)

    def __call__(self, images: Tensor) -> Tensor:
        """Logits (N, K) of images or patched variants (N, C, H, W); maps (N, ...) of a network that ends at a step."""
        found: Tensor = self.run(images)
        return found

    def bottlenecks(self) -> list[fx.Node]:
        """Steps of whose results later steps need only their map (1, C, H, W), in their order."""
        found, reach = [], -1
        place = {node: number for number, node in enumerate(self.graph.nodes)}
        for node, number in place.items():
            if node in self._maps and reach <= number:
                found.append(node)
            reach = max([reach, *(place[user] for user in node.users)])
        return found

    def first_part(self, step: fx.Node) -> "IncrementalNetwork":
        """Return the part of the network from the image to a step."""
        graph, copies = fx.Graph(), dict[fx.Node, fx.Node]()
        for node in self.graph.nodes:
            copies[node] = graph.node_copy(node, copies.__getitem__)
            if node is step:
                break
        graph.output(copies[step])
        module = fx.GraphModule(self.module, graph)
        return IncrementalNetwork(module, {copies[node]: self._maps[node] for node in copies if node in self._maps})

    def linearise(self, target: int, step: fx.Node) -> tuple[Tensor, Tensor]:
        """Map of the image after a bottleneck, and the gradient of a logit there, each (1, C, H, W)."""
        before = list(self.graph.nodes)
        known: dict[fx.Node, Any] = {node: self._maps.get(node) for node in before[: before.index(step)]}
        with torch.enable_grad():
            leaf = known[step] = self._maps[step].detach().requires_grad_()
            logits = fx.Interpreter(self.module).run(initial_env=known)
            return self._maps[step], torch.autograd.grad(logits[0, target], leaf)[0]

    def run_node(self, n: fx.Node) -> Any:  # noqa: ANN401
        """Compute a step of the graph, convolutions on patches."""
        layer = self.fetch_attr(str(n.target)) if n.op == "call_module" else None
        if isinstance(layer, FusedConvolution):
            maps, *rest = self.fetch_args_kwargs_from_env(n)[0]
            result = convolve_patches(layer, maps, rest[0] if rest else None, self._maps[n])
        else:
            result = super().run_node(n)
        if n in self._maps:
            self.shares[n] = 1.0
        if isinstance(result, PatchedMaps) and n in self._maps:  # not so the output, a step's result given again
            result.clean = self._maps[n]
            self.shares[n] = result.rows.size * result.columns.size / (result.rows.side * result.columns.side)
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
