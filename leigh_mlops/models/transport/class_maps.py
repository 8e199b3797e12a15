"""Maps between the classes of a model: the transport of each ordered pair of classes, and the references beside it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from leigh_mlops.errors import LeighError
from leigh_mlops.models.transport.references import REFERENCES, ClassMap
from leigh_mlops.models.transport.sliced_transport import SlicedTransport

__all__ = ["SHAM", "TRANSPORT", "ClassMaps", "Pair"]

TRANSPORT = "transport"
SHAM = "sham"
"""Name of the transports from a class to itself, between random halves of its wells."""

Pair = tuple[int, int]
"""Indices of the class to lead from and the class to lead to."""

Arrays = Mapping[str, npt.NDArray[Any]]
Images = npt.NDArray[Any]

_READERS: dict[str, Callable[[dict[str, npt.NDArray[Any]]], ClassMap]] = {
    TRANSPORT: SlicedTransport.from_arrays,
    SHAM: SlicedTransport.from_arrays,
    **{name: reference.from_arrays for name, reference in REFERENCES.items()},
}


@dataclass(frozen=True)
class ClassMaps:
    """Maps by name and pair of classes.

    Attributes:
        maps: Maps of each pair by the map's name: ``transport``, ``sham`` (of pairs of a class and itself) or a key
            of `REFERENCES`.
    """

    maps: Mapping[str, Mapping[Pair, ClassMap]]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the maps."""
        return tuple(self.maps)

    def pairs(self, name: str = TRANSPORT) -> frozenset[Pair]:
        """Pairs of classes between which there is a map of a name."""
        return frozenset(self.maps.get(name, {}))

    def apply(self, name: str, images: Images, source: npt.NDArray[np.int64], target: npt.NDArray[np.int64]) -> Images:
        """Images (N, C, H, W) in network units after the map of each one's pair of classes.

        Args:
            name: Name of the map.
            images: Shape (N, C, H, W), network units.
            source: Class that each leads from, shape (N,).
            target: Class that each leads to, shape (N,).

        Raises:
            LeighError: There is no such map.
        """
        changed = np.empty_like(images)
        for pair in sorted(set(zip(source.tolist(), target.tolist(), strict=True))):
            if pair not in self.maps.get(name, {}):
                raise LeighError(f"The model has no {name} from class {pair[0]} to class {pair[1]}; train it again.")
            rows = np.flatnonzero((source == pair[0]) & (target == pair[1]))
            changed[rows] = self.maps[name][pair].apply(images[rows])
        return changed

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the maps as plain numeric arrays, ``<name>/<source>/<target>/<array>``."""
        return {
            f"{name}/{source}/{target}/{key}": array
            for name, maps in self.maps.items()
            for (source, target), fitted in maps.items()
            for key, array in fitted.to_arrays().items()
        }

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> "ClassMaps":
        """Create maps from the arrays of :meth:`to_arrays`; without arrays there are none.

        Raises:
            LeighError: A name is unknown, or the arrays of a map do not fit each other.
        """
        grouped: dict[str, dict[Pair, dict[str, npt.NDArray[Any]]]] = {}
        for path, array in arrays.items():
            name, pair, key = _parse_path(path)
            grouped.setdefault(name, {}).setdefault(pair, {})[key] = array
        return cls(
            {name: {pair: _READERS[name](some) for pair, some in maps.items()} for name, maps in grouped.items()}
        )


def _parse_path(path: str) -> tuple[str, Pair, str]:
    name, *rest = path.split("/")
    if name not in _READERS or len(rest) != 3 or not all(each.isascii() and each.isdigit() for each in rest[:2]):
        raise LeighError(f"The stored map {path} is unknown to this version; train the model again.")
    return name, (int(rest[0]), int(rest[1])), rest[2]
