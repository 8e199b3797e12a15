"""Image files in a folder, described by their names and the folders above them."""

import os
import re
import shlex
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import pandas as pd

from leigh_mlops.errors import LeighError, escape_unprintable
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.plates.listing import IMAGE_SUFFIXES, Listing, list_images
from leigh_mlops.plates.name_parsing import ParsedNames, read_names, read_with_pattern
from leigh_mlops.plates.names import PRESETS, FieldName, compile_pattern, well_name

__all__ = ["IMAGE_SUFFIXES", "SPLIT_PARTS", "Scan", "file_paths", "scan_folder", "split_part"]

SPLIT_PARTS = ("train", "val", "test")
_PART_NAMES = {"training": "train", "valid": "val", "validation": "val", "testing": "test"}
_STEP = re.compile(r"(?P<kind>TimePoint|ZStep)_(?P<number>\d{1,9})", re.IGNORECASE | re.ASCII)
_NO_CLASS = re.compile(r"[\d\s._-]+")
"""Folders that only number or date what lies in them."""


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
    """

    files: pd.DataFrame
    preset: str
    unmatched: list[Path]
    why: str = ""
    reasons: dict[Path, str] = field(default_factory=dict)
    empty_folders: list[str] = field(default_factory=list)
    absent: list[Path] = field(default_factory=list)
    channel_names: dict[str, str] = field(default_factory=dict)


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
) -> Scan:
    """Read the names of all image files below a folder.

    Folders may stand as ``[train|val|test/][class/][plate/]``, ``[plate/]Images/`` or
    ``[plate/]TimePoint_1/ZStep_1/`` above the files. A plate without a name is called as the data
    folder.

    Args:
        root: The data folder.
        preset: A key of ``PRESETS``, or ``auto`` for the one that knows most files.
        pattern: The user's own regular expression, which wins over the preset.
        plate_size: Wells of the plate, for names that only number them.
        classes: Whether folders may be classes; where a plate map names these, folders are plates.

    Raises:
        LeighError: No image file, none that a preset knows, or a file whose name and folder
            name two classes.
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
    records = [_record(start, folder, name, known, classes) for (folder, name), known in pairs if known is not None]
    if not records:
        raise LeighError(_no_match_message(root, scan))
    files = _fill_plate_names(pd.DataFrame.from_records(records), Path(start))
    found = replace(scan, files=files)
    return _add_empty_folders(found, listing, start) if classes else found


def _read(listing: Listing, start: str, preset: str, pattern: str | None, plate_size: int | None) -> ParsedNames:
    names = [name for _, name in listing.images]
    if pattern is None:
        return read_names(names, preset, plate_size)
    if "/" in pattern:
        names = [Path(folder, name).relative_to(start).as_posix() for folder, name in listing.images]
    return read_with_pattern(names, compile_pattern(pattern))


def _known_flaw(name: str) -> str | None:
    return "it is a thumbnail, not a field" if "_thumb" in name.casefold() else None


def _no_match_message(root: Path, scan: Scan) -> str:
    first = scan.unmatched[0]
    reason = f" ({scan.reasons[first]})" if first in scan.reasons else ""
    return (
        f"none of the {len(scan.unmatched)} image files in {escape_unprintable(root)} matches a known name, "
        f"for example {first.name!r}{reason}; "
        f"each name must contain the well, as in B03_s1.png (well B03, field 1): rename them, choose a preset "
        f"({', '.join(PRESETS)}), give a pattern, or use a table (.parquet, .csv). Ordinary pictures in class "
        f"folders, which are not fields of a plate, become a table with python -m leigh_mlops.ingest "
        f"{shlex.quote(escape_unprintable(root))} --preset pictures --out pictures.parquet."
    )


def _record(start: str, folder: str, name: str, known: FieldName, classes: bool) -> dict[str, object]:
    place = _parse_folders(start, folder)
    if not classes:
        place = replace(place, plate=place.plate or place.condition, condition=None)
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
    }


def split_part(folder: str) -> str | None:
    """Part of a split that a folder's name stands for.

    Example:
        >>> split_part("Validation"), split_part("DS")
        ('val', None)
    """
    part = _PART_NAMES.get(folder.casefold(), folder.casefold())
    return part if part in SPLIT_PARTS else None


@dataclass(frozen=True)
class _FolderInfo:
    """Content of the folder names between the data folder and a file."""

    split: str | None = None
    condition: str | None = None
    plate: str | None = None
    z: int | None = None
    time: int | None = None


@lru_cache(maxsize=4096)
def _parse_folders(start: str, folder: str) -> _FolderInfo:
    names = list(Path(os.path.relpath(folder, start)).parts)
    split = split_part(names[0]) if names else None
    names = names[1:] if split else names
    steps = {match["kind"].casefold(): int(match["number"]) for name in names if (match := _STEP.fullmatch(name))}
    of_a_microscope = bool(steps) or (bool(names) and names[-1].casefold() == "images")
    names = [name for name in names if name.casefold() != "images" and not _STEP.fullmatch(name)]
    place = _FolderInfo(split, z=steps.get("zstep"), time=steps.get("timepoint"))
    if of_a_microscope and len(names) == 1:
        return replace(place, plate=names[0])
    condition = names[0] if names and not _NO_CLASS.fullmatch(names[0]) else None
    return replace(place, condition=condition, plate=names[-1] if len(names) > 1 or (not condition and names) else None)


def _fill_plate_names(files: pd.DataFrame, root: Path) -> pd.DataFrame:
    """Name unnamed plates by the nearest folder that is neither a class nor a part of a split."""
    taken = {*SPLIT_PARTS, "images", *files["condition"].dropna().str.casefold()}
    above = [folder.name for folder in (root, *root.parents)]
    plate = next((name for name in above if name.casefold() not in taken and not _STEP.fullmatch(name)), root.name)
    return files.assign(Metadata_Plate=files[Metadata.PLATE].fillna(plate).astype("str"))


def _add_empty_folders(scan: Scan, listing: Listing, start: str) -> Scan:
    """Add the folders of a class in which no image is known; otherwise the class would vanish silently."""
    known = {folder: _parse_folders(start, folder).condition for folder in scan.files["folder"].unique()}
    if not set(scan.files["condition"].dropna()) & set(known.values()):
        return scan  # no folder is a class here
    of_class = {folder: _parse_folders(start, folder) for folder in listing.folders}
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
