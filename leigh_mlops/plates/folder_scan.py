"""Image files in a folder, described by their names and the folders above them."""

import os
import shlex
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from leigh_mlops.command_line import command_line
from leigh_mlops.errors import LeighError, escape_unprintable
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.plates.folder_roles import SPLIT_PARTS, FolderPlace, FolderRoles, find_roles, is_step, split_part
from leigh_mlops.plates.listing import IMAGE_SUFFIXES, Listing, list_images
from leigh_mlops.plates.name_parsing import ParsedNames, read_names, read_with_pattern
from leigh_mlops.plates.names import PRESETS, FieldName, compile_pattern, well_name
from leigh_mlops.plates.pattern_suggestion import suggest_pattern

__all__ = ["IMAGE_SUFFIXES", "SPLIT_PARTS", "Scan", "file_paths", "scan_folder", "split_part"]


@dataclass(frozen=True)
class Scan:
    """The image files of one folder.

    Attributes:
        files: One row per file (or page of a file) that is known: the key of its field,
            ``condition``, ``split``, ``channel`` (``None`` where the name has none), ``folder``,
            ``name`` and ``frame`` (the page; missing for a whole file).
        preset: The preset that knew them; ``pattern`` for a user's own.
        unmatched: Image files that it did not know.
        why: Why this preset, in one sentence without its end.
        reasons: Path to the reason why it was not taken, where more is known.
        empty_folders: Folders of a class in which no image is known.
        absent: Files that an index names and that do not exist.
        channel_names: Number to name of a channel, as the acquisition calls it.
        refused: What an index or an OME-Zarr plate holds and cannot be taken; each has its reason.
        notes: Decisions on plates and classes, each a sentence without its end.
    """

    files: pd.DataFrame
    preset: str
    unmatched: list[Path]
    why: str = ""
    reasons: dict[Path, str] = field(default_factory=dict)
    empty_folders: list[str] = field(default_factory=list)
    absent: list[Path] = field(default_factory=list)
    channel_names: dict[str, str] = field(default_factory=dict)
    refused: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def file_paths(files: pd.DataFrame) -> "map[Path]":
    """Paths of the files of a scan, or of some of its rows."""
    return map(Path, files["folder"], files["name"])


def scan_folder(
    root: Path,
    preset: str = "auto",
    *,
    pattern: str | None = None,
    plate_size: int | None = None,
    classes: bool = True,
    map_classes: Collection[str] = (),
) -> Scan:
    """Read the names of all image files below a folder.

    Folders stand above the files as :func:`~leigh_mlops.plates.folder_roles.find_roles` says. A
    plate without a name is called as the data folder, and plates whose files bear one name as
    their folders.

    Args:
        root: The data folder.
        preset: A key of ``PRESETS``, or ``auto`` for the one that knows most files.
        pattern: The user's own regular expression, which wins over the preset.
        plate_size: Wells of the plate, for names that only number them.
        classes: Whether folders may be classes; where a plate map names these, folders are plates.
        map_classes: Classes of the plate map: folders called so are no plates.

    Raises:
        LeighError: No image file, none that a preset knows, a file whose name and folder
            name two classes, or two levels of folders that may both be the classes.
    """
    listing = list_images(root)
    if not listing.images and not listing.refused:
        kinds = ", ".join(IMAGE_SUFFIXES[:4])
        raise LeighError(f"{escape_unprintable(root)} holds no image files ({kinds}); name the folder of the images.")
    start = os.path.abspath(root)
    read = _read(listing, start, preset, pattern, plate_size)
    pairs = list(zip(listing.images, read.fields, strict=True))
    unknown = {Path(folder, name): index for index, ((folder, name), known) in enumerate(pairs) if known is None}
    reasons = listing.refused | {
        path: why for path, index in unknown.items() if (why := read.reasons.get(index) or _known_flaw(path.name))
    }
    scan = Scan(pd.DataFrame(), read.preset, [*unknown, *listing.refused], read.why, reasons)
    above = [
        os.path.dirname(folder) if index in read.in_folder else folder for index, ((folder, _), _) in enumerate(pairs)
    ]
    used = {folder for folder, (_, known) in zip(above, pairs, strict=True) if known is not None}
    roles = find_roles(start, used, classes=classes, map_classes=map_classes)
    records = [
        _record(folder, name, known, roles.places[top])
        for top, ((folder, name), known) in zip(above, pairs, strict=True)
        if known is not None
    ]
    if not records:
        raise LeighError(_no_match_message(root, scan))
    parted, notes = _part_plates(pd.DataFrame.from_records(records))
    files = _fill_plate_names(parted, Path(start))
    found = replace(scan, files=files, notes=[*_kept_notes(roles, files), *notes])
    return _add_empty_folders(found, listing, start) if classes else found


def _kept_notes(roles: FolderRoles, files: pd.DataFrame) -> list[str]:
    """Notes on folders, without those on classes where the file names are what tells the class."""
    told = bool(set(files["condition"].dropna()) - {place.condition for place in roles.places.values()})
    return [] if told else roles.notes


