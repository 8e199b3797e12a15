"""Image tables for a notebook."""

import os
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pandas as pd
from rich.console import Console

from leigh_mlops.errors import escape_unprintable
from leigh_mlops.plates import EXCLUDED_BY_DEFAULT, FoundImages, RepeatChoice, find_images, set_field_width
from leigh_mlops.report.sentences import format_count
from leigh_mlops.study.prepare import add_flags, add_pixels

__all__ = ["read_plate"]

_QUALITY_SIZE = 224


def read_plate(
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
    field_um: float | None = None,
    quality: bool = False,
) -> pd.DataFrame:
    """Find the images of a plate, or of several, as a table with one row per field.

    Images that are left out, and wells that the plate map does not know, are named in a warning.

    Args:
        path: Folder as a microscope writes it, folder of class folders, OME-Zarr plate, or image table.
        platemap: Table of the contents of each well; by default ``platemap.csv`` in the folder or the one above.
        preset: How the files are named, such as ``harmony``; ``auto`` finds out.
        channels: Name to number or name (as the files have it) of the channels to keep, in the order wanted.
        pattern: Regular expression for file names, with groups ``well`` (or ``row`` and ``col``), ``site`` and
            ``channel``.
        z: ``max`` projects all planes of a field, a number keeps that plane.
        illumination: Folder of flat-field images.
        plate_size: Wells of the plate, for file names that only number the wells.
        time: Time point to keep (a number, ``first``, ``last`` or ``all``) where fields have several; by default
            the one that most fields have.
        acquisition: Acquisition to keep, likewise.
        field_um: Width in µm of the square that is cut out of the centre of each field, where plates differ in pixel
            size; by default fields are whole.
        quality: Whether to read every image and add ``Metadata_Flags`` (blurred, empty, saturated, …) and
            ``Metadata_Excluded``; the pixels stay in the cache.

    Raises:
        LeighError: The path does not exist or holds no images, or two of its files contradict each other, or
            a field width is asked for and the pixel size of a plate is not known.
    """
    found = find_images(
        path,
        platemap,
        preset=preset,
        channels=channels,
        pattern=pattern,
        z=z,
        illumination=illumination,
        plate_size=plate_size,
        time=time,
        acquisition=acquisition,
    )
    if field_um is not None:
        found = replace(found, table=set_field_width(found.table, field_um))
    _warn_of_losses(found, Path(path))
    if not quality:
        return found.table
    quiet = Console(quiet=True)
    data = add_pixels(found.table, found.channels, (), _QUALITY_SIZE, quiet)
    return add_flags(data, tuple(EXCLUDED_BY_DEFAULT), quiet).table


def _warn_of_losses(found: FoundImages, path: Path) -> None:
    """Warn of what a user would miss in the table."""
    losses = {
        "left out": ("file", [file.name for file in found.unmatched]),
        "named but not there": ("file", [file.name for file in found.absent]),
        "not in the plate map": ("well", found.unjoined),
        "of the plate and cannot be read": ("part", [file.name for file in found.refused]),
    }
    phrases = [
        f"{format_count(len(names), noun)} {'is' if len(names) == 1 else 'are'} {what} (for example {names[0]})"
        for what, (noun, names) in losses.items()
        if names
    ]
    phrases += [note for note in found.notes if not note.startswith("the folder")]
    if phrases:
        warnings.warn(escape_unprintable(f"{path}: {'; '.join(phrases)}."), stacklevel=3)
