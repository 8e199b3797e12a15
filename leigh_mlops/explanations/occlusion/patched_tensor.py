"""Variants of one image that a network computes only where they differ from it."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from leigh_mlops.explanations.occlusion.receptive_field import SlidingWindow, Span
from leigh_mlops.models.fused_network import FusedConvolution

__all__ = ["MAX_PATCH_SHARE", "PatchedMaps", "convolve_patches"]

MAX_PATCH_SHARE = 0.85
"""Share of a map above which whole maps are computed: cutting out so large a patch costs more than it saves."""

Sides = int | tuple[int, ...]


class PatchedMaps(Tensor):
    """B maps (B, C, H, W) that equal one clean map (1, C, H, W) but for a patch each.

    A network applied to them computes patches only, as long as its operations are local:
    convolution, max-pooling, space to depth, and pixelwise operations. The surroundings that a
    patch needs are cut out of the clean map, with padding at its edges. Patches grow with every
    neighbourhood; where they have become most of the map, or an operation is none of these,
    whole maps are assembled, and the network continues with ordinary tensors. So any network
    can be applied to them, and its result is the same up to rounding. Gradients are not supported.

    Attributes:
        clean: Shape (1, C, H, W).
        patches: Values that differ, shape (B, C, h, w).
        rows: Their positions along H.
        columns: Their positions along W.
    """

    clean: Tensor
    patches: Tensor
    rows: Span
    columns: Span

    @classmethod
    def from_patches(cls, clean: Tensor, patches: Tensor, rows: Span, columns: Span) -> "PatchedMaps":
        """Make maps that have ``patches`` (B, C, rows.size, columns.size) in place of the values of ``clean``."""
        # Backed by one number: enough for a shape, a type and a device.
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
        """Apply an operation by its rule, and one without a rule to whole maps."""
        kwargs = kwargs or {}
        if func in _SHAPE_QUERIES:
            with torch._C.DisableTorchFunctionSubclass():
                return func(*args, **kwargs)
        changes = bool(args) and isinstance(args[0], PatchedMaps) and _is_in_place(func, kwargs)
        result = _RULES[func](*args, **kwargs) if func in _RULES else NotImplemented
        if result is NotImplemented:
            whole = [_unpatch(each) for each in args]
            result = func(*whole, **{name: _unpatch(value) for name, value in kwargs.items()})
            result = whole[0] if changes else result
        return args[0]._overwrite(result) if changes else result

    def to_tensor(self) -> Tensor:
        """Convert to an ordinary tensor (B, C, H, W), channels last in memory."""
        return self.crop(self.rows.full_axis(), self.columns.full_axis())

    def crop(self, rows: Span, columns: Span) -> Tensor:
        """Crop the maps to the patches of other spans, shape (B, C, rows.size, columns.size)."""
        if rows.is_equal(self.rows) and columns.is_equal(self.columns):
            return self.patches
        return self.gather_inputs(rows, columns, (SlidingWindow(1, 1, 0), SlidingWindow(1, 1, 0)), 0.0)

    def gather_inputs(self, rows: Span, columns: Span, sliding: Sequence[SlidingWindow], fill: float) -> Tensor:
        """Gather the inputs from which patches of the spans are computed, with padding of ``fill``."""
        clean = _pad(self.clean, sliding, fill)
        ranges = rows.input_range(sliding[0]), columns.input_range(sliding[1])
        place = self._common_place(*ranges, sliding)
        index = self._pixel_index(*ranges, sliding, clean.shape[2:], place is None)
        pixels = _flatten_pixels(clean)
        table = pixels if place is not None else torch.cat([pixels, _flatten_pixels(self.patches)])
        picked = table.index_select(0, index.flatten()).view(*index.shape, -1).permute(0, 3, 1, 2)
        if place is not None:
            picked[:, :, place[0], place[1]] = self.patches
        return picked

    def _common_place(
        self, rows: tuple[Tensor, int], columns: tuple[Tensor, int], sliding: Sequence[SlidingWindow]
    ) -> tuple[slice, slice] | None:
        """Place of all patches within the inputs; ``None`` where they stand at different places or reach out."""
        found = []
        for (start, size), span, window in zip((rows, columns), (self.rows, self.columns), sliding, strict=True):
            offset = span.start + window.padding - start
            first = int(offset[0])
            if first < 0 or first + span.size > size or not bool((offset == first).all()):
                return None
            found.append(slice(first, first + span.size))
        return found[0], found[1]

    def _pixel_index(
        self,
        rows: tuple[Tensor, int],
        columns: tuple[Tensor, int],
        sliding: Sequence[SlidingWindow],
        padded: Sequence[int],
        with_patches: bool,
    ) -> Tensor:
        """Index of each pixel (B, h, w) among those of the padded clean map, and of the patches that follow it."""
        device, (height, width), count = self.device, self.patches.shape[2:], padded[0] * padded[1]
        down, right = (start.to(device)[:, None] + torch.arange(size, device=device) for start, size in (rows, columns))
        in_clean = down[:, :, None] * padded[1] + right[:, None, :]
        if not with_patches:
            return in_clean
        own = (self.rows.start + sliding[0].padding, self.columns.start + sliding[1].padding)
        down, right = (down - own[0].to(device)[:, None])[:, :, None], (right - own[1].to(device)[:, None])[:, None, :]
        inside = (down >= 0) & (down < height) & (right >= 0) & (right < width)
        first = count + torch.arange(len(self.patches), device=device)[:, None, None] * height * width
        return torch.where(inside, first + down * width + right, in_clean)

    def _overwrite(self, result: Tensor) -> "PatchedMaps":
        """Take over the result of an operation that changes its input in place."""
        if not isinstance(result, PatchedMaps):
            result = PatchedMaps.from_patches(self.clean, result, self.rows.full_axis(), self.columns.full_axis())
        self.clean, self.patches, self.rows, self.columns = result.clean, result.patches, result.rows, result.columns
        return self


def _flatten_pixels(maps: Tensor) -> Tensor:
    """Flatten maps (N, C, H, W) to pixels (N H W, C)."""
    return maps.permute(0, 2, 3, 1).reshape(-1, maps.shape[1])


def _pad(maps: Tensor, sliding: Sequence[SlidingWindow], fill: float) -> Tensor:
    down, right = (each.padding for each in sliding)
    return F.pad(maps, (right, right, down, down), value=fill)


def _unpatch(value: Any) -> Any:  # noqa: ANN401
    if type(value) in (list, tuple):
        return type(value)(map(_unpatch, value))
    return value.to_tensor() if isinstance(value, PatchedMaps) else value


def _is_in_place(func: Callable[..., Any], kwargs: Mapping[str, Any]) -> bool:
    name = func.__name__
    return name in _IN_PLACE or (name.endswith("_") and not name.endswith("__")) or bool(kwargs.get("inplace"))


def convolve_patches(layer: FusedConvolution, maps: Any, other: Any, clean: Tensor) -> Any:  # noqa: ANN401
    """Convolve maps, and add others, where they may differ from the result of the clean map.

    Args:
        layer: The convolution.
        maps: Patched or ordinary maps.
        other: Maps of the result's size, patched or ordinary; ``None`` for none.
        clean: Result of the clean map.

    Returns:
        Patched maps; an ordinary tensor where patches would be most of the map, or arguments are whole.
    """
    sliding = _sliding_windows(tuple(layer.weight.shape[2:]), layer.stride, layer.padding, layer.dilation)
    if isinstance(maps, PatchedMaps) and (other is None or isinstance(other, PatchedMaps)):
        rows, columns = maps.rows.propagate(sliding[0]), maps.columns.propagate(sliding[1])
        if other is not None:
            rows, columns = rows.union(other.rows), columns.union(other.columns)
        if rows.size * columns.size <= MAX_PATCH_SHARE * rows.side * columns.side:
            own = all(each == SlidingWindow(1, 1, 0) for each in sliding)
            inputs = maps.crop(rows, columns) if own else maps.gather_inputs(rows, columns, sliding, 0.0)
            added = None if other is None else other.crop(rows, columns)
            return PatchedMaps.from_patches(clean, layer(inputs, added, padded=False), rows, columns)
    return layer(_unpatch(maps), _unpatch(other))


def _apply_pixelwise(func: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
    """Apply an operation pixel by pixel; arguments that are no maps must be the same for all pixels."""
    maps = [each for each in args if isinstance(each, PatchedMaps)]
    if not all(isinstance(each, PatchedMaps) or _is_uniform(each) for each in args):
        return NotImplemented
    rows, columns = maps[0].rows, maps[0].columns
    for each in maps[1:]:
        rows, columns = rows.union(each.rows), columns.union(each.columns)
    clean = [each.clean if isinstance(each, PatchedMaps) else each for each in args]
    if _is_in_place(func, kwargs):  # the clean map may be that of further variants
        clean[0] = clean[0].clone()
    values = [each.crop(rows, columns) if isinstance(each, PatchedMaps) else each for each in args]
    return PatchedMaps.from_patches(func(*clean, **kwargs), func(*values, **kwargs), rows, columns)


def _is_uniform(other: Any) -> bool:  # noqa: ANN401
    """Return whether a value is no tensor, or one with at most a value per channel, for all pixels and images."""
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

    def normalise(maps: Tensor) -> Tensor:
        return F.batch_norm(maps, running_mean, running_var, weight, bias, False, *rest, **others)

    return _apply_pixelwise(normalise, input)


def _dropout(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:  # noqa: ANN401
    return NotImplemented if training else input


def _pad_channels(input: Any, pad: tuple[int, ...], mode: str = "constant", value: float | None = None) -> Any:  # noqa: ANN401
    if mode != "constant" or len(pad) > 6 or any(pad[:4]):
        return NotImplemented
    return _apply_pixelwise(lambda maps: F.pad(maps, pad, value=value), input)


def _apply_local(op: Callable[[Tensor], Tensor], maps: Any, sliding: Sequence[SlidingWindow], fill: float = 0.0) -> Any:  # noqa: ANN401
    """Apply an operation on neighbourhoods; ``op`` itself does not pad."""
    if not isinstance(maps, PatchedMaps):
        return NotImplemented
    rows, columns = maps.rows.propagate(sliding[0]), maps.columns.propagate(sliding[1])
    if rows.size * columns.size > MAX_PATCH_SHARE * rows.side * columns.side:
        return NotImplemented
    if all(each == SlidingWindow(1, 1, 0) for each in sliding):
        return _apply_pixelwise(op, maps)
    values = op(maps.gather_inputs(rows, columns, sliding, fill))
    return PatchedMaps.from_patches(op(_pad(maps.clean, sliding, fill)), values, rows, columns)


def _sliding_windows(kernel: Sides, stride: Sides, padding: Sides, dilation: Sides = 1) -> list[SlidingWindow]:
    kernel, stride, padding, dilation = (
        (each, each) if isinstance(each, int) else each for each in (kernel, stride, padding, dilation)
    )
    return [SlidingWindow(dilation[i] * (kernel[i] - 1) + 1, stride[i], padding[i]) for i in range(2)]


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
    sliding = _sliding_windows(tuple(weight.shape[2:]), stride, padding, dilation)
    return _apply_local(lambda maps: F.conv2d(maps, weight, bias, stride, 0, dilation, groups), input, sliding)


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
    sliding = _sliding_windows(kernel_size, stride or kernel_size, padding, dilation)
    return _apply_local(lambda maps: F.max_pool2d(maps, kernel_size, stride, 0, dilation), input, sliding, -torch.inf)


def _pixel_unshuffle(input: Any, downscale_factor: int) -> Any:  # noqa: ANN401
    sliding = _sliding_windows(downscale_factor, downscale_factor, 0)
    return _apply_local(lambda maps: F.pixel_unshuffle(maps, downscale_factor), input, sliding)


_SHAPE_QUERIES = {getattr(Tensor, name) for name in ("dim", "size", "numel", "__len__", "is_floating_point")} | {
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
    **{func: partial(_apply_pixelwise, func) for func in _PIXELWISE},
    F.batch_norm: _batch_norm,
    F.dropout: _dropout,
    F.pad: _pad_channels,
    F.conv2d: _conv2d,
    F.max_pool2d: _max_pool2d,
    torch.max_pool2d: _max_pool2d,
    F.pixel_unshuffle: _pixel_unshuffle,
}
