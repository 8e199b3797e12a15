"""Indexes that microscopes write beside their images: the known kinds, and where to find them."""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from leigh_mlops.errors import LeighError
from leigh_mlops.plates.names import well_name
from leigh_mlops.plates.vendors.harmony import HARMONY_NAMES, read_harmony
from leigh_mlops.plates.vendors.listed import FILE_COLUMNS, ListedPlate
from leigh_mlops.plates.vendors.yokogawa import YOKOGAWA_NAMES, read_yokogawa

__all__ = ["INDEXES", "Index", "merge_channel_names", "read_index"]

Reader = Callable[[Path], ListedPlate | None]
INDEXES: dict[str, tuple[tuple[str, ...], Reader]] = {
    "harmony": (HARMONY_NAMES, read_harmony),
    "cv7000": (YOKOGAWA_NAMES, read_yokogawa),
}


@dataclass(frozen=True)
class Index:
    """The images of one plate or many, as their indexes list them.

    Attributes:
        files: One row per plane of a channel: the key of its field, ``condition`` and ``split``
            (always ``None``), ``channel`` (a number without leading zeros), ``folder``
            (absolute), ``name`` (relative to it), ``frame`` (number of the plane in a file of
            many, or ``None``) and ``Metadata_PixelSize_um``.
        preset: ``harmony``, ``cv7000`` or ``ome-zarr``.
        channel_names: Number of a channel to its name, where the index has one.
        why: One sentence that says what was found.
        source: The index, the first one of many.
        absent: Files that are listed and do not exist; their rows are in ``files``.
        reasons: What was left out, and why.
    """

    files: pd.DataFrame
    preset: str
    channel_names: dict[str, str]
    why: str
    source: Path
    absent: list[Path] = field(default_factory=list)
    reasons: dict[Path, str] = field(default_factory=dict)


def read_index(root: Path, preset: str = "auto") -> Index | None:
    """Read the indexes that belong to a data folder.

    They are looked for in the folder and its ``Images/``, for ``Images/`` itself in the folder
    above (where Harmony 7 writes its index), else in each folder directly below (one plate
    each). An index none of whose images are there is no index of this folder.

    Args:
        root: The data folder.
        preset: A key of :data:`INDEXES` to look for these alone, or ``auto`` for all. Any other
            preset for file names means that no index is wanted.

    Returns:
        What the indexes list; ``None`` where there is none.

    Raises:
        LeighError: An index is broken, or two plates call one channel by two names.
    """
    root = root.absolute()
    if not root.is_dir():
        return None
    for kind, (names, reader) in INDEXES.items():
        if preset not in ("auto", kind):
            continue
        plates = (
            _read_folder(root, names, reader)
            or _read_parent_folder(root, names, reader)
            or _read_subfolders(root, names, reader)
        )
        if plates:
            return _index(kind, plates)
    return None


@dataclass(frozen=True)
class _LocatedPlate:
    """Plate of an index, with the folder of each image and whether it exists."""

    plate: ListedPlate
    places: list[tuple[Path, bool]]


def _read_folder(folder: Path, names: tuple[str, ...], reader: Reader) -> list[_LocatedPlate]:
    for place in (folder, _images_folder(folder)):
        for path in _find_index_files(place, names) if place else ():
            plate = reader(path)
            placed = plate and _LocatedPlate(plate, _places(plate))
            if placed and any(there for _, there in placed.places):
                return [placed]
    return []


def _read_parent_folder(root: Path, names: tuple[str, ...], reader: Reader) -> list[_LocatedPlate]:
    """Read the index one folder up, where it lists the images here."""
    if root.name.casefold() != "images":
        return []
    found = _read_folder(root.parent, names, reader)
    return [placed for placed in found if any(folder == root and there for folder, there in placed.places)]


def _read_subfolders(root: Path, names: tuple[str, ...], reader: Reader) -> list[_LocatedPlate]:
    return [placed for folder in _folders(root) for placed in _read_folder(folder, names, reader)]


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:  # a folder without the right to look into it counts as empty
        return []


