"""Ordinary pictures, mostly in class folders, whose names contain no plate."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from leigh_mlops.errors import LeighError, escape_unprintable
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.plates.folder_scan import split_part
from leigh_mlops.plates.listing import list_images
from leigh_mlops.plates.names import MAX_COLS, MAX_ROWS, well_name
from leigh_mlops.plates.table import set_column_types

__all__ = ["PICTURES", "PICTURE_CHANNELS", "Pictures", "find_pictures"]

PICTURES = "pictures"
"""The preset's name. It is never guessed: fields of one well that are dealt to both sides of a split
make every score too good, and only the names could tell them from ordinary pictures."""
PICTURE_CHANNELS = ("R", "G", "B")
_WELLS = MAX_ROWS * MAX_COLS


@dataclass(frozen=True)
class Pictures:
    """The pictures below one folder.

    Attributes:
        table: The image table, one row and one well per picture, channels R, G and B.
        left_out: Files and folders that are not taken, each with the reason.
    """

    table: pd.DataFrame
    left_out: dict[Path, str]


def find_pictures(root: Path) -> Pictures:
    """Read a folder as ``[train|val|test/]class/.../picture``, or pictures of no class where no folder names one.

    Each picture is a well of its own, so that a split deals out pictures. The
    wells have no meaning beyond that: they are given out in an order that follows
    from the paths alone and is unrelated to the class, on plates of 1536, so that
    no position and no plate can tell the classes apart. Rows are marked by
    ``Metadata_Picture``, by which reading takes the centre square of pictures of
    any size, and grey ones as three equal channels.

    Args:
        root: The data folder.

    Raises:
        LeighError: There is no picture.
    """
    listing, start = list_images(root), os.path.abspath(root)
    left_out, records = dict(listing.refused), []
    for folder, name in listing.images:
        split, condition = _place(os.path.relpath(folder, start))
        records.append({Metadata.CONDITION: condition, Metadata.SPLIT: split, "folder": folder, "name": name})
    if not records:
        raise LeighError(
            f"{escape_unprintable(root)} holds no pictures; put the pictures of each class into a folder named after "
            "the class, or those of no class into this one."
        )
    found = pd.DataFrame.from_records(records)
    outside = found[Metadata.CONDITION].isna()
    if not outside.all():
        for folder, name in found.loc[outside, ["folder", "name"]].itertuples(index=False):
            left_out[Path(folder, name)] = "it lies in no folder of a class"
        found = found[~outside].reset_index(drop=True)
    return Pictures(_table(found, Path(start)), left_out)


def _place(relative: str) -> tuple[str | None, str | None]:
    """Part of a split and class that the folders name."""
    names = [name for name in Path(relative).parts if name != "."]
    split = split_part(names[0]) if names else None
    names = names[1:] if split else names
    return split, names[0] if names else None


def _table(found: pd.DataFrame, root: Path) -> pd.DataFrame:
    paths = found["folder"] + os.sep + found["name"]
    shuffled = paths.map(lambda path: hashlib.sha256(os.fsencode(os.path.relpath(path, root))).hexdigest())
    found = found.iloc[shuffled.argsort(kind="stable")].reset_index(drop=True)
    number = found.index.to_numpy()
    row, col = number % _WELLS // MAX_COLS + 1, number % MAX_COLS + 1
    plates = [f"{root.name}-{plate:04d}" for plate in number // _WELLS + 1]
    about = {
        Metadata.PLATE: plates,
        Metadata.WELL: [well_name(*place) for place in zip(row.tolist(), col.tolist(), strict=True)],
        Metadata.SITE: 1,
        Metadata.ROW: row,
        Metadata.COLUMN: col,
        Metadata.CONDITION: found[Metadata.CONDITION],
    }
    if found[Metadata.SPLIT].notna().any():
        about[Metadata.SPLIT] = found[Metadata.SPLIT]
    about[Metadata.PICTURE] = True
    about |= {f"FileName_{channel}": found["name"] for channel in PICTURE_CHANNELS}
    about |= {f"PathName_{channel}": found["folder"] for channel in PICTURE_CHANNELS}
    return set_column_types(pd.DataFrame(about)).sort_values([Metadata.PLATE, Metadata.WELL], ignore_index=True)
