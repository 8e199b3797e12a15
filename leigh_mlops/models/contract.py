"""Specification and interface that all networks share."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from leigh_mlops.errors import LeighError
from leigh_mlops.models.bounds import check_integer

__all__ = ["Learner", "ModelSpec", "Network", "has_capability"]

_CAPABILITIES = ("encode", "decode", "classify")
_MAX_SIDE_PX = 16384
_MAX_CHANNELS = 1024


@dataclass(frozen=True)
class ModelSpec:
    """Specification from which a network can be rebuilt, in plain JSON values.

    Attributes:
        family: A key of ``MODELS``.
        classes: Names in the order of the logits.
        image_size: Side of the square images in pixels, a multiple of 32.
        channels: Image channels.
        architecture: Every keyword of the family's class, also those left at
            their defaults, so that a later default changes no stored model.
    """

    family: str
    classes: tuple[str, ...]
    image_size: int
    channels: int
    architecture: dict[str, Any]

    def __post_init__(self) -> None:
        check_integer("channels", self.channels, 1, _MAX_CHANNELS)
        check_integer("image_size", self.image_size, 1, _MAX_SIDE_PX)
        if self.image_size % 32:
            nearest = max(32, round(self.image_size / 32) * 32)
            raise LeighError(
                f"image_size is {self.image_size}, which is not a multiple of 32 pixels; the nearest is {nearest}."
            )
        if len(set(self.classes)) != len(self.classes):
            raise LeighError(f"The classes {', '.join(self.classes)} are not unique; name each class once.")

    def to_json(self) -> dict[str, Any]:
        """Return the specification as plain JSON."""
        return asdict(self) | {"classes": list(self.classes)}

    @classmethod
    def from_json(cls, values: Any) -> "ModelSpec":  # noqa: ANN401
        """Create a specification from the values of :meth:`to_json`.

        Raises:
            LeighError: A value is missing, of another type or out of bounds.
        """
        kinds = {"family": str, "classes": list, "image_size": int, "channels": int, "architecture": dict}
        for name, kind in kinds.items():
            if not isinstance(values, dict) or not isinstance(values.get(name), kind):
                raise LeighError(f"A model's description has no valid {name}; save the model again.")
        if not all(isinstance(label, str) for label in values["classes"]):
            raise LeighError(
                f"A model's classes are {values['classes']!r}, but class names are strings; save the model again."
            )
        chosen = {name: values[name] for name in kinds}
        return cls(**chosen | {"classes": tuple(values["classes"])})


class Learner(Protocol):
    """Head that is fitted to features, not trained by gradients."""

    def fit(
        self, features: npt.NDArray[np.float64], labels: npt.NDArray[np.int64], *, seed: int, balanced: bool = False
    ) -> None:
        """Fit the head to features (N, D) and class indices (N,), with equal weight of each class if ``balanced``."""


class Network(nn.Module):
    """Base class of all families: maps scaled images (N, C, H, W) to the output of the task.

    Every family encodes. Those that decode or classify latents have methods
    ``decode`` and ``classify``; see :func:`has_capability`.

    Args:
        spec: Specification of the network.
    """

    task: ClassVar[Literal["classify", "reconstruct", "cluster"]]
    adapts: ClassVar[bool] = False
    """Whether its trunk normalises by statistics that controls of a plate can replace."""
    needs_labels: ClassVar[bool] = True
    """Whether it is trained on two classes or more; otherwise fields without a class are used, too."""
    trains_in_bf16: ClassVar[bool] = False
    """Whether precision ``auto`` trains it in bf16, in which it learned as well (`benchmarks/precision.py`)."""
    spec: ModelSpec

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.spec = spec

    @classmethod
    def class_names(cls, classes: Sequence[str], architecture: dict[str, Any]) -> tuple[str, ...]:
        """Names of the outputs for images of some classes; those of the images for most families."""
        return tuple(classes)

    @classmethod
    def obstacle_to_division(cls, architecture: dict[str, Any]) -> str:
        """Reason why several processes can't train a network of this architecture together; empty for most.

        Args:
            architecture: Keywords of the class; those at their defaults may be left out.
        """
        return ""

    def encode(self, images: Tensor) -> Tensor:
        """Latents (N, ...) of scaled images (N, C, H, W)."""
        raise NotImplementedError

    @property
    def stem(self) -> str | None:
        """Name of the first kernels (F, C, h, w), which published weights have for three colours; often ``None``."""
        return None

    @property
    def published_trunk(self) -> str | None:
        """Name of the published classifier of torchvision or timm whose trunk is ``features``; often ``None``."""
        return None

    @property
    def distributions(self) -> tuple[str, ...]:
        """Names of the distributions that the network needs beside those of the package; none for most."""
        return ()

    def stages(self) -> list[list[nn.Module]]:
        """Groups of modules in the order from image to output; the last is the head.

        Each parameter belongs to exactly one of them.
        """
        return [[part] for part in self.children()]

    def last_map(self) -> nn.Module | None:
        """Module whose output is the last feature map (N, F, h, w); ``None`` where there is none."""
        return self.stages()[-2][-1]

    def learner(self) -> Learner | None:
        """Head that is fitted to the features of the rest, which then stays as it is; ``None`` for most networks."""
        return None

    def certificate(self) -> dict[str, Any]:
        """Certified properties of the weights, in plain JSON, for ``model.json``; empty for most families."""
        return {}


def has_capability(model: nn.Module, capability: str) -> bool:
    """Return whether a model has ``encode``, ``decode`` or ``classify``.

    Raises:
        ValueError: There is no such capability.
    """
    if capability not in _CAPABILITIES:
        raise ValueError(f"{capability!r} is not a capability of models; choose {_join_names(_CAPABILITIES)}")
    return callable(getattr(model, capability, None))


def _join_names(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"
