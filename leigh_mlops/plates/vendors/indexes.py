"""Indexes that microscopes write beside their images: the known kinds, and where to find them."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from leigh_mlops.errors import LeighError
from leigh_mlops.plates.names import well_name
from leigh_mlops.plates.vendors.channel_matching import match_labels
from leigh_mlops.plates.vendors.harmony import HARMONY_NAMES, read_harmony
from leigh_mlops.plates.vendors.listed import FILE_COLUMNS, ListedPlate
from leigh_mlops.plates.vendors.yokogawa import YOKOGAWA_NAMES, read_yokogawa

__all__ = ["INDEXES", "Index", "distinct_plates", "match_channels", "read_index"]

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
            many, or ``None``), ``Metadata_PixelSize_um``, ``Metadata_Magnification`` and
            ``Metadata_Acquisition``.
        preset: ``harmony``, ``cv7000`` or ``ome-zarr``.
        channel_names: Number of a channel to its name, where the index has one.
        why: One sentence that says what was found.
        source: The index, the first one of many.
        absent: Files that are listed and do not exist; their rows are in ``files``.
        reasons: What was left out, and why.
        notes: Decisions on plates, each a sentence without its end.
    """

    files: pd.DataFrame
    preset: str
    channel_names: dict[str, str]
    why: str
    source: Path
    absent: list[Path] = field(default_factory=list)
    reasons: dict[Path, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


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
        LeighError: An index is broken, or the channels of two plates have no label in common.
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
    # The method of an entry raises for a link to itself, which is no folder.
    return [root / entry.name for entry in _entries(root) if os.path.isdir(entry.path) and entry.name[0] != "."]


def _find_index_files(folder: Path, names: tuple[str, ...]) -> list[Path]:
    """The files with one of these names, in any case, in the order of the names."""
    found = [
        folder / entry.name
        for entry in _entries(folder)
        if entry.name.casefold() in names and os.path.isfile(entry.path)
    ]
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
    names, notes = _plate_names(plates)
    channels = _match_channels(plates)
    known = {number: label for plate in channels for number, label in plate.values() if label}
    rows = [
        row
        for one, name, channel in zip(placed, names, channels, strict=True)
        for row in _rows(one, name, {here: number for here, (number, _) in channel.items()})
    ]
    absent = [
        folder / image.name
        for one in placed
        for image, (folder, there) in zip(one.plate.images, one.places, strict=True)
        if not there
    ]
    named = plates[0].source.name if len(plates) == 1 else f"{len(plates)} indexes ({plates[0].source.name})"
    remarks = "".join(dict.fromkeys(plate.note for plate in plates))
    return Index(
        files=pd.DataFrame(rows, columns=list(FILE_COLUMNS)),
        preset=preset,
        channel_names=known,
        why=f"{named} {'lists' if len(plates) == 1 else 'list'} {len(rows)} images{remarks}",
        source=plates[0].source,
        absent=absent,
        reasons={path: reason for plate in plates for path, reason in plate.reasons.items()},
        notes=notes,
    )


def _plate_names(plates: list[ListedPlate]) -> tuple[list[str], list[str]]:
    """Name of each plate, and notes on names that stand for several.

    Such plates go by their barcodes where these differ, else by their folders: two measurements
    never become one because they bear one name.
    """
    barcodes: dict[str, set[str]] = {}
    for plate in plates:
        barcodes.setdefault(plate.name, set()).add(plate.barcode)
    names = [
        (plate.name if len(barcodes[plate.name]) == 1 else plate.barcode)
        or plate.name
        or plate.barcode
        or _folder_name(plate.source.parent)
        for plate in plates
    ]
    return distinct_plates(names, [_folder_name(plate.source.parent) for plate in plates])


def distinct_plates(names: list[str], folders: list[str]) -> tuple[list[str], list[str]]:
    """Names of plates, by their folders where several bear one name, and a note on each such name."""
    shared = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    by_folder = [
        folder if name in shared and folders.count(folder) == 1 else f"{name}_{number}" if name in shared else name
        for number, (name, folder) in enumerate(zip(names, folders, strict=True), 1)
    ]
    notes = [
        f"{names.count(name)} measurements bear the name {name} and stay apart as plates "
        f"{', '.join(new for new, old in zip(by_folder, names, strict=True) if old == name)}; if they are of one "
        "plate, keep one of them, since a split could put a well into two parts"
        for name in shared
    ]
    return by_folder, notes


def _folder_name(folder: Path) -> str:
    return folder.parent.name if folder.name.casefold() == "images" else folder.name


def _rows(placed: _LocatedPlate, plate: str, channels: dict[str, str]) -> list[tuple[object, ...]]:
    return [
        (
            *(plate, well_name(image.row, image.col), image.site, image.z, image.time, image.row, image.col),
            *(None, None, channels[image.channel], str(folder), image.name, None),
            *(image.pixel_size_um, image.magnification, None),
        )
        for image, (folder, _) in zip(placed.plate.images, placed.places, strict=True)
    ]


def _match_channels(plates: list[ListedPlate]) -> list[dict[str, tuple[str, str]]]:
    """Map the number of a channel to the common number and its label, for each plate."""
    numbers = [{image.channel for image in plate.images} for plate in plates]
    matched = match_channels([(plate.channel_names, plate.source) for plate in plates], numbers)
    return [
        {here: (number, plate.channel_names.get(here, "")) for here, number in one.items()}
        for plate, one in zip(plates, matched, strict=True)
    ]


def match_channels(named: list[tuple[dict[str, str], Path]], numbers: list[set[str]]) -> list[dict[str, str]]:
    """Match the channels of several plates by their labels; see :func:`match_labels`.

    Args:
        named: Number to label for each plate, and the file that gives them.
        numbers: Numbers of the channels of each plate.

    Returns:
        For each plate, number here to common number.

    Raises:
        LeighError: The labels of two plates have nothing in common: their images must not be mixed.
    """
    known: dict[str, str] = {}
    matched = []
    for (labels, source), here in zip(named, numbers, strict=True):
        try:
            given = {number: label for number, label in labels.items() if number in here}
            matched.append(match_labels(given, known, here))
        except ValueError as error:
            first = named[0][1]
            raise LeighError(
                f"the channels of {source} cannot be matched with those of {first} ({error}); "
                "read these plates separately."
            ) from error
    return matched
