"""Layout of a trunk: its stages, its last feature map and its number of features, found without computing any."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby

import torch
from torch import Tensor, nn

from leigh_mlops.errors import LeighError
from leigh_mlops.models.trunk import build_trunk

__all__ = ["TrunkLayout", "trunk_layout"]

_PUBLISHED_SIZE, _SIZE_STEP, _LARGEST_SIZE = 224, 32, 512
_FAILURES = (LeighError, RuntimeError, ValueError, AssertionError)
"""Exceptions by which networks refuse an image size."""


@dataclass(frozen=True)
class TrunkLayout:
    """Layout of a trunk.

    Attributes:
        width: Number D of features.
        stages: Names of the modules of each stage, from the image on. A stage ends where the resolution falls;
            hidden layers of the head are a stage of their own. A single stage with the name of the trunk itself,
            which is empty, where it holds weights outside of its modules.
        last_map: Name of the module whose output is the last feature map (N, F, h, w); ``None`` where there is none.
    """

    width: int
    stages: tuple[tuple[str, ...], ...]
    last_map: str | None

    def stage_modules(self, trunk: nn.Module) -> list[list[nn.Module]]:
        """Modules of each stage of a trunk with this layout."""
        return [[trunk.get_submodule(name) for name in stage] for stage in self.stages]

    def last_map_module(self, trunk: nn.Module) -> nn.Module | None:
        """Module of a trunk with this layout whose output is the last feature map; ``None`` where there is none."""
        return None if self.last_map is None else trunk.get_submodule(self.last_map)


@dataclass(frozen=True)
class _Unit:
    """Module of a trunk with its output: side of its map in pixels, 0 for none; whether channels come second."""

    name: str
    module: nn.Module
    side: int = 0
    channels_first: bool = False

    @property
    def is_pool(self) -> bool:
        """Return whether it pools, and has no weights."""
        pools = any("Adaptive" in type(part).__name__ for part in self.module.modules())
        return pools and not self.has_state

    @property
    def has_state(self) -> bool:
        """Return whether it has weights or statistics."""
        return bool(self.module.state_dict())


@lru_cache(maxsize=64)
def trunk_layout(name: str, channels: int, image_size: int, hidden: bool) -> TrunkLayout:
    """Find the layout of a trunk; stages and last map are those at the published size of 224 pixels.

    Args:
        name: As for :func:`build_trunk`.
        channels: Image channels.
        image_size: Side of the images in pixels.
        hidden: As for :func:`build_trunk`.

    Raises:
        LeighError: There is no such network, or it does not take images of this size or number of channels.
    """
    described = _trace(name, channels, _PUBLISHED_SIZE, hidden)
    try:
        return replace(described, width=_trace(name, channels, image_size, hidden).width)
    except _FAILURES:
        sizes = sorted(range(_SIZE_STEP, _LARGEST_SIZE + 1, _SIZE_STEP), key=lambda size: abs(size - image_size))
        able = (size for size in sizes if _is_possible(name, channels, size, hidden))
        raise LeighError(
            f"{name} does not take images of {image_size} pixels; set image_size to {next(able, _PUBLISHED_SIZE)}, the "
            "nearest that it takes, or choose another backbone."
        ) from None


def _is_possible(name: str, channels: int, size: int, hidden: bool) -> bool:
    try:
        _trace(name, channels, size, hidden)
    except _FAILURES:
        return False
    return True


def _trace(name: str, channels: int, size: int, hidden: bool) -> TrunkLayout:
    with torch.device("meta"), torch.no_grad():
        trunk = build_trunk(name, channels=channels, image_size=size, hidden=hidden).eval()
        units = {unit.name: unit for unit in _find_units(trunk)}
        called: dict[str, _Unit] = {}
        hooks = [unit.module.register_forward_hook(_recorder(unit, called)) for unit in units.values()]
        width = trunk(torch.empty(1, channels, size, size)).flatten(1).shape[1]
        for hook in hooks:
            hook.remove()
    found = list(called.values())
    covered = sum(len(list(unit.module.parameters())) for unit in found)
    if covered != len(list(trunk.parameters())):
        return TrunkLayout(width, (("",),), None)
    maps = [unit for unit in found if unit.side > 1 and not unit.is_pool]
    last = maps[-1] if maps and maps[-1].channels_first else None
    return TrunkLayout(width, _group_stages(found, maps[-1].name if maps else ""), last.name if last else None)


def _find_units(module: nn.Module, name: str = "") -> list[_Unit]:
    """Parts of a trunk in their order; plain sequences are taken apart."""
    if name and type(module) is not nn.Sequential:
        return [_Unit(name, module)]
    return [
        unit for key, child in module.named_children() for unit in _find_units(child, f"{name}.{key}" if name else key)
    ]


def _recorder(unit: _Unit, called: dict[str, _Unit]) -> Callable[[nn.Module, object, object], None]:
    def record(module: nn.Module, inputs: object, output: object) -> None:
        shape = tuple(output.shape) if isinstance(output, Tensor) else ()
        first = len(shape) == 4 and shape[2] == shape[3]
        last = len(shape) == 4 and shape[1] == shape[2]
        side = shape[2] if first or last else 0
        called.setdefault(unit.name, replace(unit, side=side, channels_first=first))

    return record


def _group_stages(units: list[_Unit], last_map: str) -> tuple[tuple[str, ...], ...]:
    """Group the units with weights by resolution; those behind the last map join it, unless they are hidden layers."""
    at = next((number for number, unit in enumerate(units, start=1) if unit.name == last_map), len(units))
    before, behind = ([unit for unit in part if unit.has_state] for part in (units[:at], units[at:]))
    stages = [tuple(unit.name for unit in group) for _, group in groupby(before, key=lambda unit: unit.side)]
    names = tuple(unit.name for unit in behind)
    if any(isinstance(unit.module, nn.Linear) for unit in behind):
        return (*stages, names)
    return (*stages[:-1], (*stages[-1], *names))
