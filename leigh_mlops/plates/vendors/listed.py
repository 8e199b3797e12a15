"""What one plate's index lists: its images, not yet looked for on disk."""

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from leigh_mlops.plates.names import MAX_COLS, MAX_ROWS

__all__ = ["FILE_COLUMNS", "ListedImage", "ListedPlate", "distinct_names", "is_inside", "refusal"]

FILE_COLUMNS = (
    "Metadata_Plate", "Metadata_Well", "Metadata_Site", "Metadata_Z", "Metadata_Time", "Metadata_Row", "Metadata_Col",
    "condition", "split", "channel", "folder", "name", "frame", "Metadata_PixelSize_um",
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
    """

    name: str
    row: int
    col: int
    site: int
    z: int | None
    time: int | None
    channel: str
    pixel_size_um: float | None


@dataclass(frozen=True)
class ListedPlate:
    """The images of one plate.

    Attributes:
        source: The index.
        name: What the index calls the plate; may be empty.
        barcode: What else names the plate; may be empty.
        images: Its images, in the order of the index.
        channel_names: Number of a channel to its name, where the index has one.
        reasons: Entries that were left out, and why.
        note: What was left out for a reason of its own, ``", without ..."``; or empty.
    """

    source: Path
    name: str
    barcode: str
    images: list[ListedImage]
    channel_names: dict[str, str] = field(default_factory=dict)
    reasons: dict[Path, str] = field(default_factory=dict)
    note: str = ""


def refusal(name: str, numbers: dict[str, int | None], *, row: str, col: str) -> str | None:
    """Why an entry of an index cannot be an image of a plate; ``None`` where it can.

    Args:
        name: Name of the file.
        numbers: What must be a number, by the name that the index gives it.
        row: Key of the row in ``numbers``.
        col: Key of the column.
    """
    if not _is_relative(name):
        return "its name in the index leaves the folder"
    if absent := [key for key, number in numbers.items() if number is None]:
        return f"the index gives no number for its {', '.join(absent)}"
    if not (1 <= (numbers[row] or 0) <= MAX_ROWS and 1 <= (numbers[col] or 0) <= MAX_COLS):
        return f"row {numbers[row]}, column {numbers[col]} is no well"
    return None


def _is_relative(name: str) -> bool:
    parts = name.split("/")
    return not any(part in ("", ".", "..") for part in parts) and not any(sign in name for sign in "\\:\0")


def is_inside(path: str, folder: Path) -> bool:
    """Whether a relative path stays in a folder, links followed.

    Example:
        >>> is_inside("B/3", Path("plate.zarr")), is_inside("B/../../3", Path("plate.zarr"))
        (True, False)
    """
    real = os.path.realpath(folder)
    return _is_relative(path) and os.path.realpath(os.path.join(real, path)).startswith(os.path.join(real, ""))


def distinct_names(names: dict[str, str]) -> dict[str, str]:
    """Names of channels without those that stand for two: they would tell nothing apart."""
    given = Counter(name.strip() for name in names.values())
    return {number: name.strip() for number, name in names.items() if name.strip() and given[name.strip()] == 1}
