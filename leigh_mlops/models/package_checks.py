"""Checks of the numbers beside a network: finite, and of the shapes that the network requires."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from leigh_mlops.errors import LeighError
from leigh_mlops.images import IntensityScale
from leigh_mlops.models.contract import ModelSpec, Network
from leigh_mlops.models.families import build_from_spec

__all__ = ["check_arrays", "check_facts", "largest_arrays_mib"]

Arrays = Mapping[str, npt.NDArray[Any]]

_DIGESTS = "_digests"
_LEAST_MIB = 256
_IMAGES_PER_PAIR = 64
_BYTES = 4  # of a float32


def largest_arrays_mib(spec: ModelSpec, weights_mib: int) -> int:
    """Return the largest size of the arrays of a package, in MiB, generous.

    They hold the maps between each pair of classes, each as large as some dozens of images at most, means and
    baselines that are no larger than the network, and digests of the fields.
    """
    pairs = (1 + len(spec.classes)) ** 2
    image = spec.channels * spec.image_size**2 * _BYTES
    return _LEAST_MIB + weights_mib + pairs * _IMAGES_PER_PAIR * image // 2**20


def check_facts(folder: Path, spec: ModelSpec, scale: dict[str, Any], about: dict[str, Any]) -> None:
    """Refuse a scale, or limits of display, energy and error, that are no finite numbers for the network's channels.

    Facts that a package of an earlier version lacks are not required.

    Raises:
        LeighError: One is not valid.
    """
    if scale and len(IntensityScale.from_json(scale).mean) != spec.channels:
        raise _damage_error(folder, f"an intensity scale for other than {spec.channels} channels")
    for name, is_valid in _FACTS.items():
        if name in about and not is_valid(about[name], spec.channels):
            raise _damage_error(folder, f"no valid {name}")


def check_arrays(folder: Path, model: Network, means: Arrays, arrays: Arrays) -> None:
    """Refuse arrays that are not finite, digests that are none, and means of other classes or latents.

    Args:
        folder: Folder of the package, for errors.
        model: Its network.
        means: Means of the latents by kind, with their counts and spreads.
        arrays: All other arrays.

    Raises:
        LeighError: One is not valid.
    """
    for name, array in {**means, **arrays}.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise _damage_error(folder, f"values in {name} that are not finite")
        if name.endswith(_DIGESTS) and (array.ndim != 1 or array.dtype != np.uint64):
            raise _damage_error(folder, f"{name} that are no digests")
    _check_means(folder, model, means)


def _check_means(folder: Path, model: Network, means: Arrays) -> None:
    kinds = [name for name in ("true", "predicted") if name in means]
    shape = (len(model.spec.classes), *_latent_shape(model)) if kinds else ()
    for name, mean in means.items():
        if mean.shape != (shape if name in kinds else shape[:1]):
            raise _damage_error(folder, f"a mean {name} of shape {mean.shape} for latents of {shape[1:]}")


def _latent_shape(model: Network) -> tuple[int, ...]:
    """Shape of one latent, found without computing any."""
    if isinstance(known := getattr(model, "latent_shape", None), tuple):
        return known
    spec = model.spec
    with torch.device("meta"), torch.no_grad():
        network = build_from_spec(spec).eval()
        return tuple(network.encode(torch.empty(1, spec.channels, spec.image_size, spec.image_size)).shape[1:])


def _are_finite(values: Any, shape: tuple[int, ...]) -> bool:  # noqa: ANN401
    try:
        numbers = np.asarray(values, np.float64)
    except (TypeError, ValueError, OverflowError):
        return False
    return numbers.shape == shape and bool(np.isfinite(numbers).all())


def _are_limits(values: Any, channels: int) -> bool:  # noqa: ANN401
    return _are_finite(values, (channels, 2)) and all(low <= high for low, high in values)


def _is_width(value: Any, _: int) -> bool:  # noqa: ANN401
    return _are_finite(value, ()) and value > 0


_FACTS: dict[str, Callable[[Any, int], bool]] = {
    "display_limits": _are_limits,
    "region_thresholds": lambda values, channels: _are_finite(values, (channels,)),
    "field_um": _is_width,
    "error_limit": lambda values, _: (
        isinstance(values, dict)
        and _are_finite([values.get("limit"), values.get("full_colour")], (2,))
        and values["full_colour"] > 0
    ),
    "energy_limit": lambda values, _: isinstance(values, dict) and _are_finite(values.get("limit"), ()),
}
"""Check of a fact of a package by its name, given the number of channels."""


def _damage_error(folder: Path, why: str) -> LeighError:
    return LeighError(f"The package in {folder} has {why}; use a package that the tune or train command made.")
