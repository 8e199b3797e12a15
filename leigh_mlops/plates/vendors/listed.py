"""Entries of one plate's index: its images, not yet looked up on disk."""

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from leigh_mlops.plates.columns import Metadata
from leigh_mlops.plates.names import MAX_COLS, MAX_ROWS

__all__ = ["FILE_COLUMNS", "ListedImage", "ListedPlate", "distinct_names", "is_subpath", "rejection_reason"]

FILE_COLUMNS = (
    Metadata.PLATE, Metadata.WELL, Metadata.SITE, Metadata.Z, Metadata.TIME, Metadata.ROW, Metadata.COLUMN,
    "condition", "split", "channel", "folder", "name", "frame", Metadata.PIXEL_SIZE_UM, Metadata.MAGNIFICATION,
    Metadata.ACQUISITION,
)  # fmt: skip


class ListedImage(NamedTuple):
    """One file of one channel, as an index lists it.

    Attributes:
        name: Path of the file relative to the folder of the images.
        row: Row on the plate, from 1.
        col: Column on the plate, from 1.
        site: Number of the field in its well.
        z: Number of the plane.
        time: Number of the time point.
        channel: Number without leading zeros.
        pixel_size_um: Edge of a pixel in micrometres.
        magnification: Magnification of the objective.
    """

    name: str
    row: int
    col: int
    site: int
    z: int | None
    time: int | None
    channel: str
    pixel_size_um: float | None
    magnification: float | None = None


@dataclass(frozen=True)
class ListedPlate:
    """The images of one plate.

    Attributes:
        source: The index.
        name: Name of the plate in the index; may be empty.
        barcode: Second name of the plate in the index; may be empty.
        images: Its images, in the order of the index.
        channel_names: Number of a channel to its name, where the index has one.
        reasons: Entries that were left out, and why.
        note: Note on other entries that were left out, ``", without ..."``; or empty.
    """

    source: Path
    name: str
    barcode: str
    images: list[ListedImage]
    channel_names: dict[str, str] = field(default_factory=dict)
    reasons: dict[Path, str] = field(default_factory=dict)
    note: str = ""


def rejection_reason(name: str, numbers: dict[str, int | None], *, row: str, col: str) -> str | None:
    """Reason why an entry of an index cannot be an image of a plate; ``None`` where it can.

    Args:
        name: Name of the file.
        numbers: Values that must be numbers, by their names in the index.
        row: Key of the row in ``numbers``.
        col: Key of the column.
    """
    if not _is_relative(name):
        return "its name in the index leaves the folder"
    if absent := [key for key, number in numbers.items() if number is None]:
        return f"the index gives no number for its {', '.join(absent)}"
    if not (1 <= (numbers[row] or 0) <= MAX_ROWS and 1 <= (numbers[col] or 0) <= MAX_COLS):
        return f"row {numbers[row]}, column {numbers[col]} is not a well"
    return None


def _is_relative(name: str) -> bool:
    parts = name.split("/")
    return not any(part in ("", ".", "..") for part in parts) and not any(sign in name for sign in "\\:\0")


def is_subpath(path: str, folder: Path) -> bool:
    """Return whether a relative path stays in a folder, with links followed.

    Example:
        >>> is_subpath("B/3", Path("plate.zarr")), is_subpath("B/../../3", Path("plate.zarr"))
        (True, False)
    """
    real = os.path.realpath(folder)
    return _is_relative(path) and os.path.realpath(os.path.join(real, path)).startswith(os.path.join(real, ""))


def distinct_names(names: dict[str, str]) -> dict[str, str]:
    """Names of channels without those that two channels share, which distinguish nothing."""
    given = Counter(name.strip() for name in names.values())
    return {number: name.strip() for number, name in names.items() if name.strip() and given[name.strip()] == 1}