def _folders(root: Path) -> list[Path]:
    return [root / entry.name for entry in _entries(root) if entry.is_dir() and not entry.name.startswith(".")]


def _find_index_files(folder: Path, names: tuple[str, ...]) -> list[Path]:
    """The files with one of these names, in any case, in the order of the names."""
    found = [folder / entry.name for entry in _entries(folder) if entry.name.casefold() in names and entry.is_file()]
    return sorted(found, key=lambda path: names.index(path.name.casefold()))


def _images_folder(folder: Path) -> Path | None:
    return next((below for below in _folders(folder) if below.name.casefold() == "images"), None)


def _places(plate: ListedPlate) -> list[tuple[Path, bool]]:
    """Folder of each image, beside the index or in ``Images/``, and whether its file is there."""
    beside = plate.source.parent
    folders = [beside, *([images] if (images := _images_folder(beside)) else [])]
    below = {str(Path(image.name).parent) for image in plate.images}
    present = {
        folder: {str(Path(part, entry.name)) for part in below for entry in _entries(folder / part)}
        for folder in folders
    }
    places = []
    for image in plate.images:
        where = next((folder for folder in folders if image.name in present[folder]), None)
        places.append((where or folders[-1], where is not None))
    return places


def _index(preset: str, placed: list[_LocatedPlate]) -> Index:
    plates = [one.plate for one in placed]
    rows = [row for one, name in zip(placed, _plate_names(plates), strict=True) for row in _rows(one, name)]
    absent = [
        folder / image.name
        for one in placed
        for image, (folder, there) in zip(one.plate.images, one.places, strict=True)
        if not there
    ]
    named = plates[0].source.name if len(plates) == 1 else f"{len(plates)} indexes ({plates[0].source.name})"
    notes = "".join(dict.fromkeys(plate.note for plate in plates))
    return Index(
        files=pd.DataFrame(rows, columns=list(FILE_COLUMNS)),
        preset=preset,
        channel_names=merge_channel_names((plate.channel_names, plate.source) for plate in plates),
        why=f"{named} {'lists' if len(plates) == 1 else 'list'} {len(rows)} images{notes}",
        source=plates[0].source,
        absent=absent,
        reasons={path: reason for plate in plates for path, reason in plate.reasons.items()},
    )


def _plate_names(plates: list[ListedPlate]) -> list[str]:
    """Name of each plate; its barcode where one name stands for several; else the folder's name."""
    barcodes: dict[str, set[str]] = {}
    for plate in plates:
        barcodes.setdefault(plate.name, set()).add(plate.barcode)
    return [
        (plate.name if len(barcodes[plate.name]) == 1 else plate.barcode)
        or plate.name
        or plate.barcode
        or _folder_name(plate.source.parent)
        for plate in plates
    ]


def _folder_name(folder: Path) -> str:
    return folder.parent.name if folder.name.casefold() == "images" else folder.name


def _rows(placed: _LocatedPlate, plate: str) -> list[tuple[object, ...]]:
    return [
        (
            *(plate, well_name(image.row, image.col), image.site, image.z, image.time, image.row, image.col),
            *(None, None, image.channel, str(folder), image.name, None, image.pixel_size_um),
        )
        for image, (folder, _) in zip(placed.plate.images, placed.places, strict=True)
    ]


def merge_channel_names(named: Iterable[tuple[dict[str, str], Path]]) -> dict[str, str]:
    """Merge the channel names of several plates into one set.

    Args:
        named: Number to name for each plate, and the file that gives them.

    Raises:
        LeighError: Two plates call one channel by two names: their images must not be mixed.
    """
    names: dict[str, tuple[str, Path]] = {}
    for channels, source in named:
        for number, name in channels.items():
            known, where = names.setdefault(number, (name, source))
            if known != name:
                raise LeighError(
                    f"channel {number} is {known!r} in {where} but {name!r} in {source}; read these plates separately."
                )
    return {number: name for number, (name, _) in names.items()}
