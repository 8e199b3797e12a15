"""Variants of one image that a network computes only where they differ from it."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from leigh_mlops.explanations.occlusion_spans import Sliding, Span

__all__ = ["PATCH_SHARE", "PatchedMaps"]

PATCH_SHARE = 0.7
"""From this share of a map on whole maps are computed: cutting out so large a patch costs more than it saves."""

Sides = int | tuple[int, ...]


class PatchedMaps(Tensor):
    """B maps (B, C, H, W) that equal one clean map (1, C, H, W) but for a patch each.

    A network that is given them computes patches only, as long as its operations look at a
    neighbourhood: convolution, max-pooling, space to depth, and whatever goes pixel by pixel.
    What a patch needs around it is cut out of the clean map, padding where the map ends. Patches
    grow with every neighbourhood; where they have become most of the map, or an operation is none
    of these, whole maps are put together, and the network goes on with ordinary tensors. So any
    network may be given them, and its answer is the same up to rounding. Gradients do not pass.

    Attributes:
        clean: Shape (1, C, H, W).
        patches: What differs, shape (B, C, h, w).
        rows: Where they stand along H.
        columns: Where they stand along W.
    """

    clean: Tensor
    patches: Tensor
    rows: Span
    columns: Span

    @classmethod
    def of(cls, clean: Tensor, patches: Tensor, rows: Span, columns: Span) -> "PatchedMaps":
        """Maps with ``patches`` (B, C, rows.size, columns.size) in place of what ``clean`` has there."""
        # One number stands behind them: enough for a shape, a type and a device.
        maps = clean.new_empty(()).expand(len(patches), clean.shape[1], rows.side, columns.side).as_subclass(cls)
        maps.clean, maps.patches, maps.rows, maps.columns = clean, patches, rows, columns
        return maps

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        """Answer an operation by its rule, and one without a rule on whole maps."""
        kwargs = kwargs or {}
        if func in _ABOUT_SHAPE:
            with torch._C.DisableTorchFunctionSubclass():
                return func(*args, **kwargs)
        changes = bool(args) and isinstance(args[0], PatchedMaps) and _changes_its_input(func, kwargs)
        result = _RULES[func](*args, **kwargs) if func in _RULES else NotImplemented
        if result is NotImplemented:
            whole = [_whole(each) for each in args]
            result = func(*whole, **{name: _whole(value) for name, value in kwargs.items()})
            result = whole[0] if changes else result
        return args[0]._become(result) if changes else result

    def whole(self) -> Tensor:
        """As an ordinary tensor (B, C, H, W), channels last in memory."""
        return self.cut(self.rows.everything(), self.columns.everything())

    def cut(self, rows: Span, columns: Span) -> Tensor:
        """What the maps have where patches of other spans stand, shape (B, C, rows.size, columns.size)."""
        if rows.same(self.rows) and columns.same(self.columns):
            return self.patches
        return self.beneath(rows, columns, (Sliding(1, 1, 0), Sliding(1, 1, 0)), 0.0)

    def beneath(self, rows: Span, columns: Span, sliding: Sequence[Sliding], fill: float) -> Tensor:
        """All that windows see whose results stand in patches of the spans, padding of ``fill`` included."""
        clean = _pad(self.clean, sliding, fill)
        index = self._index(rows.beneath(sliding[0]), columns.beneath(sliding[1]), sliding, clean.shape[2:])
        table = torch.cat([_pixels(clean), _pixels(self.patches)])
        picked = table.index_select(0, index.flatten())
        return picked.view(*index.shape, -1).permute(0, 3, 1, 2)

    def _index(
        self, rows: tuple[Tensor, int], columns: tuple[Tensor, int], sliding: Sequence[Sliding], padded: Sequence[int]
    ) -> Tensor:
        """For each pixel (B, h, w) its place among those of the padded clean map, or of the patches behind them."""
        device, (height, width), count = self.device, self.patches.shape[2:], padded[0] * padded[1]
        down, right = (start.to(device)[:, None] + torch.arange(size, device=device) for start, size in (rows, columns))
        in_clean = down[:, :, None] * padded[1] + right[:, None, :]
        own = (self.rows.start + sliding[0].padding, self.columns.start + sliding[1].padding)
        down, right = (down - own[0].to(device)[:, None])[:, :, None], (right - own[1].to(device)[:, None])[:, None, :]
        inside = (down >= 0) & (down < height) & (right >= 0) & (right < width)
        first = count + torch.arange(len(self.patches), device=device)[:, None, None] * height * width
        return torch.where(inside, first + down * width + right, in_clean)

    def _become(self, result: Tensor) -> "PatchedMaps":
        """Hold what an operation that changes its input has made of it."""
        if not isinstance(result, PatchedMaps):
            result = PatchedMaps.of(self.clean, result, self.rows.everything(), self.columns.everything())
        self.clean, self.patches, self.rows, self.columns = result.clean, result.patches, result.rows, result.columns
        return self


def _pixels(maps: Tensor) -> Tensor:
    """(N, C, H, W) as pixels (N H W, C)."""
    return maps.permute(0, 2, 3, 1).reshape(-1, maps.shape[1])


def _pad(maps: Tensor, sliding: Sequence[Sliding], fill: float) -> Tensor:
    down, right = (each.padding for each in sliding)
    return F.pad(maps, (right, right, down, down), value=fill)


def _whole(value: Any) -> Any:  # noqa: ANN401
    if type(value) in (list, tuple):
        return type(value)(map(_whole, value))
    return value.whole() if isinstance(value, PatchedMaps) else value


def _changes_its_input(func: Callable[..., Any], kwargs: Mapping[str, Any]) -> bool:
    name = func.__name__
    return name in _IN_PLACE or (name.endswith("_") and not name.endswith("__")) or bool(kwargs.get("inplace"))


def _pixelwise(func: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
    """Each pixel from the same pixel of all maps; whatever else is given is the same for all pixels."""
    maps = [each for each in args if isinstance(each, PatchedMaps)]
    if not all(isinstance(each, PatchedMaps) or _same_everywhere(each) for each in args):
        return NotImplemented
    rows, columns = maps[0].rows, maps[0].columns
    for each in maps[1:]:
        rows, columns = rows.together(each.rows), columns.together(each.columns)
    clean = [each.clean if isinstance(each, PatchedMaps) else each for each in args]
    values = [each.cut(rows, columns) if isinstance(each, PatchedMaps) else each for each in args]
    return PatchedMaps.of(func(*clean, **kwargs), func(*values, **kwargs), rows, columns)


def _same_everywhere(other: Any) -> bool:  # noqa: ANN401
    """Whether it is no tensor, or one with at most a value per channel, for all pixels and images."""
    if not isinstance(other, Tensor) or other.dim() == 0:
        return True
    return other.dim() in (3, 4) and other.shape[-2:] == (1, 1) and other.shape[:-3] in ((), (1,))


def _batch_norm(
    input: Any,  # noqa: ANN401
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    *rest: float,
    **others: float,
) -> Any:  # noqa: ANN401
    if training:
        return NotImplemented

    def normalised(maps: Tensor) -> Tensor:
        return F.batch_norm(maps, running_mean, running_var, weight, bias, False, *rest, **others)

    return _pixelwise(normalised, input)


def _dropout(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:  # noqa: ANN401
    return NotImplemented if training else input


def _pad_channels(input: Any, pad: tuple[int, ...], mode: str = "constant", value: float | None = None) -> Any:  # noqa: ANN401
    if mode != "constant" or len(pad) > 6 or any(pad[:4]):
        return NotImplemented
    return _pixelwise(lambda maps: F.pad(maps, pad, value=value), input)


def _local(op: Callable[[Tensor], Tensor], maps: Any, sliding: Sequence[Sliding], fill: float = 0.0) -> Any:  # noqa: ANN401
    """Each pixel from its neighbourhood; ``op`` itself pads nothing."""
    if not isinstance(maps, PatchedMaps):
        return NotImplemented
    rows, columns = maps.rows.through(sliding[0]), maps.columns.through(sliding[1])
    if rows.size * columns.size > PATCH_SHARE * rows.side * columns.side:
        return NotImplemented
    if all(each == Sliding(1, 1, 0) for each in sliding):
        return _pixelwise(op, maps)
    values = op(maps.beneath(rows, columns, sliding, fill))
    return PatchedMaps.of(op(_pad(maps.clean, sliding, fill)), values, rows, columns)


def _sliding(kernel: Sides, stride: Sides, padding: Sides, dilation: Sides = 1) -> list[Sliding]:
    kernel, stride, padding, dilation = (
        (each, each) if isinstance(each, int) else each for each in (kernel, stride, padding, dilation)
    )
    return [Sliding(dilation[i] * (kernel[i] - 1) + 1, stride[i], padding[i]) for i in range(2)]


def _conv2d(
    input: Any,  # noqa: ANN401
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sides = 1,
    padding: Sides | str = 0,
    dilation: Sides = 1,
    groups: int = 1,
) -> Any:  # noqa: ANN401
    if isinstance(padding, str):
        return NotImplemented
    sliding = _sliding(tuple(weight.shape[2:]), stride, padding, dilation)
    return _local(lambda maps: F.conv2d(maps, weight, bias, stride, 0, dilation, groups), input, sliding)


def _max_pool2d(
    input: Any,  # noqa: ANN401
    kernel_size: Sides,
    stride: Sides | None = None,
    padding: Sides = 0,
    dilation: Sides = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:  # noqa: ANN401
    if ceil_mode or return_indices:
        return NotImplemented
    sliding = _sliding(kernel_size, stride or kernel_size, padding, dilation)
    return _local(lambda maps: F.max_pool2d(maps, kernel_size, stride, 0, dilation), input, sliding, -torch.inf)


def _pixel_unshuffle(input: Any, downscale_factor: int) -> Any:  # noqa: ANN401
    sliding = _sliding(downscale_factor, downscale_factor, 0)
    return _local(lambda maps: F.pixel_unshuffle(maps, downscale_factor), input, sliding)


_ABOUT_SHAPE = {getattr(Tensor, name) for name in ("dim", "size", "numel", "__len__", "is_floating_point")} | {
    getattr(Tensor, name).__get__ for name in ("shape", "dtype", "device", "ndim", "is_cuda", "requires_grad")
}
_IN_PLACE = {"__iadd__", "__isub__", "__imul__", "__itruediv__", "__setitem__"}
_PIXELWISE = [
    *(F.relu, F.elu, F.leaky_relu, F.silu, F.gelu, torch.relu, torch.sigmoid, torch.tanh, Tensor.contiguous),
    *(torch.add, torch.sub, torch.mul, torch.div),
    *(getattr(Tensor, name) for name in ("add", "sub", "mul", "div", "add_", "sub_", "mul_", "div_")),
    *(getattr(Tensor, f"__{i}{name}__") for name in ("add", "sub", "mul", "truediv") for i in ("", "i")),
]
_RULES: dict[Any, Callable[..., Any]] = {
    **{func: partial(_pixelwise, func) for func in _PIXELWISE},
    F.batch_norm: _batch_norm,
    F.dropout: _dropout,
    F.pad: _pad_channels,
    F.conv2d: _conv2d,
    F.max_pool2d: _max_pool2d,
    torch.max_pool2d: _max_pool2d,
    F.pixel_unshuffle: _pixel_unshuffle,
}
