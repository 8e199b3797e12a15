"""Transforms of Albumentations on raw intensities; the only module that imports the library."""

import os
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from leigh_mlops.errors import LeighError
from leigh_mlops.images.transform_probe import find_refusal
from leigh_mlops.settings.augmentation_settings import parse_augmentation
from leigh_mlops.settings.base import quote_value, suggest_key

__all__ = ["PixelTransforms", "build_pixel_transforms", "check_augmentation"]

Floats = npt.NDArray[np.float32]

_CLASS = "__class_fullname__"
_GROUPS = ("Compose", "Sequential", "OneOf", "SomeOf", "RandomOrder", "SelectiveChannelTransform")
_LARGEST_NUMBER = 10_000  # pixels; all else that transforms take is smaller
# What a serialised Compose holds beside its transforms concerns boxes and key points.
_COMPOSE_KEYS = (_CLASS, "p", "transforms")


@dataclass(frozen=True)
class PixelTransforms:
    """Transforms of one field, which depend on a seed alone.

    Attributes:
        serialised: Transforms in their serialised form, applied in turn.
        white: Raw intensity of each channel that counts as 1 for the transforms, shape (C,). Albumentations clips
            to [0, 1], so it lies well above the brightest pixels.
    """

    serialised: Sequence[dict[str, Any]]
    white: Floats
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def apply(self, raw: Floats, seed: int) -> Floats:
        """Return a varied field, raw intensities of shape (C, S, S), not negative.

        Args:
            raw: Raw intensities as acquired, shape (C, S, S).
            seed: Seed of all draws; each transform has its own stream.
        """
        image = np.ascontiguousarray(np.moveaxis(raw, 0, -1) / self.white, dtype=np.float32)
        with self._lock:  # transforms hold their random state
            varied = _apply(self._pipeline, image, seed)
        intensities: Floats = np.maximum(np.moveaxis(varied, -1, 0) * self.white[:, None, None], 0)
        return intensities

    @cached_property
    def _pipeline(self) -> Any:  # noqa: ANN401
        return _build_pipeline(self.serialised)


def build_pixel_transforms(text: str | None, white: Callable[[], Floats]) -> PixelTransforms | None:
    """Build the transforms of an augmentation; ``None`` where it has none beside those of the fast path.

    Args:
        text: As of ``settings.augmentation_text``.
        white: Returns the raw intensity of each channel that counts as 1, shape (C,).

    Raises:
        LeighError: A transform is unknown, or its arguments are not valid.
    """
    serialised = parse_augmentation(text)
    if not serialised:
        return None
    transforms = PixelTransforms(serialised, white())
    _ = transforms._pipeline
    return transforms


def check_augmentation(text: str | None, channels: int) -> None:
    """Refuse transforms that are unknown, or would change intensities in a way that no microscope does.

    Each transform is applied to a synthetic field, see :func:`find_refusal`.

    Raises:
        LeighError: A transform can't be used on fields.
    """
    serialised = parse_augmentation(text)
    if not serialised:
        return
    for transform in _leaves(_build_pipeline(serialised)):
        name, probability = type(transform).__name__, transform.p
        transform.p = 1.0
        dropout = ".dropout." in type(transform).__module__
        reason = find_refusal(partial(_apply, transform), channels, may_blank=dropout)
        transform.p = probability
        if reason:
            raise LeighError(f"the transform {name} can't be used on fields: {reason}; remove it or change it.")


def _library() -> Any:  # noqa: ANN401
    """Albumentations, without its question to the network for newer versions."""
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
    import albumentations

    return albumentations


def _build_pipeline(serialised: Sequence[dict[str, Any]]) -> Any:  # noqa: ANN401
    return _library().Compose([_build(each) for each in serialised])


def _build(node: object) -> Any:  # noqa: ANN401
    """Build one transform or group; only classes of Albumentations itself are called, with values of JSON."""
    if isinstance(node, dict) and "transform" in node:
        node = node["transform"]
    if not isinstance(node, dict) or not isinstance(node.get(_CLASS), str):
        raise LeighError(
            f"the augmentation has {quote_value(node)}, which names no transform by {_CLASS}; write transforms as "
            "albumentations.to_dict does."
        )
    name = node[_CLASS]
    kind = _find_class(name)
    arguments = {key: value for key, value in node.items() if key != _CLASS}
    if name in _GROUPS:
        if name == "Compose":
            arguments = {key: value for key, value in arguments.items() if key in _COMPOSE_KEYS}
        parts = arguments.get("transforms")
        if not isinstance(parts, list) or not parts:
            raise LeighError(f"the group {name} of the augmentation has no transforms; add some or remove it.")
        arguments["transforms"] = [_build(part) for part in parts]
    _require_small(name, arguments)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # an unknown argument is only warned of
            return kind(**arguments)
    except (TypeError, ValueError, UserWarning, DeprecationWarning) as error:
        raise LeighError(
            f"the transform {name} of the augmentation is not valid ({_describe(error)}); correct it."
        ) from None


def _require_small(name: str, arguments: Mapping[str, object]) -> None:
    """Refuse numbers, such as the width of a blur, with which one field would take minutes."""
    for key, value in arguments.items():
        for number in value if isinstance(value, list) else [value]:
            if key != "seed" and isinstance(number, int | float) and not abs(number) <= _LARGEST_NUMBER:
                raise LeighError(
                    f"the transform {name} of the augmentation is not valid ({key} is {quote_value(number)}, and no "
                    f"number for a field is above {_LARGEST_NUMBER}); correct it."
                )


def _describe(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        return ": ".join([*(str(key) for key in first["loc"][:1]), first["msg"]])
    return " ".join(str(error).split())[:200].rstrip(".")


def _find_class(name: str) -> type[Any]:
    library = _library()
    known = {
        each: kind
        for each, kind in vars(library).items()
        if isinstance(kind, type) and kind.__module__.startswith("albumentations.") and _is_usable(library, each, kind)
    }
    if name not in known:
        raise LeighError(
            f"the augmentation names {quote_value(name)}, which is no transform of images of Albumentations that has a "
            f"serialised form; {suggest_key(name, sorted(known))}"
        )
    return known[name]


def _is_usable(library: Any, name: str, kind: type[Any]) -> bool:  # noqa: ANN401
    if name in _GROUPS:
        return True
    leaf = issubclass(kind, library.ImageOnlyTransform | library.DualTransform) and kind.is_serializable()
    bases = (library.ImageOnlyTransform, library.DualTransform, library.Transform3D)
    return leaf and not name.startswith("Base") and kind not in bases


def _leaves(node: Any) -> Iterator[Any]:  # noqa: ANN401
    yield from (each for each in _nodes(node) if not isinstance(each, _library().BaseCompose))


def _apply(pipeline: Any, image: Floats, seed: int) -> Floats:  # noqa: ANN401
    """Apply a transform to an image (S, S, C), with a stream of random numbers for each of its parts.

    The library gives one seed to all, so that the draws of all parts would agree.
    """
    seeds = np.random.SeedSequence(seed)
    for part in _nodes(pipeline):
        part.set_random_seed(int(seeds.spawn(1)[0].generate_state(1)[0]))
    varied: Floats = pipeline(image=image)["image"]
    return varied


def _nodes(node: Any) -> Iterator[Any]:  # noqa: ANN401
    """A transform and its parts, groups before their parts, since they seed these."""
    yield node
    if isinstance(node, _library().BaseCompose):
        for part in node.transforms:
            yield from _nodes(part)
