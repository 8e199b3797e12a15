"""Image discovery: from a path to the image table, with the decisions made on the way."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import pandas as pd

from leigh_mlops.errors import LeighError, escape_unprintable
from leigh_mlops.plates.channels import pick_channels
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.plates.control_characters import require_printable_names
from leigh_mlops.plates.field_grouping import gather_fields
from leigh_mlops.plates.folder_scan import Scan, scan_folder
from leigh_mlops.plates.illumination_columns import add_illumination
from leigh_mlops.plates.number_cells import CellProblem
from leigh_mlops.plates.picture_folders import PICTURE_CHANNELS, PICTURES, find_pictures
from leigh_mlops.plates.platemap_file import find_platemap, parse_platemap
from leigh_mlops.plates.platemap_headers import HeaderReading
from leigh_mlops.plates.platemap_join import join_platemap
from leigh_mlops.plates.repeats import RepeatChoice, choose_repeats
from leigh_mlops.plates.table import read_table, table_channels
from leigh_mlops.plates.vendors import scan_index

__all__ = ["FoundImages", "find_images"]

_WELL = [Metadata.PLATE, Metadata.WELL]


@dataclass(frozen=True)
class FoundImages:
    """Images found under one path.

    Attributes:
        table: The image table, one row per field, sorted by its key, index 0 to n - 1.
        channels: Names of the channels, in the order wanted.
        preset: Preset that knew the file names; ``pattern`` for a user's own, ``table`` where a
            table was read, ``ome-zarr`` for such plates.
        unmatched: Image files that no pattern or index knew, and folders that cannot be read.
        unjoined: Wells (``plate/B03``) that are not in the plate map.
        why: Why this preset, and what was decided about planes and wells, in one sentence without
            its end.
        notes: Decisions on plates, time points and acquisitions, each a sentence without its end.
        refused: What an index or an OME-Zarr plate holds and cannot be taken; each has its reason.
        reasons: Path to the reason why it was left out, where more is known.
        absent: Files that an index or a table names and that do not exist.
        unused: Wells of the plate map (``plate/B03``, or ``B03`` where it names no plate) without
            an image.
        empty_folders: Folders of a class in which no image is known.
        platemap: The plate map that was joined.
        unknown_controls: Words for controls in the plate map that are not known, and read as none.
        headers: Reading of each header of the plate map.
        damaged_cells: Cells of the plate map that are not what their columns expect.
    """

    table: pd.DataFrame
    channels: tuple[str, ...]
    preset: str
    unmatched: list[Path] = field(default_factory=list)
    unjoined: list[str] = field(default_factory=list)
    why: str = ""
    notes: list[str] = field(default_factory=list)
    refused: list[Path] = field(default_factory=list)
    reasons: dict[Path, str] = field(default_factory=dict)
    absent: list[Path] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    empty_folders: list[str] = field(default_factory=list)
    platemap: Path | None = None
    unknown_controls: list[str] = field(default_factory=list)
    headers: list[HeaderReading] = field(default_factory=list)
    damaged_cells: list[CellProblem] = field(default_factory=list)


def find_images(
    path: str | os.PathLike[str],
    platemap: str | os.PathLike[str] | None = None,
    *,
    preset: str = "auto",
    channels: Mapping[str, int | str] | None = None,
    pattern: str | None = None,
    z: int | Literal["max"] = "max",
    illumination: str | os.PathLike[str] | None = None,
    plate_size: int | None = None,
    time: RepeatChoice = None,
    acquisition: RepeatChoice = None,
) -> FoundImages:
    """Find the images of a study.

    A microscope's index or an OME-Zarr plate takes precedence, then a preset that was
    named, then the preset that knows most names; a pattern that was given wins over all of them.

    Args:
        path: Folder of class folders (with or without ``train/``, ``val/``, ``test/`` above
            them), a plate's folder as a microscope writes it (files in it or in its
            ``Images/``), an OME-Zarr plate, or an image table (``.parquet``, ``.csv``).
        platemap: Table of the contents of each well; by default ``platemap.csv`` or
            ``platemap.tsv`` in the folder or the one above.
        preset: How the files are named, a key of ``PRESETS`` or ``ome-zarr``; ``auto`` finds out.
            ``pictures`` takes ordinary pictures in class folders, each as a well of its own.
        channels: Name to number or name (as the files have it) of the channels to keep, in the
            order wanted; the number, from 1, of a page or of a plane of colour where one file
            holds them all. By default all are kept under their index's names; without such names
            channels 1 and 2, where there are exactly these, are called DAPI and TMRM, and any
            others ch1, ch2, ...
        pattern: Regular expression with groups ``well`` (or ``row`` and ``col``) and as needed
            ``plate site channel z time condition`` that matches a whole file name, or the path
            below the folder where it holds a ``/``.
        z: ``max`` projects all planes of a field, a number keeps that plane.
        illumination: Folder of flat-field images, or the one of a single channel.
        plate_size: Wells of the plate, for file names that only number the wells.
        time: Time point to keep (a number, ``first``, ``last`` or ``all``) where fields have several; by
            default the one that most fields have, the first of those.
        acquisition: Acquisition to keep, likewise.

    Raises:
        LeighError: The path does not exist or holds no images; no name is known; two files stand
            for one channel of a field; a channel or plane does not exist; pages have no meaning; a
            well stands in two classes; the plate map does not fit; a name has control characters.
    """
    path = Path(path)
    if not path.exists():
        raise LeighError(f"{escape_unprintable(path)} does not exist; name a folder of images or an image table.")
    if preset == PICTURES and pattern is None and path.is_dir():
        return _from_pictures(path, platemap, channels)
    where = Path(platemap) if platemap is not None else find_platemap(path)
    read = None if where is None else parse_platemap(where)
    wells = None if read is None else read.table
    if path.is_dir():
        named = set() if wells is None else set(wells.get(Metadata.CONDITION, pd.Series(dtype=str)).dropna())
        scan = None if pattern else scan_index(path, preset)
        scan = scan or scan_folder(
            path, preset, pattern=pattern, plate_size=plate_size, classes=not named, map_classes=named
        )
        found = _from_scan(scan, channels, z, time, acquisition)
    else:
        found = _from_table(path, channels, time, acquisition)
    if read is not None:
        joined = join_platemap(found.table, read.table)
        found = replace(
            found,
            table=joined.table,
            platemap=where,
            unjoined=joined.unjoined,
            unused=joined.unused,
            unknown_controls=joined.unknown_controls,
            headers=read.headers,
            damaged_cells=read.problems,
        )
    require_printable_names(found.table)
    _check_one_class_per_well(found.table)
    if illumination is not None:
        found = replace(found, table=add_illumination(found.table, found.channels, Path(illumination)))
    return found


def _from_scan(
    scan: Scan,
    channels: Mapping[str, int | str] | None,
    z: int | Literal["max"],
    time: RepeatChoice,
    acquisition: RepeatChoice,
) -> FoundImages:
    gathered = gather_fields(scan, channels, z, time=time, acquisition=acquisition)
    return FoundImages(
        gathered.table,
        gathered.channels,
        scan.preset,
        unmatched=[*scan.unmatched, *gathered.left_out],
        why="; ".join([scan.why, *gathered.notes]),
        notes=[*scan.notes, *gathered.repeats],
        reasons=scan.reasons | gathered.left_out,
        refused=scan.refused,
        absent=scan.absent,
        empty_folders=scan.empty_folders,
    )


def _from_pictures(
    path: Path, platemap: str | os.PathLike[str] | None, channels: Mapping[str, int | str] | None
) -> FoundImages:
    if platemap is not None:
        raise LeighError(
            f"{escape_unprintable(Path(platemap))} can't be used with pictures, which have no plate position; "
            "omit it, as the folders of the pictures are their classes."
        )
    pictures = find_pictures(path)
    table, names = pick_channels(pictures.table, PICTURE_CHANNELS, channels)
    require_printable_names(table)
    why = f"the preset {PICTURES} was named and takes each of {len(table)} pictures for a well of its own"
    return FoundImages(table, names, PICTURES, list(pictures.left_out), why=why, reasons=pictures.left_out)


def _from_table(
    path: Path, channels: Mapping[str, int | str] | None, time: RepeatChoice, acquisition: RepeatChoice
) -> FoundImages:
    table, notes = read_table(path), []
    for column, wanted in ((Metadata.ACQUISITION, acquisition), (Metadata.TIME, time)):
        if wanted is not None:  # without a choice, the table is one
            table, note = choose_repeats(table, column, wanted)
            notes += [note] if note else []
    table = table.reset_index(drop=True)
    absent = _find_absent_files(table)
    table, names = pick_channels(table, table_channels(table), channels)
    return FoundImages(
        table, names, "table", why=f"{path} is a table of {len(table)} fields", notes=notes, absent=absent
    )


def _find_absent_files(table: pd.DataFrame) -> list[Path]:
    """Find files that a table names and that do not exist; each folder is listed once."""
    pairs: set[tuple[str, str]] = set()
    for channel in table_channels(table):
        both = table[[f"PathName_{channel}", f"FileName_{channel}"]].dropna().drop_duplicates()
        for folder, names in both.itertuples(index=False):
            pairs |= {os.path.split(os.path.join(folder, name)) for name in str(names).split("|")}
    there = {folder: _list_names(folder) for folder in {folder for folder, _ in pairs}}
    return sorted(Path(folder, name) for folder, name in pairs if name not in there[folder])


def _list_names(folder: str) -> set[str]:
    try:
        return set(os.listdir(folder))
    except OSError:
        return set()


def _check_one_class_per_well(table: pd.DataFrame) -> None:
    counts = table.groupby(_WELL)[Metadata.CONDITION].nunique().reset_index()
    torn = counts.loc[counts[Metadata.CONDITION] > 1, _WELL]
    if len(torn):
        plate, well = torn.iloc[0].tolist()
        rows = (table[Metadata.PLATE] == plate) & (table[Metadata.WELL] == well)
        names = " and ".join(sorted(table.loc[rows, Metadata.CONDITION].dropna().unique()))
        raise LeighError(f"well {plate}/{well} is in two classes, {names}; put all its images in one.")
