"""The JSON of an OME-Zarr hierarchy: attributes of its groups and shapes of its arrays."""

import json
import math
from pathlib import Path
from typing import NamedTuple

from leigh_mlops.plates.vendors.listed import is_subpath

__all__ = ["ImageGroup", "group_attributes", "read_image_group"]

_LARGEST_FILE = 64 * 2**20  # a plate of 1536 wells describes itself in less than one
_LARGEST_STACK = 100_000
_AXES = "tczyx"
_MICROMETRES = {"millimeter": 1e3, "micrometer": 1.0, "nanometer": 1e-3}


class ImageGroup(NamedTuple):
    """One multiscale image.

    Attributes:
        dataset: Path of its finest array, relative to the group.
        axes: Length of each axis before y and x, in the order of the array, by its letter.
        labels: Names of its channels; empty where the metadata has none.
        pixel_size_um: Width of a pixel in micrometres.
    """

    dataset: str
    axes: dict[str, int]
    labels: list[str]
    pixel_size_um: float | None


def group_attributes(group: Path) -> dict[str, object]:
    """Attributes of a group: those under ``ome`` (0.5), else ``.zattrs`` (0.4).

    Args:
        group: Folder of the group.

    Returns:
        The attributes; empty where the folder is no group or has none.

    Raises:
        ValueError: The metadata is no JSON object, or larger than any plate's.
        OSError: It cannot be read.
    """
    if (group / "zarr.json").is_file():
        return _mapping(_mapping(_read(group / "zarr.json").get("attributes")).get("ome"))
    return _read(group / ".zattrs") if (group / ".zattrs").is_file() else {}


def read_image_group(group: Path) -> ImageGroup:
    """Describe a multiscale image by its JSON alone.

    Raises:
        ValueError: The group holds no image, or none of t, c, z planes of (y, x).
        OSError: Its metadata cannot be read.
    """
    attributes = group_attributes(group)
    scales = _mapping(_first_item(attributes.get("multiscales"), "multiscales"))
    level = _mapping(_first_item(scales.get("datasets"), "datasets"))
    dataset = level.get("path")
    if not isinstance(dataset, str) or not is_subpath(dataset, group):
        raise ValueError("the path of its first dataset leaves the image")
    letters, units = _axes(scales.get("axes"))
    lengths = _shape(group / dataset, len(letters))
    if math.prod(lengths[:-2]) > _LARGEST_STACK:
        raise ValueError(f"it claims more than {_LARGEST_STACK} planes")
    size = _MICROMETRES.get(units[-1], math.nan) * _scale(level, math.nan) * _scale(scales, 1.0)
    return ImageGroup(
        dataset,
        dict(zip(letters[:-2], lengths[:-2], strict=True)),
        _labels(attributes),
        size if 0 < size < math.inf else None,
    )


def _read(path: Path) -> dict[str, object]:
    if path.stat().st_size > _LARGEST_FILE:
        raise ValueError(f"{path.name} is larger than {_LARGEST_FILE >> 20} MiB")
    try:
        return _mapping(json.loads(path.read_bytes()))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path.name} is damaged ({error})") from error
    except RecursionError as error:
        raise ValueError(f"{path.name} is nested too deeply") from error


def _mapping(value: object) -> dict[str, object]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"its metadata has a {type(value).__name__} where an object belongs")
    return value


def _first_item(value: object, name: str) -> object:
    if not isinstance(value, list) or not value:
        raise ValueError(f"it lists no {name}")
    return value[0]


def _axes(axes: object) -> tuple[str, list[str]]:
    """Letters of the axes and their units; all five in older versions, which named none."""
    if axes is None:
        return _AXES, [""] * len(_AXES)
    given = [axis if isinstance(axis, dict) else {"name": axis} for axis in axes] if isinstance(axes, list) else []
    letters = [str(axis.get("name")) for axis in given]
    if letters[-2:] != ["y", "x"] or len(set(letters)) < len(letters) or not set(letters) <= set(_AXES):
        raise ValueError(f"its axes are {', '.join(letters)[:80]}, not some of t, c, z and then y, x")
    return "".join(letters), [str(axis.get("unit")) for axis in given]


def _shape(array: Path, axes: int) -> list[int]:
    path = next((array / name for name in ("zarr.json", ".zarray") if (array / name).is_file()), None)
    shape = _read(path).get("shape") if path else None
    if not isinstance(shape, list) or len(shape) != axes or not all(type(n) is int and n > 0 for n in shape):
        raise ValueError(f"its array {array.name!r} has no shape of {axes} axes")
    return shape


def _scale(where: dict[str, object], unknown: float) -> float:
    """Factor along x, which comes last, of the transformations of one level or of all levels."""
    transformations = where.get("coordinateTransformations")
    for one in transformations if isinstance(transformations, list) else []:
        if isinstance(one, dict) and one.get("type") == "scale":
            scale = one.get("scale")
            factor = scale[-1] if isinstance(scale, list) and scale else None
            return float(factor) if isinstance(factor, (int, float)) and 0 < factor < 1e30 else math.nan
    return unknown


def _labels(attributes: dict[str, object]) -> list[str]:
    omero = attributes.get("omero")
    channels = omero.get("channels") if isinstance(omero, dict) else None
    if not isinstance(channels, list):
        return []
    return [str(channel.get("label") or "").strip() if isinstance(channel, dict) else "" for channel in channels]
