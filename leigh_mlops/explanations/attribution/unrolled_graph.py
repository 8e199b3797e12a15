"""Backbones unrolled by their graph of operations, so that explanations can hook each activation and sum."""

import copy
from collections.abc import Callable
from typing import Any, cast

from captum.attr._utils.custom_modules import Addition_Module
from torch import Tensor, fx, nn

from leigh_mlops.explanations.attribution.relu_max_pool import ReluMaxPool
from leigh_mlops.models import Network
from leigh_mlops.models.learner_head import LinearHead

__all__ = ["UnrolledBackbone"]

_LINEAR_LAYERS = (nn.Conv2d, nn.BatchNorm2d, nn.Linear, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.Identity, nn.Flatten)
_RULED_LAYERS = (nn.ReLU, nn.MaxPool2d)
_MOVES = {"flatten", "view", "reshape", "getitem", "getattr", "cat", "concat", "size", "chunk", "transpose", "permute",
          "contiguous", "floordiv"}  # fmt: skip
"""Operations that only move numbers, or work on shapes."""
_SKIPS = (nn.Dropout, nn.Dropout2d, nn.Identity)


class _SpatialMean(nn.Module):
    """Mean over the image, (N, F, h, w) to (N, F)."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)

    def forward(self, maps: Tensor) -> Tensor:
        return cast(Tensor, self.pool(maps)).flatten(1)


class UnrolledBackbone(nn.Module):
    """A copy of a backbone in eval mode that computes the same by a chain of modules, each of which is used once.

    BatchNorms become part of the convolution before them where there is one.

    Args:
        model: Network with a published trunk, in eval mode.
        max_by_relus: Build max pooling from ReLUs, too, for DeepLift alone.

    Attributes:
        opaque: Names of layers and operations that are neither linear nor ReLUs nor max pools, in their order.
    """

    def __init__(self, model: Network, *, max_by_relus: bool = False) -> None:
        # The import takes a while, and most explanations do not need it.
        from torch.fx.experimental.optimization import fuse

        super().__init__()
        plain = copy.deepcopy(model).eval()
        if isinstance(plain.head, LinearHead):
            plain.head = plain.head.to_linear()
        self.graph = cast(Any, fuse(plain))
        self.opaque: list[str] = []
        self._max_by_relus = max_by_relus
        for node in list(self.graph.graph.nodes):
            self._unroll(node)
        self._mark_last_map()
        self.graph.graph.eliminate_dead_code()
        self.graph.delete_all_unused_submodules()
        self.graph.recompile()
        self.opaque = list(dict.fromkeys(self.opaque))
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Scaled images (N, C, H, W) to logits (N, K)."""
        return cast(Tensor, self.graph(images))

    def last_map(self) -> nn.Module | None:
        """Module whose output is the last feature map (N, F, h, w); ``None`` where nothing is pooled."""
        return cast(nn.Module | None, getattr(self.graph, "last_map", None))

    def _unroll(self, node: Any) -> None:  # noqa: ANN401
        if node.op == "call_module":
            self._unroll_module(node, self.graph.get_submodule(node.target))
        elif node.op in ("call_function", "call_method"):
            self._unroll_operation(node)
        elif node.op == "get_attr":
            self.opaque.append("parameters")

    def _unroll_module(self, node: Any, layer: nn.Module) -> None:  # noqa: ANN401
        if isinstance(layer, _SKIPS):
            self._skip(node)
        elif isinstance(layer, nn.ReLU):
            self._replace(node, nn.ReLU(), node.args[:1])
        elif isinstance(layer, nn.MaxPool2d) and self._max_by_relus:
            self._replace(node, ReluMaxPool.like(layer), node.args[:1])
        elif not isinstance(layer, _LINEAR_LAYERS + _RULED_LAYERS):
            self.opaque.append(type(layer).__name__)

    def _unroll_operation(self, node: Any) -> None:  # noqa: ANN401
        name = str(getattr(node.target, "__name__", node.target))
        if name in ("relu", "relu_"):
            self._replace(node, nn.ReLU(), node.args[:1])
        elif name in ("add", "iadd", "add_") and all(isinstance(each, fx.Node) for each in node.args):
            self._replace(node, Addition_Module(), node.args)
        elif name == "mean" and node.args[1:] in (([2, 3],), ((2, 3),)):
            self._replace(node, _SpatialMean(), node.args[:1])
        elif name in ("dropout", "stochastic_depth"):
            self._skip(node)
        elif name in _POOLS and len(node.args) > 1:
            self._replace(node, _POOLS[name](*node.args[1:], **node.kwargs), node.args[:1])
        elif name not in _MOVES:
            self.opaque.append(name)

    def _skip(self, node: Any) -> None:  # noqa: ANN401
        node.replace_all_uses_with(node.args[0])
        self.graph.graph.erase_node(node)

    def _replace(self, node: Any, layer: nn.Module, arguments: Any) -> None:  # noqa: ANN401
        name = f"step_{node.name}"
        self.graph.add_submodule(name, layer)
        with self.graph.graph.inserting_before(node):
            new = self.graph.graph.call_module(name, tuple(arguments))
        node.replace_all_uses_with(new)
        self.graph.graph.erase_node(node)

    def _mark_last_map(self) -> None:
        """Let what is pooled last pass through a module for hooks: a dropout of nothing, which LRP knows."""
        pools = [node for node in self.graph.graph.nodes if node.op == "call_module" and self._is_pool(node)]
        if not pools:
            return
        pooled = pools[-1].args[0]
        self.graph.add_submodule("last_map", nn.Dropout(0.0))
        with self.graph.graph.inserting_before(pools[-1]):
            passage = self.graph.graph.call_module("last_map", (pooled,))
        pools[-1].replace_input_with(pooled, passage)

    def _is_pool(self, node: Any) -> bool:  # noqa: ANN401
        return isinstance(self.graph.get_submodule(node.target), nn.AdaptiveAvgPool2d | _SpatialMean)


_POOLS: dict[str, Callable[..., nn.Module]] = {
    "adaptive_avg_pool2d": nn.AdaptiveAvgPool2d,
    "avg_pool2d": nn.AvgPool2d,
}
