"""Networks for inference alone: normalisations, sums and ReLUs become part of the convolutions before them."""

import copy
import operator
from typing import Any, cast

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

__all__ = ["FusedConvolution", "fuse_network"]

_SUMS = (operator.add, operator.iadd, torch.add)
_RELUS = (F.relu, torch.relu)

_PACKED_FOR = 32
"""Images of a batch for which weights are ordered; others take the same order."""

Pair = tuple[int, int]


class FusedConvolution(nn.Module):
    """A convolution, the sum with another map, and the ReLU, in one pass over memory where oneDNN can.

    Args:
        layer: Convolution with zeros as padding.
        relu: Whether the ReLU follows.
        overwrites: Whether the other map is needed by nobody afterwards, so that its memory may hold the result.
    """

    def __init__(self, layer: nn.Conv2d, relu: bool, overwrites: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(layer.weight.detach().contiguous(memory_format=torch.channels_last), False)
        self.bias = None if layer.bias is None else nn.Parameter(layer.bias.detach(), False)
        self.stride, self.dilation = cast(Pair, layer.stride), cast(Pair, layer.dilation)
        self.padding, self.groups, self.relu = cast(Pair, layer.padding), layer.groups, relu
        self.overwrites = overwrites
        self._packed: Tensor | None = None

    def forward(self, images: Tensor, other: Tensor | None = None, *, padded: bool = True) -> Tensor:
        """Maps (N, C, H, W) to maps (N, F, H', W').

        Args:
            images: The maps.
            other: Maps (N, F, H', W') that are added before the ReLU.
            padded: Whether the layer pads; otherwise the maps have been.
        """
        padding = self.padding if padded else (0, 0)
        has_gradient = torch.is_grad_enabled() and images.requires_grad
        if has_gradient or images.device.type != "cpu" or images.dtype not in (torch.float32, torch.bfloat16):
            return self._convolve_in_steps(images, other, padding)
        ops, weight = torch.ops.mkldnn, self._ordered_weight(images)
        how = list(padding), list(self.stride), list(self.dilation), self.groups
        if other is None:
            last = "relu" if self.relu else "none"
            return cast(Tensor, ops._convolution_pointwise(images, weight, self.bias, *how, last, [], ""))
        end: tuple[Any, ...] = ("add", 1.0, "relu" if self.relu else None, [], None)
        if self.overwrites:
            return cast(Tensor, ops._convolution_pointwise_.binary(other, images, weight, self.bias, *how, *end))
        return cast(Tensor, ops._convolution_pointwise.binary(images, other, weight, self.bias, *how, *end))

    def _ordered_weight(self, images: Tensor) -> Tensor:
        """Weight in the order in which oneDNN multiplies; those of groups are faster as they are."""
        if self.groups > 1:
            return self.weight
        if self._packed is None or self._packed.dtype != self.weight.dtype:
            size = [_PACKED_FOR, *images.shape[1:]]
            how = list(self.padding), list(self.stride), list(self.dilation), self.groups
            self._packed = torch.ops.mkldnn._reorder_convolution_weight(self.weight.detach(), *how, size)
        return self._packed

    def _convolve_in_steps(self, images: Tensor, other: Tensor | None, padding: Pair) -> Tensor:
        maps = F.conv2d(images, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)
        if other is not None:
            maps += other
        return maps.relu_() if self.relu else maps


def fuse_network(network: nn.Module) -> fx.GraphModule | None:
    """Copy a network in eval mode for inference without gradients; ``None`` where its graph can't be traced.

    The copy has the weights of now, and its results are those of the network up to rounding.
    """
    # The import takes a while, and most of what loads a network does not need it.
    from torch.fx.experimental.optimization import fuse

    try:
        graph = cast(fx.GraphModule, fuse(copy.deepcopy(network).eval(), inplace=True))
    except (fx.proxy.TraceError, TypeError, ValueError, AttributeError, RuntimeError):  # steps that depend on values
        return None
    for node in list(graph.graph.nodes):
        _fuse_relu(graph, node)
    graph.graph.eliminate_dead_code()
    for node in list(graph.graph.nodes):
        if _is_convolution(graph, node):
            _replace(graph, node, node, None, relu=False)
    graph.delete_all_unused_submodules()
    graph.recompile()
    return graph.eval()


def _fuse_relu(graph: fx.GraphModule, node: fx.Node) -> None:
    """Make a ReLU, and the sum before it where there is one, part of the convolution before."""
    if not _is_relu(graph, node):
        return
    before = node.args[0]
    if not isinstance(before, fx.Node) or len(before.users) > 1:
        return
    if _is_convolution(graph, before):
        _replace(graph, node, before, None, relu=True)
    elif before.op == "call_function" and before.target in _SUMS:
        first, second = cast(tuple[Any, Any], before.args[:2])
        if _is_convolution(graph, first) and len(first.users) == 1 and isinstance(second, fx.Node):
            _replace(graph, node, first, second, relu=True)


def _is_relu(graph: fx.GraphModule, node: fx.Node) -> bool:
    if node.op == "call_module":
        return isinstance(graph.get_submodule(str(node.target)), nn.ReLU)
    return node.op == "call_function" and node.target in _RELUS


def _is_convolution(graph: fx.GraphModule, node: Any) -> bool:  # noqa: ANN401
    if not isinstance(node, fx.Node) or node.op != "call_module":
        return False
    layer = graph.get_submodule(str(node.target))
    return type(layer) is nn.Conv2d and layer.padding_mode == "zeros" and not isinstance(layer.padding, str)


def _is_used_last(graph: fx.GraphModule, maps: fx.Node, node: fx.Node) -> bool:
    """Return whether no step after a node needs some maps, which are in memory of their own."""
    order = {each: place for place, each in enumerate(graph.graph.nodes)}
    others = [user for user in maps.users if user not in node.all_input_nodes]  # what they make may be views
    return all(_has_own_memory(graph, each) for each in (maps, *others)) and all(
        order[user] <= order[node] for user in maps.users
    )


def _has_own_memory(graph: fx.GraphModule, node: fx.Node) -> bool:
    return node.op == "call_module" and isinstance(graph.get_submodule(str(node.target)), _OWN_MEMORY)


def _replace(graph: fx.GraphModule, node: fx.Node, convolution: fx.Node, other: fx.Node | None, *, relu: bool) -> None:
    """Put a fused convolution in place of a node, the last of those that it computes."""
    name = f"fused_{node.name}"
    layer = cast(nn.Conv2d, graph.get_submodule(str(convolution.target)))
    overwrites = other is not None and _is_used_last(graph, other, node)
    graph.add_submodule(name, FusedConvolution(layer, relu, overwrites))
    arguments = (convolution.args[0],) if other is None else (convolution.args[0], other)
    with graph.graph.inserting_before(node):
        node.replace_all_uses_with(graph.graph.call_module(name, arguments))
    graph.graph.erase_node(node)


_OWN_MEMORY = (FusedConvolution, nn.Conv2d, nn.MaxPool2d)
"""Layers whose result is no view and no input changed in place."""