def _read(listing: Listing, start: str, preset: str, pattern: str | None, plate_size: int | None) -> ParsedNames:
    names = [name for _, name in listing.images]
    if pattern is None:
        folders = ["" if folder == start else os.path.basename(folder) for folder, _ in listing.images]
        return read_names(names, preset, plate_size, folders=folders)
    if "/" in pattern:
        names = [Path(folder, name).relative_to(start).as_posix() for folder, name in listing.images]
    return read_with_pattern(names, compile_pattern(pattern))


def _known_flaw(name: str) -> str | None:
    return "it is a thumbnail, not a field" if "_thumb" in name.casefold() else None


def _no_match_message(root: Path, scan: Scan) -> str:
    first = scan.unmatched[0]
    reason = f" ({scan.reasons[first]})" if first in scan.reasons else ""
    pattern = suggest_pattern(first.name)
    shown = (
        f"--pattern {shlex.quote(pattern)} would read it"
        if pattern
        else "no part of this one reads as a well, which may be in its folder or in a plate map of your own"
    )
    return (
        f"none of the {len(scan.unmatched)} image files in {escape_unprintable(root)} matches a known name, "
        f"for example {first.name!r}{reason}; "
        f"each name must contain the well, as in B03_s1.png (well B03, field 1): {shown}. Otherwise rename them, "
        f"choose a preset ({', '.join(PRESETS)}), give a pattern, or use a table (.parquet, .csv). Ordinary "
        "pictures in class folders, which are not fields of a plate, become a table with "
        f"{command_line('ingest', escape_unprintable(root), '--preset', 'pictures', '--out', 'pictures.parquet')}."
    )


def _record(folder: str, name: str, known: FieldName, place: FolderPlace) -> dict[str, object]:
    condition = place.condition
    if condition and known.plate and condition.casefold() == known.plate.casefold():
        condition = None  # the folder is the plate's
    if condition and known.condition and condition.casefold() != known.condition.casefold():
        raise LeighError(
            f"{escape_unprintable(os.path.join(folder, name))} has class {known.condition!r} in its name "
            f"but is in the folder of {condition!r}; move or rename it."
        )
    return {
        Metadata.PLATE: known.plate or place.plate,
        Metadata.WELL: well_name(known.row, known.col),
        Metadata.SITE: known.site,
        Metadata.Z: place.z if known.z is None else known.z,
        Metadata.TIME: place.time if known.time is None else known.time,
        Metadata.ROW: known.row,
        Metadata.COLUMN: known.col,
        "condition": condition or known.condition,
        "split": place.split,
        "channel": known.channel,
        "folder": folder,
        "name": name,
        "frame": None,
        "plate_folder": place.plate,
    }


def _part_plates(files: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Name plates by their folders where files of several bear one name, and say so."""
    folders = files.pop("plate_folder")
    several = folders.groupby(files[Metadata.PLATE]).nunique()
    shared = [str(name) for name in several.index[several > 1]]
    rows = files[Metadata.PLATE].isin(shared) & folders.notna()
    notes = []
    for name in shared:
        there = sorted(folders[rows & (files[Metadata.PLATE] == name)].unique())
        notes.append(
            f"files of {len(there)} folders bear the plate name {name} and stay apart as plates "
            f"{', '.join(there[:4])}{', …' if len(there) > 4 else ''}"
        )
    return files.assign(Metadata_Plate=files[Metadata.PLATE].mask(rows, folders)), notes


def _fill_plate_names(files: pd.DataFrame, root: Path) -> pd.DataFrame:
    """Name unnamed plates by the nearest folder that is neither a class nor a part of a split."""
    taken = {*SPLIT_PARTS, "images", *files["condition"].dropna().str.casefold()}
    above = [folder.name for folder in (root, *root.parents)]
    plate = next((name for name in above if name.casefold() not in taken and not is_step(name)), root.name)
    return files.assign(Metadata_Plate=files[Metadata.PLATE].fillna(plate).astype("str"))


def _add_empty_folders(scan: Scan, listing: Listing, start: str) -> Scan:
    """Add the folders of a class in which no image is known; otherwise the class would vanish silently."""
    above = {str(folder) for folder in scan.files["folder"].unique()}
    places = find_roles(start, above.union(listing.folders), classes=True).places
    known = {folder: places[folder].condition for folder in above}
    if not set(scan.files["condition"].dropna()) & set(known.values()):
        return scan  # no folder is a class here
    of_class = {folder: places[folder] for folder in listing.folders}
    tops = [
        folder
        for folder, place in of_class.items()
        if place.condition and os.path.basename(folder) == place.condition and place.plate is None
    ]
    empty = [top for top in tops if not any(folder == top or folder.startswith(top + os.sep) for folder in known)]
    reasons = {Path(top): _empty_reason(top, listing, scan) for top in empty}
    return replace(scan, empty_folders=[_relative_path(top, start) for top in empty], reasons=reasons | scan.reasons)


def _empty_reason(top: str, listing: Listing, scan: Scan) -> str:
    names = [name for folder, name in listing.images if folder == top or folder.startswith(top + os.sep)]
    if not names:
        return "this folder holds no image that can be read"
    return f"none of the {len(names)} names in this folder matches {scan.preset}, for example {names[0]!r}"


def _relative_path(path: str, start: str) -> str:
    return Path(os.path.relpath(path, start)).as_posix()
